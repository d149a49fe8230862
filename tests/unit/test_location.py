"""Where defects lie, as an event: which frames are looked at, and what the event holds."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest

from models.locator import Place
from schemas.records import Box, Outcome, Reason
from streams.downstream.locating.location import is_looked_at, located, location_id
from tests.contracts.samples import DEFECT
from tests.locating import FakeLocator

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "is_wanted"),
    [
        ({}, True),
        ({"outcome": Outcome.UNSURE}, False),
        ({"reason": Reason.CORRUPT}, False),
        ({"reason": Reason.LATE}, False),
        ({"simulated": True}, False),
    ],
)
def test_only_what_was_rejected_on_a_line_for_what_it_shows_is_looked_at(
    changes: dict[str, Any], is_wanted: bool
) -> None:
    rejected = {"outcome": Outcome.NG, "reason": Reason.SCORE, "simulated": False}
    assert is_looked_at(dataclasses.replace(DEFECT.verdict, **rejected | changes)) is is_wanted


def test_the_event_names_the_frame_the_model_and_the_places_in_pixels() -> None:
    found = Place("dent", 0.75, 10.6, 20.2, 5.0, 3.1, ((10.66, 20.24), (15.6, 20.2), (12.0, 23.3)))
    record = located(DEFECT, FakeLocator("w" * 64), [found], NOW, 812.34567)
    (place,) = record.places
    assert (place.label, place.score, place.box) == ("dent", 0.75, Box(x=10, y=20, width=6, height=4))
    assert place.outline == (10.7, 20.2, 15.6, 20.2, 12.0, 23.3)
    assert (record.verdict_id, record.frame_id) == (DEFECT.verdict.verdict_id, DEFECT.verdict.frame_id)
    assert (record.reason, record.detail, record.locate_ms) == (Reason.SCORE, "", 812.346)
    assert (record.model_id, record.model_sha256, record.located_at) == ("where-1", "w" * 64, NOW)


def test_a_verdict_is_located_once_by_each_model() -> None:
    one, other = (located(DEFECT, FakeLocator(sha * 64), [], NOW, 1.0).location_id for sha in "ab")
    assert one == location_id(DEFECT.verdict.verdict_id, "a" * 64)
    assert one != other


def test_a_box_that_leaves_the_picture_or_has_no_width_is_still_a_box() -> None:
    record = located(DEFECT, FakeLocator(), [Place("dent", 0.5, -3.5, 4.0, 0.0, 0.0)], NOW, 1.0)
    assert record.places[0].box == Box(x=0, y=4, width=1, height=1)
