"""The fold of verdicts and parts into windows of ten seconds that stay open for twenty more. Times are in seconds."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from schemas.records import Finding, Outcome, PartOutcome, Reason
from streams.downstream.statistics.windows import FrameFold, PartFold
from tests.line_stats import RULE, at, number, part, verdict

S1 = ("p1", "l1", "s1")


class Line:
    """A fold, and frames that come to it in order; each verdict is appended 50 ms after its frame unless told."""

    def __init__(self, **options: bool) -> None:
        self.fold = FrameFold(RULE, **options)
        self.offset = 0

    def frame(self, trigger: int, second: float, lag_s: float = 0.05, **changes: object) -> None:
        self.fold.take(verdict(trigger, second, **changes), self.offset, at(second) + timedelta(seconds=lag_s))
        self.offset += 1

    def frames(self, second: float) -> int:
        counts = self.fold.windows.get((S1, number(second)))
        return counts.frames if counts else 0

    def late(self, second: float) -> int:
        return self.fold.windows[S1, number(second)].late_frames

    def missing(self, second: float) -> int:
        return self.fold.windows[S1, number(second)].missing_triggers


def test_a_frame_counts_in_the_window_of_its_trigger_by_the_brokers_clock() -> None:
    line = Line()
    line.frame(1, 10.05)  # triggered at 9.95
    line.frame(2, 10.15)
    assert (line.frames(5), line.frames(15)) == (1, 1)


def test_everything_that_a_verdict_says_is_counted() -> None:
    findings = (Finding(label="dent", score=0.6, threshold=0.5), Finding(label="scratch", score=0.9, threshold=0.5))
    line = Line()
    line.frame(1, 1, outcome=Outcome.NG, findings=findings)
    line.frame(2, 2, outcome=Outcome.ERROR, reason=Reason.LATE, deadline_met=False, model_id=None, recipe_version=None)
    fields = line.fold.windows[S1, number(1)].fields()
    assert fields["outcomes"] == {"NG": 1, "ERROR": 1}
    assert fields["labels"] == {"scratch": 1}
    assert fields["reasons"] == {"LATE": 1}
    assert fields["deadline_missed"] == 1
    assert fields["models"] == {"m1": 1}
    assert fields["recipes"] == {"A@4": 1}
    assert fields["through_offset"] == 1


def test_a_window_stays_small_whatever_names_come() -> None:
    line, long = Line(), "x" * 10_000
    for n in range(300):
        found = (Finding(label=f"{n}{long}", score=0.6, threshold=0.5),)
        names = {"model_id": f"{n}{long}", "sku": f"{n}{long}", "recipe_version": n}
        line.frame(n, 1 + n / 100, outcome=Outcome.NG, findings=found, **names)
    counts = line.fold.windows[S1, number(1)]
    for name in ("labels", "models", "recipes"):
        counted = counts.fields()[name]
        assert (sum(counted.values()), len(counted), counted["(others)"]) == (300, 65, 236)
    assert len(json.dumps(counts.fields())) < 200_000


def test_latency_is_from_trigger_to_verdict() -> None:
    line = Line()
    for trigger in range(10):
        line.frame(trigger, 1, lag_s=0.9)  # 100 ms at the gateway
    p50 = line.fold.windows[S1, number(1)].fields()["latency_p50_ms"]
    assert 794 <= p50 <= 1000


def test_a_frame_out_of_order_counts_in_its_own_window_as_long_as_that_is_open() -> None:
    """window 0-10 settles when the log has reached 30"""
    line = Line()
    line.frame(1, 1)
    line.frame(2, 29.9)
    line.frame(3, 9)
    assert (line.frames(5), line.late(5)) == (2, 0)


def test_a_late_frame_counts_in_the_window_of_its_source_timestamp() -> None:
    line = Line()
    line.frame(1, 1)
    line.frame(2, 31, gateway_ms=25_000)  # triggered at 6: its own arrival settles that window
    assert (line.frames(5), line.frames(31), line.late(31)) == (1, 1, 1)


def test_where_even_that_window_is_settled_a_late_frame_counts_where_the_log_is() -> None:
    line = Line()
    line.frame(1, 1)
    line.frame(2, 55)
    line.frame(3, 12, lag_s=43)
    assert (line.frames(5), line.frames(12), line.frames(55), line.late(55)) == (1, 0, 2, 1)


def test_every_frame_counts_exactly_once_wherever_it_falls() -> None:
    line = Line()
    for trigger, second in enumerate((1, 40, 5, 80, 79, 30, 120, 121)):
        line.frame(trigger, second, lag_s=200 - second, gateway_ms=trigger * 7_000)
    assert sum(counts.frames for counts in line.fold.windows.values()) == 8


def test_a_copy_does_not_count_and_a_redelivery_neither() -> None:
    line = Line()
    line.frame(1, 1)
    line.frame(1, 1)
    line.fold.take(verdict(2, 2), 0, at(2))
    assert line.frames(1) == 1


def test_verdicts_of_a_replay_count_only_where_they_are_asked_for() -> None:
    live, replay = Line(), Line(simulated=True)
    for line in (live, replay):
        line.frame(1, 1, simulated=True)
        line.frame(2, 31)
    assert list(live.fold.windows) == [(S1, number(31))]
    assert list(replay.fold.windows) == [(S1, number(1))]


def test_a_replay_of_the_same_frames_gives_the_same_counts() -> None:
    live, replay = Line(), Line(simulated=True)
    for trigger, second in enumerate((1, 9, 2, 33, 14, 36, 80)):
        live.frame(trigger, second)
        replay.frame(trigger, second, simulated=True)
    assert live.fold.windows == replay.fold.windows


def test_names_that_can_be_no_key_do_not_count() -> None:
    line = Line()
    line.frame(1, 1, station="../s1")
    assert not line.fold.windows
    assert line.fold.next_offset == 1


def test_a_source_timestamp_ahead_of_the_append_time_does_not_settle_windows() -> None:
    line = Line()
    line.frame(1, 1000, lag_s=-998)
    line.frame(2, 3)
    assert (line.frames(2), line.late(2)) == (2, 0)


@pytest.mark.parametrize("gateway_ms", [-5_000, None, 2**31 - 1])
def test_a_strange_gateway_time_moves_no_frame_into_the_future(gateway_ms: int | None) -> None:
    line = Line()
    line.frame(1, 45, gateway_ms=gateway_ms)
    assert line.frames(45) == 1


def test_a_gap_counts_where_it_was_shown_and_a_late_arrival_takes_it_back() -> None:
    """trigger  1 ─ 2 ─ 5 ───── 4"""
    line = Line()
    for trigger, second in ((1, 1), (2, 2), (5, 3)):
        line.frame(trigger, second)
    assert line.missing(3) == 2
    line.frame(4, 14)
    assert line.missing(3) == 1


def test_a_gap_in_a_settled_window_stays() -> None:
    line = Line()
    line.frame(1, 1)
    line.frame(3, 9)
    line.frame(4, 35)
    line.frame(2, 36)
    assert line.missing(9) == 1


def test_gaps_are_a_matter_of_each_camera() -> None:
    line = Line()
    line.frame(1, 1, camera="a")
    line.frame(7, 1, camera="b")
    line.frame(2, 2, camera="a")
    assert line.missing(1) == 0


def test_a_trigger_that_comes_again_is_repeated_but_a_redriven_frame_is_not() -> None:
    line = Line()
    line.frame(1, 1)
    line.frame(1, 2, verdict_id=verdict(99, 0).verdict_id)
    line.frame(1, 3, attempt=2)
    counts = line.fold.windows[S1, number(1)]
    assert (counts.frames, counts.repeated_triggers, counts.missing_triggers) == (3, 1, 0)


def test_a_camera_that_was_silent_for_long_and_one_that_counts_anew_show_no_gap() -> None:
    line = Line()
    line.frame(1, 1)
    line.frame(50, 62)
    line.frame(100_000, 63)
    line.frame(1, 64)
    line.frame(2, 65)
    assert [counts.missing_triggers for counts in line.fold.windows.values()] == [0, 0]


def test_endless_jumps_do_not_fill_the_memory() -> None:
    line = Line()
    for frame in range(40):
        line.frame(frame * 9_000, 1, verdict_id=verdict(frame, 0).verdict_id)
    ((camera, _),) = line.fold._cameras.values()
    assert len(camera._known) < 60_000


def test_parts_are_counted_by_pass_and_outcome() -> None:
    fold = PartFold(RULE)
    decisions = (PartOutcome.OK, 1), (PartOutcome.NG, 1), (PartOutcome.OK, 2), (PartOutcome.NOT_INSPECTED, 1)
    for offset, (outcome, pass_no) in enumerate(decisions):
        fold.take(part(offset, 5, outcome=outcome, pass_no=pass_no), offset, at(5.1))
    fold.take(part(0, 5), 4, at(5.2))
    counts = fold.windows[S1, number(5)]
    assert counts.parts == {"OK": 1, "NG": 1, "NOT_INSPECTED": 1}
    assert counts.reworked == {"OK": 1}
    assert counts.through_offset == 3


def test_a_part_counts_by_its_first_view_and_a_late_one_where_it_was_decided() -> None:
    fold = PartFold(RULE)
    fold.take(part(1, 12, first_at=at(8)), 0, at(12))
    fold.take(part(2, 42, first_at=at(9)), 1, at(42))
    assert fold.windows[S1, number(8)].parts == {"OK": 1}
    assert fold.windows[S1, number(42)].late_parts == 1


def test_a_fold_begun_late_leaves_out_windows_that_it_has_not_seen_whole() -> None:
    fold = FrameFold(RULE, number(10))
    fold.take(verdict(1, 9), 0, at(9))
    fold.take(verdict(2, 11), 1, at(11))
    assert list(fold.windows) == [(S1, number(11))]


def test_changes_must_be_published_before_the_log_has_gone_on_by_a_window() -> None:
    line = Line()
    line.frame(1, 1)
    assert not line.fold.outruns_changes(line.fold.time_of(verdict(2, 10.9), at(11)))
    assert line.fold.outruns_changes(line.fold.time_of(verdict(2, 11), at(11)))
    line.fold.forget_changes()
    assert not line.fold.outruns_changes(line.fold.time_of(verdict(2, 500), at(500)))
