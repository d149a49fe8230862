"""Which verdicts a gallery shows, what of them, and the cursors of its pages."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Finding, Outcome, Reason, VerdictIssued
from streams.bus.subscriber import Received
from streams.downstream.overview.gallery import (
    frames_cursor,
    judged_cursor,
    meets,
    parse_frames_cursor,
    parse_judged_cursor,
    shown,
)
from streams.downstream.overview.view import Choice, Span
from streams.downstream.rework.cases import Scope
from streams.downstream.statistics import latency
from streams.errors import CallerError
from tests.line_stats import START, at, verdict

SPAN = Span(START, at(60))
SCRATCHED = verdict(
    1,
    10,
    outcome=Outcome.NG,
    part_id="P1",
    findings=(Finding(label="dent", score=0.6, threshold=0.5), Finding(label="scratch", score=0.9, threshold=0.5)),
)
LATENCY_MS = 140


def is_shown(shot: VerdictIssued, scope: Scope = Scope(), **choice: Any) -> bool:  # noqa: B008  # immutable
    """Of a verdict appended 40 ms after its frame, which was triggered 100 ms before that."""
    received = Received(shot, 0, 0, shot.source_timestamp + timedelta(milliseconds=40), None)
    return meets(received, scope, SPAN, Choice(**choice))


@pytest.mark.parametrize(
    ("fits", "fails"),
    [
        ({"outcomes": ("NG", "UNSURE")}, {"outcomes": ("OK",)}),
        ({"label": "scratch"}, {"label": "dent"}),
        ({"reason": "SCORE"}, {"reason": "LATE"}),
        ({"part_id": "P1"}, {"part_id": "P2"}),
        ({"latency_bucket": latency.bucket(LATENCY_MS)}, {"latency_bucket": latency.bucket(LATENCY_MS) + 1}),
        ({"scope": Scope("p1", "l1")}, {"scope": Scope("p1", "l2")}),
    ],
)
def test_a_frame_is_shown_only_where_every_condition_holds(fits: dict[str, Any], fails: dict[str, Any]) -> None:
    assert is_shown(SCRATCHED)
    assert is_shown(SCRATCHED, **fits)
    assert not is_shown(SCRATCHED, **fails)
    assert not is_shown(SCRATCHED, **{"label": "dent"} | fits) or "label" in fits


def test_a_frame_counts_by_its_trigger_and_never_as_a_replay() -> None:
    first = verdict(1, 0.1)  # triggered 100 ms before it was appended
    assert is_shown(first)
    assert not is_shown(dataclasses.replace(first, gateway_ms=101))
    assert not is_shown(verdict(2, 60.1))
    assert not is_shown(dataclasses.replace(first, simulated=True))
    assert not is_shown(dataclasses.replace(first, gateway_ms=2**62))


def test_a_picture_says_where_its_frame_lies_and_what_was_surest() -> None:
    picture = shown(SCRATCHED, None)
    assert (picture.label, picture.score, picture.finding) == ("scratch", 0.9, None)
    assert (picture.frame_partition, picture.frame_offset) == (0, 1)
    assert picture.triggered_at == at(10) - timedelta(milliseconds=100)


def test_a_frame_that_nothing_was_found_in_has_no_label() -> None:
    picture = shown(verdict(1, 1, outcome=Outcome.ERROR, reason=Reason.CORRUPT, model_id=None), None)
    assert (picture.label, picture.score, picture.threshold, picture.model_id) == (None, None, None, "")


@given(st.dictionaries(st.integers(0, 9999), st.integers(0, 2**53), min_size=1))
def test_the_ends_of_a_page_survive_as_text(ends: dict[int, int]) -> None:
    assert parse_frames_cursor(frames_cursor(ends)) == ends


@given(st.integers(0, 10**14), st.uuids())
def test_the_last_decision_of_a_page_survives_as_text(at_ms: int, verdict_id: UUID) -> None:
    assert parse_judged_cursor(judged_cursor(at_ms, verdict_id)) == (at_ms, verdict_id)


@given(st.text().filter(lambda text: not text.startswith(("f", "j"))) | st.sampled_from(["f:1", "f:1.-2", "j:1:x"]))
def test_other_text_is_no_cursor(text: str) -> None:
    for parse in (parse_frames_cursor, parse_judged_cursor):
        with pytest.raises(CallerError, match="cursor"):
            parse(text)
