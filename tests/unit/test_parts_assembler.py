"""One decision for every part and pass, whatever happens to its views."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import PartDecided, PartOutcome, PartReason, VerdictIssued
from streams.downstream.parts import assembler
from streams.downstream.parts.assembler import Assembler, Fate
from tests.builders import CODEC
from tests.parts import ERROR, LATE, NG, OK, UNSURE, at, seen, view

TIMEOUT_MS = 5_000
Came = tuple[float, VerdictIssued]


class Run:
    """An assembler fed by a timeline: each verdict is first preceded by its time, as the partition does it."""

    def __init__(self, before: Assembler | None = None, first: int = 0) -> None:
        self.assembler = before or Assembler()
        self.next = first
        self.decisions: list[tuple[PartDecided, tuple[int, ...]]] = []
        self.fates: list[Fate] = []

    def take(self, ms: float, issued: VerdictIssued) -> Fate:
        decided = self.assembler.expire(at(ms), at(ms))
        fate, more = self.assembler.take(seen(issued, self.next, ms), TIMEOUT_MS, at(ms))
        self.next += 1
        self._keep([*decided, *more])
        self.fates.append(fate)
        return fate

    def all(self, *came: Came) -> Run:
        for ms, issued in came:
            self.take(ms, issued)
        return self

    def wait(self, ms: float) -> Run:
        self._keep(self.assembler.expire(at(ms), at(ms)))
        return self

    def _keep(self, decisions: list[assembler.Decision]) -> None:
        self.decisions += [(d.part, d.offsets) for d in decisions]

    @property
    def parts(self) -> list[PartDecided]:
        return [part for part, _ in self.decisions]

    @property
    def outcomes(self) -> dict[str | None, PartOutcome]:
        return {part.part_id: part.outcome for part in self.parts}


def test_parts_are_decided_with_their_last_view_however_they_interleave() -> None:
    """A1 B1 A2 B2(NG) A3 B3 │ A decided at its third view, B at its own"""
    run = Run().all(
        (0, view("A", 1, 3)), (10, view("B", 1, 3)), (20, view("A", 2, 3)), (30, view("B", 2, 3, NG)),
        (40, view("A", 3, 3)), (50, view("B", 3, 3)),
    )  # fmt: skip

    assert run.outcomes == {"A": PartOutcome.OK, "B": PartOutcome.NG}
    assert [offsets for _, offsets in run.decisions] == [(0, 2, 4), (1, 3, 5)]
    assert [[v.view for v in part.views] for part in run.parts] == [[1, 2, 3], [1, 2, 3]]


def test_a_missing_view_is_waited_for_until_the_parts_time_is_over_and_not_longer() -> None:
    """A1 ── 4,999 ms nothing ── 5,000 ms decided ── 5,001 A2: too late"""
    run = Run().all((0, view("A", 1, 2)))

    assert not run.wait(4_999).parts
    assert run.wait(5_000).outcomes == {"A": PartOutcome.NOT_INSPECTED}
    assert run.take(5_001, view("A", 2, 2, NG)) is Fate.LATE
    assert len(run.wait(60_000).parts) == 1


def test_a_later_verdict_of_any_part_lets_time_pass() -> None:
    run = Run().all((0, view("A", 1, 2)), (5_000, view("A", 2, 2)))

    assert run.fates == [Fate.HELD, Fate.LATE]
    assert run.parts[0].reason is PartReason.MISSING_VIEW


def test_a_decision_tells_when_it_began_and_how_far_the_partition_had_come() -> None:
    """A1 triggered 30 ms before its append at 100 │ B1 appended at 900 │ A2 appended at 800"""
    run = Run().all(
        (110, view("A", 1, 2, gateway_ms=30, ms=100)), (905, view("B", 1, 2, ms=900)), (910, view("A", 2, 2, ms=800))
    )

    [part] = run.parts
    assert (part.first_at, part.through_at, part.decided_at) == (at(70), at(900), at(910))


def test_a_frame_from_the_future_does_not_move_the_partition_beyond_its_verdict() -> None:
    run = Run().all((100, view("A", 1, 1, ms=10**9)))

    assert run.parts[0].through_at == at(100)


def test_the_highest_attempt_counts_while_the_part_is_open_and_opens_none() -> None:
    """A1 damaged │ A1 redriven: fine │ A2 │ a redriven view of an unknown part"""
    run = Run().all((0, view("A", 1, 2, ERROR)), (10, view("A", 1, 2, OK, attempt=2)), (20, view("A", 2, 2)))

    assert run.outcomes == {"A": PartOutcome.OK}
    assert run.decisions[0][1] == (0, 1, 2)
    assert run.take(30, view("B", 1, 1, attempt=2)) is Fate.LATE
    assert len(run.wait(60_000).parts) == 1


def test_two_frames_that_claim_the_same_view_give_the_worse_one() -> None:
    for first, second in ((OK, NG), (NG, OK)):
        run = Run().all((0, view("A", 1, 2, first)), (1, view("A", 1, 2, second, twin=1)), (2, view("A", 2, 2)))
        assert run.outcomes == {"A": PartOutcome.NG}


def test_a_copy_of_a_verdict_waits_for_nothing() -> None:
    run = Run().all((0, view("A", 1, 2)), (1, view("A", 1, 2)), (2, view("A", 2, 2)), (3, view("A", 2, 2)))

    assert run.fates == [Fate.HELD, Fate.COPY, Fate.HELD, Fate.LATE]
    assert [offsets for _, offsets in run.decisions] == [(0, 2)]


def test_the_same_part_after_rework_is_another_pass_with_another_decision() -> None:
    run = Run().all((0, view("A", 1, 1, NG)), (10, view("A", 1, 1, OK, pass_no=2)))

    assert [part.outcome for part in run.parts] == [PartOutcome.NG, PartOutcome.OK]
    assert len({part.decision_id for part in run.parts}) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"number": 3, "of": 2}, {"number": 0, "of": 2}, {"number": 2, "of": 3}, {"number": 2, "of": 2, "sku": "B"}],
)
def test_views_that_can_not_be_right_never_make_a_part_ok(wrong: dict[str, object]) -> None:
    run = Run().all((0, view("A", 1, 2)), (1, view("A", **wrong)), (2, view("A", 2, 2, twin=1)))  # type: ignore[arg-type]
    run.wait(60_000)

    assert run.outcomes == {"A": PartOutcome.NOT_INSPECTED}


def test_no_views_at_all_is_no_complete_part() -> None:
    assert Run().all((0, view("A", 1, 0))).wait(60_000).outcomes == {"A": PartOutcome.NOT_INSPECTED}


def test_the_oldest_part_is_decided_where_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembler, "MAX_OPEN", 2)
    run = Run().all((0, view("A", 1)), (1, view("B", 1)), (2, view("C", 1)))

    assert run.outcomes == {"A": PartOutcome.NOT_INSPECTED}
    assert "too many parts wait" in run.parts[0].detail
    assert run.assembler.open_parts == 2


def test_one_part_that_waits_does_not_hold_up_the_acknowledgement_of_all_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A1 waits │ B C D, each complete at once │ the fourth verdict behind A's decides it"""
    monkeypatch.setattr(assembler, "MAX_HELD", 3)
    run = Run().all((0, view("A", 1, 2)), *((n, view(f"B{n}", 1, 1)) for n in range(1, 4)))
    assert "A" not in run.outcomes
    run.take(4, view("B4", 1, 1))
    assert run.outcomes["A"] is PartOutcome.NOT_INSPECTED


