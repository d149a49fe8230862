"""Two models on the same parts: what one alone gets wrong."""

from __future__ import annotations

import numpy as np
import pytest

from models.artifact import ModelClass
from models.examination import Rule
from models.paired import Judged, paired

GOOD, BAD = ModelClass("good", "good"), ModelClass("scratch", "defect", 0.5)
LABELS = np.array([0, 0, 0, 1, 1, 1, 1])


def judged(*bad: float) -> Judged:
    scores = np.array([[1 - score, score] for score in bad], np.float32)
    return Judged(scores, LABELS, Rule((GOOD, BAD), None, 0.1))


def test_parts_that_both_get_wrong_are_no_difference() -> None:
    one = judged(0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1)
    found = paired(one, one)
    assert (found.escapes.only_a, found.escapes.only_b, found.escapes.p) == (0, 0, None)
    assert (found.overkills.only_a, found.overkills.only_b) == (0, 0)
    assert found.a == found.b


def test_each_ones_own_errors_are_counted_apart() -> None:
    found = paired(judged(0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1), judged(0.1, 0.9, 0.1, 0.1, 0.9, 0.9, 0.9))
    assert (found.escapes.only_a, found.escapes.only_b, found.escapes.p) == (2, 1, 1.0)
    assert (found.overkills.only_a, found.overkills.only_b) == (1, 1)


def test_models_may_order_their_classes_differently() -> None:
    one = judged(0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1)
    other = Judged(one.scores[:, ::-1].copy(), 1 - LABELS, Rule((BAD, GOOD), None, 0.1))
    found = paired(one, other)
    assert found.a.escape == found.b.escape
    assert found.escapes.only_a == found.escapes.only_b == 0


def test_other_pictures_are_refused() -> None:
    one = judged(0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1)
    with pytest.raises(ValueError, match="7 pictures against 6"):
        paired(one, Judged(one.scores[:6], LABELS[:6], one.rule))
    turned = Rule((ModelClass("scratch", "good"), ModelClass("good", "defect", 0.5)), None, 0.1)
    with pytest.raises(ValueError, match="defect for one model and good for the other"):
        paired(one, Judged(one.scores, 1 - LABELS, turned))
