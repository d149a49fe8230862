"""Alarms about trigger numbers: missing ones, repeated ones, counters that start again."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import AlarmKind, AlarmRaised, SequenceRange, Severity
from streams.downstream.parts import triggers
from streams.downstream.parts.alarms import AlarmBook
from streams.downstream.parts.partition import Before, Partition
from streams.downstream.parts.ranges import Ranges
from streams.downstream.parts.triggers import Triggers
from tests.parts import at, seen, view

MISSING, REPEATED, RESET = AlarmKind.MISSING_TRIGGER, AlarmKind.REPEATED_TRIGGER, AlarmKind.TRIGGER_RESET


class Watch:
    """Triggers whose alarms are published as they become due; numbers come 10 ms apart."""

    def __init__(self, *open_alarms: AlarmRaised, reached: int | None = None) -> None:
        self.book = AlarmBook()
        self.triggers = Triggers(AlarmBook())
        if reached is not None:
            self.triggers.start_at("p1/l1/s1/c1", reached)
        self.triggers.go_live(self.book, open_alarms)
        self.ms = 0.0
        self.published: list[AlarmRaised] = []

    def see(self, *numbers: int, step_ms: float = 10, **changes: Any) -> list[AlarmRaised]:
        """What was published meanwhile."""
        before = len(self.published)
        for number in numbers:
            self.ms += step_ms
            self.triggers.see(view("P", 1, seq=number, **changes), at(self.ms))
            self.published += self.book.due(at(self.ms))
        return self.published[before:]

    def later(self) -> list[AlarmRaised]:
        self.ms += 1_000
        return self.book.due(at(self.ms))


def ranges(alarm: AlarmRaised) -> list[tuple[int, int]]:
    return [(r.first, r.last) for r in alarm.ranges]


def test_numbers_that_grow_by_one_are_no_news() -> None:
    assert Watch().see(*range(17, 300)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_an_open_alarm_of_no_number_of_triggers_is_passed_over(value: float) -> None:
    [gap] = Watch().see(1, 3)
    absurd = [dataclasses.replace(gap, alarm_id=uuid4(), kind=kind, value=value) for kind in AlarmKind]
    came = [seen(view("P", 1, 1, seq=number), offset, number) for offset, number in enumerate((1, 3))]
    partition = Partition(lambda _: 5_000, Before(verdicts=came, alarms=[gap, *absurd]), 2, at(4))
    step = partition.take(seen(view("P", 1, 1, seq=2), 2, 5), at(5))
    assert [(alarm.alarm_id, alarm.cleared) for alarm in step.alarms] == [(gap.alarm_id, at(5))]


def test_a_gap_is_an_alarm_with_its_numbers() -> None:
    """1 2 │ 5"""
    [alarm] = Watch().see(1, 2, 5)

    assert (alarm.kind, alarm.severity, alarm.subject) == (MISSING, Severity.WARNING, "p1/l1/s1/c1")
    assert (alarm.value, ranges(alarm), alarm.cleared) == (2.0, [(3, 4)], None)
    assert (alarm.since, alarm.detail) == (at(30), "trigger 3 to 4 missing")


def test_late_numbers_leave_the_alarm_and_the_last_one_clears_it() -> None:
    """1 5 │ 3 │ 2 │ 4"""
    watch = Watch()
    [raised] = watch.see(1, 5)
    shrunk = [*watch.see(3, step_ms=1_000), *watch.see(2, step_ms=1_000)]
    [cleared] = watch.see(4)

    assert [ranges(a) for a in shrunk] == [[(2, 2), (4, 4)], [(4, 4)]]
    assert {a.alarm_id for a in (raised, *shrunk, cleared)} == {raised.alarm_id}
    assert (cleared.value, cleared.cleared, cleared.ranges) == (0.0, at(watch.ms), ())


def test_gaps_close_together_are_one_alarm_and_far_ones_are_two() -> None:
    """every second number is missing for a while; much later one more"""
    watch = Watch()
    near = watch.see(*range(1, 40, 2))
    assert len({a.alarm_id for a in [*near, *watch.later()]}) == 1

    far = watch.see(*range(40, 200), 202)
    assert far[-1].alarm_id != near[0].alarm_id


def test_a_flood_of_gaps_is_at_most_one_alarm_state_a_second() -> None:
    came = Watch().see(*range(1, 2_003, 2), step_ms=10)

    assert len(came) == 10  # in 10 s
    assert len({alarm.alarm_id for alarm in came}) == 1
    assert came[-1].value == 901.0


def test_a_huge_leap_is_one_range() -> None:
    [alarm] = Watch().see(1, 2**62)

    assert ranges(alarm) == [(2, 2**62 - 1)]


def test_a_number_with_another_frame_is_a_repeat_until_numbers_come_once_again() -> None:
    """1 2 3 │ 3' │ 4 … 40"""
    watch = Watch()
    watch.see(1, 2, 3)
    [raised] = watch.see(3, twin=1)
    [cleared] = watch.see(*range(4, 41))

    assert (raised.kind, raised.value, ranges(raised), raised.cleared) == (REPEATED, 1.0, [(3, 3)], None)
    assert cleared.alarm_id == raised.alarm_id
    assert cleared.cleared is not None


