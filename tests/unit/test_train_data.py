"""Data sets: one order of classes, parts that stay in their split, and figures with exact intervals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from models.artifact import ModelClass
from models.dataset import Example, by_split, class_order, load, split_of
from models.errors import DatasetError
from models.evaluate import evaluate, rate
from models.preprocess import EncodedImage, Preprocessing

NO_PICTURE = EncodedImage(b"", "PNG")
CLASSES = (ModelClass("good", "good"), ModelClass("dent", "defect", 0.4), ModelClass("scratch", "defect", 0.6))


def examples(count: int, split: str | None = None) -> list[Example]:
    return [Example(NO_PICTURE, ("good", "dent")[n % 2], f"P{n}", split) for n in range(count)]  # type: ignore[arg-type]


def test_good_comes_first_and_defects_in_natural_order() -> None:
    labels = ["defect10", "ok", "defect2", "crack", "defect2"]
    assert class_order(labels, "ok") == ("ok", "crack", "defect2", "defect10")


@pytest.mark.parametrize("labels", [[], ["good"], ["dent", "scratch"]])
def test_good_and_bad_pictures_are_needed(labels: list[str]) -> None:
    with pytest.raises(DatasetError, match="expected pictures labelled 'good' and of at least one defect; came"):
        class_order(labels, "good")


def test_a_parts_split_depends_on_its_id_alone() -> None:
    found = [split_of(f"P{n}") for n in range(4_000)]
    assert found == [split_of(f"P{n}") for n in range(4_000)]
    assert found.count("train") / 4_000 == pytest.approx(0.70, abs=0.03)
    assert found.count("validation") / 4_000 == pytest.approx(0.15, abs=0.03)


def test_all_pictures_of_a_part_lie_in_one_split() -> None:
    views = [example for example in examples(200) for _ in range(3)]
    splits = by_split(views, ("good", "dent"))
    homes = {name: {e.part_id for e in members} for name, members in splits.items()}
    assert not homes["train"] & homes["test"]
    assert sum(map(len, splits.values())) == 600


def test_a_part_in_two_splits_is_refused() -> None:
    torn = examples(100)
    torn[1:1] = [replace(torn[0], split="train"), replace(torn[0], split="test")]
    with pytest.raises(DatasetError, match="part P0 is in the splits"):
        by_split(torn, ("good", "dent"))


def test_a_class_that_would_never_be_trained_is_refused() -> None:
    data = [*examples(100), Example(NO_PICTURE, "crack", "X", "test")]
    with pytest.raises(DatasetError, match="the train split has no picture of crack"):
        by_split(data, ("good", "dent", "crack"))


def test_a_split_without_bad_parts_is_refused() -> None:
    with pytest.raises(DatasetError, match="the validation split needs good and bad parts; came 0 pictures"):
        by_split(examples(100, "train"), ("good", "dent"))


def test_an_unusable_picture_is_named() -> None:
    with pytest.raises(DatasetError, match=r"the picture of part P0 \(good\) is unusable: EMPTY"):
        load(examples(2), ("good", "dent"), Preprocessing(width=16, height=16), lambda: None)


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),  # by R's binom.test
    [(0, 10, 0.0, 0.3084971), (10, 10, 0.6915029, 1.0), (5, 10, 0.1870860, 0.8129140), (1, 400, 0.0000633, 0.0138502)],
)
def test_intervals_are_those_of_clopper_and_pearson(count: int, total: int, low: float, high: float) -> None:
    found = rate(count, total)
    assert found.low == pytest.approx(low, abs=1e-6)
    assert found.high == pytest.approx(high, abs=1e-6)


@pytest.mark.parametrize(("count", "total"), [(3, 20), (17, 656), (4_000, 8_000)])
def test_the_interval_holds_its_own_definition(count: int, total: int) -> None:
    found = rate(count, total)
    assert found.low is not None
    assert found.high is not None

    def at_most(k: int, p: float) -> float:
        return math.fsum(
            math.exp(math.lgamma(total + 1) - math.lgamma(i + 1) - math.lgamma(total - i + 1))
            * p**i
            * (1 - p) ** (total - i)
            for i in range(k + 1)
        )

    if total < 1_000:  # beyond it the binomial coefficient leaves the range of floats
        assert 1 - at_most(count - 1, found.low) == pytest.approx(0.025, rel=1e-5)
        assert at_most(count, found.high) == pytest.approx(0.025, rel=1e-5)
    assert found.low < count / total < found.high


def test_a_rate_of_nothing_is_undefined() -> None:
    assert rate(0, 0).to_json() == {"value": None, "low": None, "high": None, "count": 0, "total": 0}
    assert str(rate(0, 0)) == "n/a (0 of 0)"


@pytest.mark.parametrize(("count", "total"), [(-1, 3), (4, 3)])
def test_an_impossible_count_is_a_bug(count: int, total: int) -> None:
    with pytest.raises(ValueError, match="0 <= count <= total"):
        rate(count, total)


def test_escapes_and_overkill_are_counted_by_each_class_own_threshold() -> None:
    scores = np.array(
        [
            [0.9, 0.1, 0.0],  # good, passed
            [0.5, 0.5, 0.0],  # good, rejected: overkill
            [0.4, 0.1, 0.5],  # scratch below its 0.6: escape, though it is the highest
            [0.5, 0.4, 0.1],  # dent at its threshold: caught, though good is higher
        ],
        np.float32,
    )
    found = evaluate(scores, np.array([0, 0, 2, 1]), CLASSES)
    assert (found.escape.count, found.escape.total) == (1, 2)
    assert (found.overkill.count, found.overkill.total) == (1, 2)
    assert found.accuracy.value == 0.5
    assert found.balanced_accuracy == 0.5
    assert found.class_accuracy.count == 3  # of [0.5, 0.5, 0] the first is taken


def test_without_bad_parts_escape_and_balance_are_undefined() -> None:
    found = evaluate(np.array([[0.9, 0.1, 0.0]], np.float32), np.array([0]), CLASSES)
    assert found.escape.value is None
    assert found.balanced_accuracy is None
    assert found.overkill.value == 0.0