def test_a_hostile_part_with_a_thousand_views_stays_small() -> None:
    run = Run().all(*((n, view("A", n, 100_000, seq=n)) for n in range(1, 1_001))).wait(60_000)

    assert len(run.parts[0].views) == assembler.MAX_VIEWS
    assert len(run.decisions[0][1]) == 1_000


# Parts without an id


def test_views_without_a_part_id_are_told_by_their_trigger_numbers() -> None:
    """1 2 3 │ 1 2 3 of one camera"""
    run = Run().all(*((n * 10, view(None, n % 3 + 1, 3, seq=n + 1)) for n in range(6)))

    assert [part.outcome for part in run.parts] == [PartOutcome.OK, PartOutcome.OK]
    assert [[v.trigger_seq for v in part.views] for part in run.parts] == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize("lost", [{1}, {3}, {3, 4}, {2}, {1, 6}])
def test_what_is_lost_of_a_part_without_an_id_is_never_made_up_by_the_next(lost: set[int]) -> None:
    """1 2 3 │ 4 5 6 │ 7 8 9: the next part of the camera ends the wait at once"""
    run = Run().all(*((n * 10, view(None, (n - 1) % 3 + 1, 3, seq=n)) for n in range(1, 10) if n not in lost))

    affected = {(n - 1) // 3 for n in lost}
    expected = [PartOutcome.NOT_INSPECTED if n in affected else PartOutcome.OK for n in range(3)]
    assert [part.outcome for part in run.parts] == expected


def test_a_late_view_without_a_part_id_does_not_join_the_next_part() -> None:
    """1 2 · │ 4 5 6 │ 3 comes after all"""
    run = Run().all(*((n * 10, view(None, (n - 1) % 3 + 1, 3, seq=n, ms=n * 10)) for n in (1, 2, 4, 5, 6)))

    assert run.take(70, view(None, 3, 3, NG, seq=3, ms=30)) is Fate.LATE
    assert [part.outcome for part in run.parts] == [PartOutcome.NOT_INSPECTED, PartOutcome.OK]


def test_a_counter_that_starts_again_gives_new_parts() -> None:
    hour_ms = 3_600_000
    run = Run().all((0, view(None, 1, 1, seq=1)), (hour_ms, view(None, 1, 1, NG, seq=1, ms=hour_ms, twin=1)))

    assert [part.outcome for part in run.parts] == [PartOutcome.OK, PartOutcome.NG]
    assert len({part.decision_id for part in run.parts}) == 2


def test_views_of_several_cameras_without_a_part_id_are_never_ok() -> None:
    run = Run().all(*((n, view(None, n, 2, seq=7, camera=f"c{n}")) for n in (1, 2))).wait(60_000)

    assert {part.outcome for part in run.parts} == {PartOutcome.NOT_INSPECTED}
    assert assembler.ONE_CAMERA in run.parts[0].detail


# Over a restart


def test_a_published_decision_is_never_made_again() -> None:
    """A decided, then killed: the views come again, and a late one with them"""
    for part_id in ("A", None):
        before = Run().all((0, view(part_id, 1, 2)), (10, view(part_id, 2, 2, ERROR)))
        again = Run()
        again.assembler.remember(before.parts[0], TIMEOUT_MS)
        again.all((0, view(part_id, 1, 2)), (10, view(part_id, 2, 2, ERROR)), (20, view(part_id, 2, 2, attempt=2)))

        assert again.wait(60_000).parts == []
        assert again.fates == [Fate.LATE] * 3


def test_a_counter_that_starts_again_after_a_restart_begins_a_new_part() -> None:
    """no part id: 1, decided a minute behind │ killed │ 11 s after it the camera counted from 1 again"""
    before = Run().all((0, view(None, 1, 2, seq=1))).wait(60_000)
    again = Run()
    again.assembler.remember(before.parts[0], TIMEOUT_MS)
    again.all((11_000, view(None, 1, 2, seq=1, ms=11_000, twin=1)), (11_010, view(None, 2, 2, seq=2, ms=11_010)))

    assert again.fates == [Fate.HELD] * 2
    assert [part.outcome for part in again.parts] == [PartOutcome.OK]


def test_an_undecided_part_gets_the_same_id_after_a_restart() -> None:
    for part_id in ("A", None):
        came = ((0, view(part_id, 1, 2)), (10, view(part_id, 2, 2)))
        assert Run().all(*came).parts[0].decision_id == Run(first=0).all(*came).parts[0].decision_id


# Whatever happens

JUDGEMENTS = st.sampled_from([OK, OK, OK, OK, NG, UNSURE, ERROR, LATE])
PARTS = st.lists(st.lists(st.tuples(JUDGEMENTS, st.booleans(), st.integers(1, 3)), min_size=1, max_size=4), max_size=8)


@settings(max_examples=200)
@given(parts=PARTS, order=st.randoms(use_true_random=False), pace_ms=st.sampled_from([1, 700, 3_000]))
def test_every_part_that_was_seen_gets_one_decision_and_none_is_ok_by_chance(
    parts: list[list[tuple[object, bool, int]]], order: object, pace_ms: int
) -> None:
    """Any interleaving, repetition and loss of views, at any pace: one decision a part, OK only where all was well."""
    came = [
        view(f"P{p}", n, len(views), judgement, seq=p * 10 + n)  # type: ignore[arg-type]
        for p, views in enumerate(parts)
        for n, (judgement, lost, copies) in enumerate(views, 1)
        if not lost
        for _ in range(copies)
    ]
    order.shuffle(came)  # type: ignore[attr-defined]
    run = Run().all(*((i * pace_ms, issued) for i, issued in enumerate(came))).wait(10**9)

    assert Counter(part.part_id for part in run.parts) == Counter({v.part_id for v in came})
    held = [offset for offset, fate in enumerate(run.fates) if fate is Fate.HELD]
    assert sorted(o for _, offsets in run.decisions for o in offsets) == held
    arrived: dict[str | None, dict[int, float]] = {}
    for i, issued in enumerate(came):
        arrived.setdefault(issued.part_id, {}).setdefault(issued.view, i * pace_ms)
    for part in run.parts:
        views = parts[int(part.part_id[1:])]  # type: ignore[index]
        times = arrived[part.part_id]
        in_time = len(times) == len(views) and max(times.values()) - min(times.values()) < TIMEOUT_MS
        well = all(judgement is OK for judgement, *_ in views)
        assert (part.outcome is PartOutcome.OK) == (in_time and well)


@settings(max_examples=200)
@given(
    numbers=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(-3, 12)), max_size=30),
    ids=st.lists(st.sampled_from(["A", None]), min_size=30, max_size=30),
)
def test_no_numbers_make_it_fail_or_forget_a_verdict(
    numbers: list[tuple[int, int, int]], ids: list[str | None]
) -> None:
    """Hostile view numbers, counts and trigger numbers: every verdict held is released by exactly one decision."""
    came = [view(p, n, of, seq=seq, twin=i) for i, ((n, of, seq), p) in enumerate(zip(numbers, ids, strict=False))]
    run = Run().all(*((i * 10, issued) for i, issued in enumerate(came))).wait(10**9)

    released = [offset for _, offsets in run.decisions for offset in offsets]
    assert sorted(released) == [offset for offset, fate in enumerate(run.fates) if fate is Fate.HELD]
    for part in run.parts:
        numbers_seen = {v.view for v in part.views}
        if part.outcome is PartOutcome.OK:
            assert numbers_seen == set(range(1, part.views_expected + 1))


def test_a_decision_survives_being_sent() -> None:
    [part] = Run().all((0, view("A", 1, 2)), (1, view("A", 2, 2))).parts

    assert CODEC.decode(CODEC.encode(part), PartDecided) == part
