"""Figures without a threshold: against hand-made cases, definitions, and what must not change them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.measures import BINS, calibration, confusion, ranking, zero_escape

SCORES = np.array([0.1, 0.4, 0.35, 0.8], np.float32)
BAD = np.array([False, False, True, True])


def test_a_hand_made_case() -> None:
    """Of 4 pairs of a bad and a good part, 3 are in order; precision at the two bad ones is 1 and 2/3."""
    found = ranking(SCORES, BAD)
    assert found.auroc.value == pytest.approx(3 / 4)
    assert found.auprc.value == pytest.approx((1 + 2 / 3) / 2)
    assert found.zero_escape.threshold.value == pytest.approx(0.35)
    assert (found.zero_escape.overkill.count, found.zero_escape.overkill.total) == (1, 2)
    assert (found.zero_escape.escape.count, found.zero_escape.escape.total) == (0, 2)


def test_no_escape_among_few_bad_parts_says_little() -> None:
    few = zero_escape(np.full(10, 0.9, np.float32), np.ones(10, bool)).escape
    many = zero_escape(np.full(1000, 0.9, np.float32), np.ones(1000, bool)).escape
    assert few.high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert many.high == pytest.approx(1 - 0.025 ** (1 / 1000))


@pytest.mark.parametrize(
    ("bad", "why"),
    [([], "there are no parts"), ([True, True], "all that came are bad"), ([False], "all that came are good")],
)
def test_what_is_not_defined_is_none_with_a_reason(bad: list[bool], why: str) -> None:
    found = ranking(np.full(len(bad), 0.5, np.float32), np.array(bad, bool))
    assert found.auroc.value is None
    assert found.auprc.value is None
    assert why in found.auroc.why
    assert "NaN" not in json.dumps(found.to_json(), allow_nan=False)
    if not any(bad):
        assert found.zero_escape.threshold.value is None
        assert found.zero_escape.overkill.value is None


@given(st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=2, max_size=60))
def test_the_auroc_is_the_share_of_pairs_in_order(parts: list[tuple[int, bool]]) -> None:
    scores, bad = np.array([s / 20 for s, _ in parts], np.float32), np.array([b for _, b in parts])
    pairs = [(s > g) + (s == g) / 2 for s in scores[bad] for g in scores[~bad]]
    found = ranking(scores, bad).auroc.value
    assert found == pytest.approx(sum(pairs) / len(pairs)) if pairs else found is None


@given(st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=1, max_size=60))
def test_at_zero_escape_no_bad_part_passes_and_no_higher_threshold_does_that(parts: list[tuple[float, bool]]) -> None:
    scores, bad = np.array([s for s, _ in parts], np.float32), np.array([b for _, b in parts])
    found = zero_escape(scores, bad)
    if found.threshold.value is None:
        assert not bad.any()
        return
    assert (scores[bad] >= np.float32(found.threshold.value)).all()
    assert not (scores[bad] >= np.nextafter(np.float32(found.threshold.value), np.float32(2))).all()


def test_probabilities_that_are_right_as_often_as_they_claim_have_no_error() -> None:
    """20 parts at 0.8 of which 16 are right, and 10 at 1.0 that all are."""
    scores = np.array([[0.8, 0.2]] * 20 + [[0.0, 1.0]] * 10, np.float32)
    labels = np.array([0] * 16 + [1] * 4 + [1] * 10, np.int64)
    found = calibration(scores, labels)
    assert found.ece.value == pytest.approx(0, abs=1e-6)
    assert found.brier.value == pytest.approx((16 * 2 * 0.04 + 4 * 2 * 0.64) / 30)
    assert [b.right.total for b in found.bins] == [20, 10]
    assert found.bins[-1].high == 1.0


def test_too_sure_is_an_error_of_just_that_much() -> None:
    scores, labels = np.array([[1.0, 0.0]] * 10, np.float32), np.array([0] * 6 + [1] * 4, np.int64)
    assert calibration(scores, labels).ece.value == pytest.approx(0.4)
    assert calibration(scores[:0], labels[:0]).ece.why == "there are no parts"


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=50))
def test_every_part_is_in_one_bin_that_holds_its_score(values: list[float]) -> None:
    scores = np.stack([np.array(values, np.float32), 1 - np.array(values, np.float32)], axis=1)
    found = calibration(scores, np.zeros(len(values), np.int64))
    assert sum(b.right.total for b in found.bins) == len(values)
    assert all(b.low - 1e-6 <= b.claimed <= b.high + 1e-6 for b in found.bins)
    assert len(found.bins) <= BINS


def test_the_confusion_counts_each_part_once() -> None:
    scores = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.2, 0.3], [0.1, 0.2, 0.7]], np.float32)
    assert confusion(scores, np.array([0, 1, 2, 2])).tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 1]]


def test_scores_for_other_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="4 scores for 3 parts"):
        ranking(SCORES, BAD[:3])
