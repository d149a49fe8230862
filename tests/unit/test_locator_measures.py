"""A locator's figures: which place covers which mark, masks, and what can't be said."""

from __future__ import annotations

import pytest

from models.dataset_rows import Box
from models.locating.measures import (
    ANY_SCORE,
    LEAST_SCORE,
    Looked,
    best_min_score,
    box_overlap,
    mask_overlap,
    measured,
    pairs_of,
)
from models.locating.place import Place

SQUARE = ((10.0, 10.0), (30.0, 10.0), (30.0, 30.0), (10.0, 30.0))
DENT = Box("dent", 1, 10, 10, 20, 20, (SQUARE,))


def place(x: float, score: float = 0.9, label: str = "dent", width: float = 20) -> Place:
    corners = ((x, 10.0), (x + width, 10.0), (x + width, 30.0), (x, 30.0))
    return Place(label, score, x, 10, width, 20, corners)


def test_overlaps_are_intersection_over_union() -> None:
    assert box_overlap(DENT, place(10)) == 1
    assert box_overlap(DENT, place(20)) == pytest.approx(1 / 3)
    assert box_overlap(DENT, place(30)) == 0
    assert mask_overlap(DENT, place(20)) == pytest.approx(1 / 3)
    assert mask_overlap(DENT, place(50)) == 0
    assert mask_overlap(DENT, Place("dent", 1, 10, 10, 20, 20)) == 0


def test_a_mark_is_found_once_by_the_surest_place_of_its_label() -> None:
    places = [place(10, 0.5), place(12, 0.8), place(10, 0.9, "scratch")]
    assert pairs_of([DENT], places, 0.5) == [(0, 1)]
    assert pairs_of([DENT], places[2:], 0.5) == []
    other = Box("dent", 1, 14, 10, 20, 20)
    assert sorted(pairs_of([DENT, other], places[:2], 0.5)) == [(0, 1), (1, 0)]


def test_figures_count_marks_good_pictures_and_masks() -> None:
    looked = [
        Looked((DENT,), (place(10), place(60)), 10),
        Looked((DENT,), (place(19),), 20),
        Looked((), (place(10), place(60), place(90)), 30),
        Looked((), (), 40),
    ]
    said = measured(looked).to_json()
    assert (said["found"]["0.5"]["count"], said["found"]["0.5"]["total"]) == (1, 2)
    assert said["found"]["0.3"]["value"] == 1.0
    assert said["found"]["0.3"]["low"] == pytest.approx(0.158, abs=1e-3)  # 0.025 to the power of a half
    assert said["places_that_cover_a_mark"]["value"] == pytest.approx(1 / 3)
    assert said["good_pictures_with_places"]["value"] == 0.5
    assert said["places_a_good_picture"]["value"] == 1.5
    assert said["mask_overlap"]["masks"] == 2
    assert said["mask_overlap"]["value"] == pytest.approx((1 + 11 / 29) / 2)
    assert said["ms"]["value"] == 25


def test_what_is_not_defined_is_null_with_a_reason() -> None:
    said = measured([Looked((), ())]).to_json()
    assert said["found"]["0.5"] == {
        **dict.fromkeys(("value", "low", "high")),
        **{"count": 0, "total": 0, "why": "no defect is marked"},
    }
    assert said["mask_overlap"] == {"value": None, "why": "no found mark has an outline", "masks": 0}
    said = measured([Looked((DENT,), ())]).to_json()
    assert said["places_a_good_picture"] == {"value": None, "why": "there is no good picture"}
    assert said["places_that_cover_a_mark"]["why"] == "there is no place on a marked picture"
    assert measured([]).to_json()["ms"] == {"value": None, "why": "there is no picture"}


def test_the_least_score_is_where_marks_are_found_and_little_else() -> None:
    looked = [
        Looked((DENT,), (place(10, 0.9), place(60, 0.2))),
        Looked((DENT,), (place(10, 0.6), place(60, 0.3))),
        Looked((), (place(10, 0.1),)),
    ]
    assert best_min_score(looked) == 0.6
    assert best_min_score([Looked((DENT,), (place(60, 0.9),))]) == ANY_SCORE
    assert best_min_score([Looked((DENT,), (place(10, 0.01),))]) == LEAST_SCORE
