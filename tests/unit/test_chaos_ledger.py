"""The ledger of the fault suite can fail: each promise, broken by hand, is found."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.records import DeadLetter, DefectDetected, Encoding, Outcome, Reason, VerdictIssued
from streams.bus.publisher import Delivery
from streams.chaos.downstream import wrong_counts, wrong_parts
from streams.chaos.fault import Limits
from streams.chaos.judgement import Evidence, judge
from streams.chaos.ledger import Mark, Results, Sample
from tests.line_stats import part, verdict

AT_MS = 1_000_000
LIMITS = Limits(recovery_s=10)


def frame_id(offset: int) -> uuid.UUID:
    return uuid.UUID(int=offset + 1)


def issued(offset: int, **changes: Any) -> VerdictIssued:
    """The verdict of the frame at an offset of partition 0."""
    fields = {"frame_id": frame_id(offset), "source_offset": offset, "source_partition": 0}
    return verdict(offset, 0, **fields | changes)


def letter(offset: int) -> DeadLetter:
    at = datetime(2026, 3, 2, tzinfo=UTC)
    return DeadLetter(
        reason=Reason.SCHEMA_INVALID,
        detail="",
        source_topic="frames",
        source_partition=0,
        source_offset=offset,
        source_timestamp=at,
        at=at,
    )


def sound() -> Results:
    """Four frames of one station with a verdict each, and bytes that became a dead letter."""
    found = Results()
    for offset in range(4):
        found.frames[0][offset] = frame_id(offset)
        found.verdicts[0].append((offset, issued(offset)))
        found.saw_result(0, offset, AT_MS + 1_000 * offset)
    found.frames[0][4] = None
    found.letters[0].append((0, letter(4)))
    found.saw_result(0, 4, AT_MS + 4_000)
    return found


def evidence(**changes: Any) -> Evidence:
    samples = [Sample({0: 2}, {0: 2}, {0: 0}), Sample({0: 5}, {0: 4}, {0: 1})]
    confirmed = {frame_id(offset): Delivery(0, offset, AT_MS) for offset in range(4)}
    return replace(Evidence(samples=samples, marks=[Mark(AT_MS + 500, (0,))], confirmed=confirmed), **changes)


def problems(found: Results, seen: Evidence | None = None, limits: Limits = LIMITS) -> str:
    return "; ".join(judge("f", limits, found, seen or evidence()).problems)


def test_a_sound_run_passes_with_its_figures() -> None:
    outcome = judge("f", LIMITS, sound(), evidence())
    assert outcome.passed, outcome.problems
    assert (outcome.frames, outcome.lost, outcome.duplicates, outcome.recovery_s) == (5, 0, 0, 0.5)


def lost(found: Results) -> None:
    found.verdicts[0].pop(2)


def in_another_partition(found: Results) -> None:
    found.verdicts[3].append(found.verdicts[0].pop(2))


def contradicted(found: Results) -> None:
    found.verdicts[0].append((4, issued(1, outcome=Outcome.ERROR)))


def decided_under_two_ids(found: Results) -> None:
    found.verdicts[0].append((4, issued(1, verdict_id=uuid.uuid4())))


def out_of_order(found: Results) -> None:
    found.verdicts[0][1:3] = [(1, issued(2)), (2, issued(1))]


def about_no_frame(found: Results) -> None:
    del found.frames[0][3]


def defect_missing(found: Results) -> None:
    found.verdicts[0][3] = (3, issued(3, outcome=Outcome.NG))


def defects_out_of_order(found: Results) -> None:
    for offset in (2, 3):
        ng = issued(offset, outcome=Outcome.NG)
        found.verdicts[0][offset] = (offset, ng)
        found.defects[0].insert(0, (3 - offset, DefectDetected(verdict=ng, image_ref="r", encoding=Encoding.JPEG)))


def parts_out_of_order(found: Results) -> None:
    first, second = part(1, 10), part(2, 20)
    found.parts[0] = [(0, replace(first, through_at=second.through_at + timedelta(seconds=1))), (1, second)]


def never_captured(found: Results) -> None:
    found.frames.clear()
    found.verdicts.clear()
    found.letters.clear()


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lost, "1 frames were lost"),
        (in_another_partition, "1 frames were lost"),
        (contradicted, "1 verdicts contradict"),
        (decided_under_two_ids, "1 verdicts contradict"),
        (out_of_order, "1 events left their station's order"),
        (about_no_frame, "1 results are about frames that are none"),
        (defect_missing, "1 defects never came"),
        (defects_out_of_order, "1 events left their station's order"),
        (parts_out_of_order, "1 events left their station's order"),
        (never_captured, "no frame was on the topic"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_broken_on_the_topics_is_said(harm: Callable[[Results], None], said: str) -> None:
    found = sound()
    harm(found)
    assert said in problems(found)


def test_a_commit_ahead_of_its_result_is_found_although_the_result_comes_later() -> None:
    early = evidence(samples=[Sample({0: 3}, {0: 2}, {0: 0}), *evidence().samples])
    assert "1 offsets were committed before" in problems(sound(), early)


def test_a_commit_past_an_aborted_record_is_none() -> None:
    found = sound()
    found.frames[0][6] = frame_id(6)
    found.verdicts[0].append((4, issued(6)))
    assert "committed" not in problems(found, evidence(samples=[Sample({0: 7}, {0: 5}, {0: 1})]))


def test_copies_that_say_the_same_pass_unless_none_may_come() -> None:
    found = sound()
    found.verdicts[0].append((4, issued(1)))
    assert problems(found) == ""
    assert "1 copies of verdicts" in problems(found, limits=Limits(recovery_s=10, duplicates=0))


@pytest.mark.parametrize(
    ("mark_ms", "partitions", "said"),
    [
        (AT_MS - 20_000, (0,), "came back after 20.0 s"),
        (AT_MS + 5_000, (0,), "came back never"),
        (AT_MS, (0, 7), "came back never"),
    ],
)
def test_a_partition_that_comes_back_late_or_never_is_told(mark_ms: int, partitions: Any, said: str) -> None:
    assert said in problems(sound(), evidence(marks=[Mark(mark_ms, partitions)]))


def test_what_a_killed_worker_said_last_is_no_recovery() -> None:
    assert sound().recovery_s(Mark(AT_MS + 950, (0,))) == pytest.approx(1.05)
    assert not math.isinf(sound().recovery_s(Mark(AT_MS, (0,))))


def test_a_confirmed_frame_that_kafka_lost_is_lost() -> None:
    gone = dict(evidence().confirmed) | {frame_id(9): Delivery(0, 9, AT_MS)}
    assert "1 frames that Kafka had confirmed are not on the topic" in problems(sound(), evidence(confirmed=gone))


def test_parts_that_are_missing_or_decided_twice_are_told() -> None:
    found = Results()
    found.verdicts[0].append((0, issued(0, part_id="P1")))
    assert wrong_parts(found) == ["1 parts were not decided, such as P1"]


def test_counts_that_miss_a_verdict_are_told() -> None:
    assert wrong_counts(sound(), []) == [
        "1 counts of line statistics are wrong, such as l1/s1/OK: 0 counted, 4 issued",
    ]
