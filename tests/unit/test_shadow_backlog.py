"""What waits for a shadow: the newest, counted where they are left out."""

from __future__ import annotations

from streams.downstream.shadow.backlog import Backlog, Shed


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
