"""What scores say about a model: against the single figures' own tests, and by cases small enough to count."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.artifact import ModelClass
from models.examination import Rule, examine
from schemas.records import Outcome
from streams.inspection.decide import ANY_DEFECT, ClassRoles, judge
from tests.builders import recipe

CLASSES = (ModelClass("good", "good"), ModelClass("dent", "defect", 0.6), ModelClass("scratch", "defect", 0.6))
RULE = Rule(CLASSES, 0.7, 0.2)
SCORES = np.array(
    [
        [0.9, 0.05, 0.05],  # good, passed
        [0.45, 0.4, 0.15],  # good, passed: 0.55 bad together lies in the band below 0.7
        [0.2, 0.7, 0.1],  # good, rejected
        [0.1, 0.8, 0.1],  # dent, rejected
        [0.8, 0.1, 0.1],  # dent, passed
        [0.25, 0.4, 0.35],  # scratch, rejected by all defects together, taken for a dent
    ],
    np.float32,
)
LABELS = np.array([0, 0, 0, 1, 1, 2])


def test_every_part_is_counted_where_it_belongs() -> None:
    found = examine(SCORES, LABELS, RULE)
    assert found.total == 6
    assert (found.decided.escape.count, found.decided.escape.total) == (1, 3)
    assert (found.decided.overkill.count, found.decided.overkill.total) == (1, 3)
    assert (found.unsure.count, found.unsure.total) == (1, 6)
    assert [(c.name, c.rejected.count, c.rejected.total, c.recognised.count) for c in found.classes] == [
        ("good", 1, 3, 2),
        ("dent", 1, 2, 1),
        ("scratch", 1, 1, 0),
    ]
    assert found.confusion == ((2, 1, 0), (1, 1, 0), (0, 1, 0))
    assert (found.escapes, found.overkills) == ((4,), (2,))


def test_slices_are_the_parts_with_one_value_and_none_where_all_are_alike() -> None:
    lines = ["L1", "L1", "L2", "L2", "L2", "L2"]
    found = examine(SCORES, LABELS, RULE, {"line": lines, "plant": ["p"] * 6})
    assert [(s.by, s.value, s.decided.accuracy.total) for s in found.slices] == [("line", "L2", 4), ("line", "L1", 2)]
    assert found.slices[1].ranking.auroc.value is None
    assert found.slices[1].ranking.auroc.why.endswith("all that came are good")
    with pytest.raises(ValueError, match="5 values of line for 6 pictures"):
        examine(SCORES, LABELS, RULE, {"line": lines[:5]})


def test_990_good_and_10_bad_all_predicted_good_look_accurate_and_let_every_bad_part_pass() -> None:
    scores = np.tile(np.array([[0.99, 0.005, 0.005]], np.float32), (1000, 1))
    found = examine(scores, np.array([0] * 990 + [1] * 10), RULE)
    assert found.decided.accuracy.value == 0.99
    assert found.decided.escape.value == 1.0
    assert found.decided.balanced_accuracy == 0.5
    assert found.ranking.auroc.value == 0.5


def test_nothing_is_said_of_nothing() -> None:
    said = examine(SCORES[:0], LABELS[:0], RULE).to_json()
    assert json.loads(json.dumps(said, allow_nan=False))["ranking"]["auroc"] == {
        "value": None,
        "why": "there are no parts",
    }


def test_the_worst_errors_come_first() -> None:
    scores = np.array([[0.9, 0.1, 0], [0.99, 0.01, 0], [0.2, 0.8, 0], [0.05, 0.95, 0]], np.float32)
    found = examine(scores, np.array([1, 1, 0, 0]), RULE)
    assert (found.escapes, found.overkills) == ((1, 0), (3, 2))


PROBABILITIES = st.tuples(*[st.floats(0.01, 1)] * 3).map(lambda raw: [value / sum(raw) for value in raw])


@given(PROBABILITIES, st.floats(0.05, 0.95), st.floats(0.05, 0.95), st.floats(0, 0.5))
def test_a_frame_is_judged_on_the_line_as_it_is_examined_here(
    scores: list[float], own: float, together: float, band: float
) -> None:
    limits = [limit - width for limit in (own, together) for width in (0, band)]
    sums = (*scores[1:], scores[1] + scores[2])
    assume(min(abs(score - limit) for score in sums for limit in limits) > 1e-4)
    classes = (CLASSES[0], *(replace(c, threshold=own) for c in CLASSES[1:]))
    found = examine(np.array([scores], np.float32), np.array([0]), Rule(classes, together, band))
    roles = ClassRoles(tuple(c.name for c in classes), frozenset(("dent", "scratch")))
    thresholds = {"dent": own, "scratch": own, ANY_DEFECT: together}
    judged = judge(scores, roles, recipe(thresholds=thresholds, unsure_band=band)).outcome
    expected = Outcome.NG if found.overkills else Outcome.UNSURE if found.unsure.count else Outcome.OK
    assert judged is expected
