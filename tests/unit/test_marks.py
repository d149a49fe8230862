"""What a view teaches, by the boxes that people drew: a tile that holds a defect is one, half of it teaches nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from models.artifact import ModelClass
from models.dataset import Example, load, split_of
from models.dataset_rows import Box
from models.errors import DatasetError
from models.evaluate import any_defect, rejected
from models.fit import FitSpec
from models.marks import NOT_SURE, shown_in, to_learn_from
from models.preprocess import EncodedImage, Preprocessing
from models.train import TrainSpec, train
from models.views import Region, any_wrong, combined, views_of
from streams.inspection.decide import ANY_DEFECT, ClassRoles, judge
from tests.builders import recipe
from tests.pictures import saved

LID = Region("lid", 0.25, 0.0, 0.5, 0.5)

CLASSES = {"good": 0, "scratch": 1, "dent": 2}


def part(label: str, *boxes: Box, part_id: str = "p") -> Example:
    pixels = np.full((100, 200, 3), 90, np.uint8)
    for box in boxes:
        pixels[box.y : box.y + box.height, box.x : box.x + box.width] = 255
    return Example(EncodedImage(saved(pixels, "PNG"), "PNG"), label, part_id, boxes=boxes)


def test_a_view_shows_what_lies_in_it_and_teaches_nothing_where_it_shows_half() -> None:
    views = views_of((), 100, 0.0, 200, 100)  # two squares
    dent, crossing = Box("dent", 1, 10, 10, 20, 20), Box("scratch", 1, 0, 50, 200, 4)
    cut = Box("dent", 1, 92, 10, 20, 20)  # 8 of 20 in the first, 12 in the second
    assert shown_in(views, CLASSES["good"], (), CLASSES).tolist() == [0, 0]
    assert shown_in(views, CLASSES["dent"], (dent,), CLASSES).tolist() == [2, 0]
    assert shown_in(views, CLASSES["scratch"], (crossing,), CLASSES).tolist() == [1, 1]
    assert shown_in(views, CLASSES["dent"], (cut,), CLASSES).tolist() == [NOT_SURE, 2]
    assert shown_in(views, CLASSES["dent"], (), CLASSES).tolist() == [NOT_SURE, NOT_SURE]
    wide = Box("dent", 1, 0, 0, 200, 100)  # each shows half of it at most, and all that a view can
    assert shown_in(views, CLASSES["dent"], (wide,), CLASSES).tolist() == [2, 2]
    corner = Box("scratch", 1, 70, 70, 60, 60)  # of no tile of four the half: the one that shows most teaches it
    four = views_of((), 100, 0.0, 200, 200)
    shifted = dataclasses.replace(corner, x=72, y=73)
    assert shown_in(four, CLASSES["scratch"], (shifted,), CLASSES).tolist() == [NOT_SURE, NOT_SURE, NOT_SURE, 1]
    stranger = dataclasses.replace(dent, label="rust")
    assert shown_in(views, CLASSES["dent"], (stranger,), CLASSES).tolist() == [NOT_SURE, 0]


def test_an_overview_comes_before_its_tiles_and_teaches_what_is_large() -> None:
    views = views_of((), 100, 0.0, 200, 100, overview=True)
    assert [view.name for view in views] == [None, "row 1 column 1", "row 1 column 2"]
    lid = views_of((LID,), 100, 0.0, 200, 200, overview=True)
    assert [view.name for view in lid] == ["lid", "lid row 1 column 1"]
    large, small = Box("dent", 1, 10, 10, 20, 20), Box("scratch", 1, 10, 10, 9, 3)
    assert shown_in(views, CLASSES["dent"], (large,), CLASSES).tolist() == [2, 2, 0]
    assert shown_in(views, CLASSES["scratch"], (small,), CLASSES).tolist() == [NOT_SURE, 1, 0]


def test_pictures_are_measured_whole_and_trained_on_in_views() -> None:
    spec = Preprocessing(width=32, height=32, tile=100, overlap=0.0)
    examples = [part("good"), part("dent", Box("dent", 1, 10, 10, 20, 20)), part("dent", Box("dent", 1, 92, 0, 20, 9))]
    whole = load(examples, list(CLASSES), spec, lambda: None)
    assert whole.pictures.shape == (6, 32, 32, 3)
    assert whole.labels.tolist() == [0, 2, 2]
    assert whole.views is not None
    assert whole.views.tolist() == [0, 0, 2, 0, NOT_SURE, 2]
    rows = np.eye(3, dtype=np.float32)[[0, 0, 2, 0, 0, 1]]
    assert whole.combined(rows, [False, True, True]).tolist() == [[1, 0, 0], [0, 0, 1], [0, 1, 0]]
    some = whole.some(np.array([2, 0]))
    assert some.labels.tolist() == [2, 0]
    assert np.array_equal(some.pictures, whole.pictures[[4, 5, 0, 1]])
    trained = load(examples, list(CLASSES), spec, lambda: None, to_train=True)
    assert trained.labels.tolist() == [0, 0, 2, 0, 2]
    assert trained.counts is None


def test_a_model_of_tiles_is_not_trained_on_defects_that_nobody_marked() -> None:
    spec = Preprocessing(width=32, height=32, tile=100)
    with pytest.raises(DatasetError, match=r"part p9 \(dent\) has no box that one of them shows: give boxes"):
        load([part("good"), part("dent", part_id="p9")], list(CLASSES), spec, lambda: None, to_train=True)


def speck(number: int) -> Example:
    """A picture of 256 x 192 with, on every other one, a speck of 6 pixels: less than one at the network's size."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(60, 100, (192, 256, 3), dtype=np.uint8)
    boxes: tuple[Box, ...] = ()
    if number % 2:
        x, y = (int(n) for n in rng.integers(8, 176, 2))
        pixels[y : y + 6, x : x + 6] = 255
        boxes = (Box("speck", 1, x, y, 6, 6),)
    label = "speck" if number % 2 else "good"
    return Example(EncodedImage(saved(pixels, "PNG"), "PNG"), label, f"P{number}", boxes=boxes)