def test_copies_and_other_attempts_are_no_repeats() -> None:
    watch = Watch()

    assert watch.see(1, 2, 2, 1, 3) == []
    assert watch.see(2, 3, attempt=2, twin=7) == []


def test_another_attempt_only_closes_gaps() -> None:
    """1 3 │ 2 redriven │ 9 redriven │ 4"""
    watch = Watch()
    watch.see(1, 3)
    [cleared] = watch.see(2, attempt=2)

    assert cleared.cleared is not None
    assert watch.see(9, attempt=2) == []
    assert watch.see(4) == []


def test_a_counter_that_starts_again_is_news_once_and_its_numbers_no_repeats() -> None:
    """… 50 52 │ 1 2 3"""
    watch = Watch()
    [gap] = watch.see(*range(1, 51), 52)
    came = watch.see(1, 2, 3, twin=1)

    assert [(a.kind, a.alarm_id == gap.alarm_id) for a in came] == [(MISSING, True), (RESET, False)]
    assert all(a.cleared for a in came)
    assert (came[1].severity, came[1].value) == (Severity.INFO, 51.0)
    assert watch.see(*range(4, 60), twin=1) == []


def test_a_leap_back_that_no_late_frame_makes_is_a_counter_that_started_again() -> None:
    [reset] = Watch().see(5_000, 100, 101)

    assert reset.kind is RESET


def test_redelivery_raises_the_same_alarm_again_and_nothing_else() -> None:
    """killed after 9; from 3 on all comes again, and the alarm stands on the topic already"""
    numbers = [1, 2, 3, 6, 7, 9]
    first = Watch().see(*numbers)
    again = Watch(first[-1], reached=2)
    [grown] = [*again.see(*numbers[2:]), *again.later()]

    assert {a.alarm_id for a in [*first, grown]} == {first[0].alarm_id}
    assert (grown.value, ranges(grown), grown.cleared) == (3.0, [(4, 5), (8, 8)], None)


def test_a_gap_over_a_restart_is_found() -> None:
    [alarm] = Watch(reached=10).see(12)

    assert ranges(alarm) == [(11, 11)]


def test_an_alarm_from_before_a_restart_is_cleared_by_late_numbers() -> None:
    before = Watch()
    [raised] = before.see(1, 2, 5)
    again = Watch(raised, reached=5)

    came = again.see(3, 4, step_ms=2_000)
    assert [(a.alarm_id, a.value, a.cleared is None) for a in came] == [
        (raised.alarm_id, 1.0, True),
        (raised.alarm_id, 0.0, False),
    ]


def test_cameras_are_apart_and_the_longest_silent_is_forgotten(monkeypatch: Any) -> None:
    monkeypatch.setattr(triggers, "MAX_CAMERAS", 2)
    watch = Watch()
    for camera in ("a", "b", "c"):
        assert watch.see(1, camera=camera) == []

    assert watch.see(5, camera="a") == []  # forgotten: nobody knows what is missing
    assert len(watch.see(5, camera="c")) == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=20), st.lists(st.integers(0, 30)))
def test_ranges_hold_what_a_set_holds(added: list[tuple[int, int]], removed: list[int]) -> None:
    found, expected = Ranges(), set[int]()
    for first, last in added:
        found.add(first, last)
        expected |= set(range(first, last + 1))
    for number in removed:
        assert found.remove(number) == (number in expected)
        expected.discard(number)

    assert {n for r in found.as_records() for n in range(r.first, r.last + 1)} == expected
    assert found.size == len(expected)
    records = found.as_records()
    assert all(a.last + 1 < b.first for a, b in pairwise(records))


def test_ranges_stay_few() -> None:
    found = Ranges((SequenceRange(first=n, last=n) for n in range(0, 1_000, 2)), most=4)

    assert len(found.as_records()) == 4


@given(st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 2), st.integers(1, 2)), max_size=80))
def test_no_numbers_make_it_fail_or_flood(came: list[tuple[int, int, int]]) -> None:
    watch = Watch()
    for number, twin, attempt in came:
        assert len(watch.see(number, twin=twin, attempt=attempt)) <= triggers.MAX_ALARMS + 2
    for alarm in watch.published:
        assert alarm.cleared is not None or alarm.value >= 1
