"""The gate before a release: what an evaluation must show."""

from __future__ import annotations

import numpy as np

from models.artifact import ModelClass
from models.evaluate import Evaluation, evaluate
from models.qualification import Gate, shortfalls

CLASSES = (ModelClass("good", "good"), ModelClass("scratch", "defect", 0.5))


def decided(good_passed: int, good_rejected: int, bad_passed: int, bad_rejected: int) -> Evaluation:
    bad_scores = [0.1] * good_passed + [0.9] * good_rejected + [0.1] * bad_passed + [0.9] * bad_rejected
    labels = [0] * (good_passed + good_rejected) + [1] * (bad_passed + bad_rejected)
    scores = np.array([[1 - score, score] for score in bad_scores], np.float32).reshape(-1, 2)
    return evaluate(scores, np.array(labels, np.int64), CLASSES)


def test_990_good_and_10_bad_all_passed_is_accurate_and_refused() -> None:
    found = decided(990, 0, 10, 0)
    assert found.accuracy.value == 0.99
    assert found.escape.value == 1.0
    (lacking,) = shortfalls(found, Gate(least_bad=10))
    assert "escape is 100.00% (10 of 10" in lacking
    assert len(shortfalls(found, Gate())) == 2, "and too few bad parts were seen"


def test_a_good_model_on_enough_parts_passes() -> None:
    assert shortfalls(decided(97, 3, 1, 99), Gate()) == []


def test_a_model_that_rejects_too_many_good_parts_is_refused() -> None:
    (lacking,) = shortfalls(decided(90, 10, 0, 100), Gate())
    assert "overkill is 10.00% (10 of 100" in lacking


def test_no_bad_part_or_no_good_one_shows_nothing() -> None:
    assert shortfalls(decided(1000, 0, 0, 0), Gate()) == ["0 bad parts were seen; at least 30 must be"]
    assert shortfalls(decided(0, 0, 0, 100), Gate()) == ["no good part was seen, so overkill is unknown"]
