"""What waits for a shadow: the newest, counted where they are left out."""

from __future__ import annotations

from collections import namedtuple

import pytest

from streams.downstream.shadow.backlog import Backlog, Shed
from streams.downstream.shadow.left_over import LeftOver


def test_the_oldest_that_is_not_too_old_comes_first() -> None:
    backlog: Backlog[str] = Backlog(most=5, max_age_s=10)
    for made_s, item in enumerate("abcde"):
        backlog.add(item, made_s)
    assert backlog.take(2, now_s=11.5) == ["c", "d"]
    assert (backlog.shed, len(backlog)) == ({Shed.BEHIND: 2}, 1)


def test_a_newcomer_takes_the_place_of_the_oldest_where_there_is_no_room() -> None:
    backlog: Backlog[int] = Backlog(most=3, max_age_s=10)
    for number in range(7):
        backlog.add(number, 0)
    assert backlog.shed == {Shed.FULL: 4}
    assert backlog.take(9, now_s=1) == [4, 5, 6]
    assert backlog.take(9, now_s=1) == []


def test_all_that_waits_can_be_left_out_at_once() -> None:
    backlog: Backlog[int] = Backlog(most=3, max_age_s=10)
    for number in range(5):
        backlog.add(number, 0)
    backlog.shed_all(Shed.BUSY)
    assert (backlog.shed, len(backlog)) == ({Shed.FULL: 2, Shed.BUSY: 3}, 0)


Times = namedtuple("Times", "user nice system idle iowait guest")


def test_what_idles_and_what_yields_is_left_over_and_each_answer_is_of_the_last_second() -> None:
    now, seen = [100.0], [Times(50, 0, 10, 40, 0, 9)]
    left_over = LeftOver(lambda: now[0], lambda: seen[0])
    assert left_over() == 1.0, "not known yet"
    now[0], seen[0] = 101.0, Times(user=51.2, nice=0.3, system=10.3, idle=40.1, iowait=0.1, guest=10.2)
    assert left_over() == pytest.approx(0.25)
    now[0], seen[0] = 101.9, Times(51.2, 0.3, 10.3, 42, 0.1, 10.2)
    assert left_over() == pytest.approx(0.25), "a second is not over"
    now[0] = 102.0
    assert left_over() == pytest.approx(1.0)
