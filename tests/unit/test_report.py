"""The figures that a run ends with: losses by offsets, quality by labels, undefined as None."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from schemas.records import DeadLetter, Outcome, Reason, VerdictIssued
from streams.commands.report import Run, quality, quantile, report
from streams.commands.ui import report_rows
from streams.inspection.decide import Judgement
from tests.builders import FRAMES_TOPIC, LONG_AGO, frame, verdict


def made(offset: int, outcome: Outcome = Outcome.OK, **changes: Any) -> VerdictIssued:
    return replace(verdict(frame(offset), Judgement(outcome, Reason.SCORE), offset=offset), **changes)


def letter(offset: int) -> DeadLetter:
    return DeadLetter(
        reason=Reason.TOMBSTONE,
        detail="",
        source_topic=FRAMES_TOPIC,
        source_partition=0,
        source_offset=offset,
        source_timestamp=LONG_AGO,
        at=LONG_AGO,
    )


def run(*offsets: int, first: int = 0) -> Run:
    made_run = Run({0: first})
    for offset in offsets:
        made_run.add_verdict(made(offset), LONG_AGO + timedelta(milliseconds=offset))
    return made_run


def test_a_frame_without_verdict_or_dead_letter_is_lost() -> None:
    some = run(10, 11, 13, first=10)
    some.add_dead_letter(letter(14))
    assert some.lost({0: 16}) == 2  # 12 and 15
    assert some.lost({0: 12}) == 0
    assert report("synthetic", some, {0: 16}, None).lost == 2
    assert report("synthetic", some, {0: 16}, None).frames == 6


def test_results_for_frames_before_the_run_do_not_count() -> None:
    some = run(3, 4, 10, first=10)
    assert some.done == 1


def test_unsure_and_error_are_wrong_but_no_escapes() -> None:
    figures = quality(
        [
            made(0, Outcome.OK, label="good"),
            made(1, Outcome.NG, label="good"),
            made(2, Outcome.OK, label="scratch"),
            made(3, Outcome.UNSURE, label="scratch"),
            made(4, Outcome.NG, label="dent"),
            made(5, Outcome.OK),
        ]
    )
    assert (figures.labelled, figures.accuracy.count, figures.unsure.count) == (5, 2, 1)
    assert (figures.escape.count, figures.escape.total) == (1, 3)
    assert (figures.overkill.count, figures.overkill.total) == (1, 2)


def test_figures_of_nothing_are_undefined_not_zero() -> None:
    empty = report("synthetic", Run({0: 0}), {0: 0}, None).to_json()
    assert empty["latency_ms"] == {"p50": None, "p95": None, "p99": None}
    assert empty["quality"]["accuracy"]["value"] is None
    assert empty["images_per_s"] is None


def test_latency_is_gateway_time_plus_broker_time() -> None:
    some = Run({0: 0})
    some.add_verdict(made(0, gateway_ms=7), LONG_AGO + timedelta(milliseconds=30))
    assert report("synthetic", some, {0: 1}, None).latency_ms["p50"] == 37


def test_quantiles_are_by_nearest_rank() -> None:
    assert [quantile(list(range(1, 101)), q) for q in (0.5, 0.95, 0.99)] == [50, 95, 99]
    assert quantile([], 0.5) is None


def test_batches_are_counted_by_the_verdicts_they_left() -> None:
    some = Run({0: 0})
    for offset in range(9):
        some.add_verdict(made(offset, batch_size=1 if offset == 8 else 4, device="d"), LONG_AGO)
    assert report("synthetic", some, {0: 9}, None).batches == {1: 1, 4: 2}


def test_only_the_held_out_part_is_judged_where_a_model_saw_the_rest() -> None:
    some = Run({0: 0})
    for offset, part in enumerate(("seen", "unseen")):
        some.add_verdict(made(offset, label="good", part_id=part), LONG_AGO)
    figures = report("elpv", some, {0: 2}, lambda v: v.part_id == "unseen")
    assert figures.verdicts == 2
    assert figures.quality.labelled == 1
    assert ("labelled frames", "1 (held-out part alone)") in list(report_rows(figures))