def test_a_model_trained_on_tiles_finds_what_is_too_small_for_the_whole_picture() -> None:
    spec = TrainSpec(
        model_id="specks",
        preprocessing=Preprocessing(width=32, height=32, tile=64, overlap=0.25),
        fit=FitSpec(practice=0, epochs=4, shift=1),
    )
    made = train([speck(number) for number in range(100)], spec)
    assert made.metrics["test"]["balanced_accuracy"] >= 0.95
    assert made.metrics["test"]["accuracy"]["total"] == sum(split_of(f"P{n}") == "test" for n in range(100))
    with pytest.raises(DatasetError, match="soft labels don't go with tiles"):
        train([speck(number) for number in range(100)], dataclasses.replace(spec, soft_labels=True))


def test_several_views_together_are_as_bad_as_the_worst_of_them_everywhere() -> None:
    """Two views that see different defects: what speaks for each adds up to more than what any view says."""
    names = ("good", "scratch", "dent")
    classes = [ModelClass("good", "good"), ModelClass("scratch", "defect", 0.9), ModelClass("dent", "defect", 0.9)]
    rows = combined(np.array([[0.25, 0.75, 0.0], [0.375, 0.0, 0.625]], np.float32), [2], [False, True, True])
    assert rows.tolist() == [[0.25, 0.75, 0.625]]
    assert any_defect(rows, classes).tolist() == [0.75] == [any_wrong(rows[0, 1:], rows[0, :1])]
    assert rejected(rows, classes, 0.75).tolist() == [True]
    assert rejected(rows, classes, 0.76).tolist() == [False]
    roles = ClassRoles(names, frozenset(names[1:]))
    judged = judge(rows[0].tolist(), roles, recipe(thresholds={"scratch": 0.9, "dent": 0.9, ANY_DEFECT: 0.75}))
    assert [(finding.label, finding.score) for finding in judged.findings] == [(ANY_DEFECT, 0.75)]


@pytest.mark.parametrize(
    ("defects", "goods", "wrong"), [([0.25], [0.75], 0.25), ([0.5, 0.5], [], 1.0), ([0], [1.5], 0)]
)
def test_what_is_wrong_is_what_good_leaves_and_never_more_than_all(
    defects: list[float], goods: list[float], wrong: float
) -> None:
    assert any_wrong(defects, goods) == wrong


def test_good_tiles_take_turns_and_good_overviews_always_teach() -> None:
    views = views_of((), 100, 0.0, 600, 400, overview=True)  # the whole, then 24 tiles
    good = np.zeros(len(views), np.int64)
    turns = [to_learn_from(views, good, number).tolist() for number in range(24)]
    assert turns[0] == [0, 1, 7, 13, 19]
    assert turns[1] == [0, 2, 8, 14, 20]
    assert {place for chosen in turns for place in chosen} == set(range(25))
    shown = good.copy()
    shown[[0, 5]] = NOT_SURE, 2
    assert to_learn_from(views, shown, 0).tolist() == [1, 5, 7, 13, 19]
    assert to_learn_from(views[:2], np.array([1, 2]), 3).tolist() == [0, 1]
