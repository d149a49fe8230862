"""What is said of a data set: its balance, what it can show, doubles, doubtful labels, and what makes figures wrong."""

from __future__ import annotations

import numpy as np
import pytest

from models.dataset_rows import Item
from models.errors import DatasetError
from models.label_errors import Suspect, suspects
from models.sufficiency import bound_of_none, parts_for
from models.twins import Twin
from streams.datasets.checking import Checked, Goals, Seen, check


def item(part: str, label: str = "good", split: str = "train", pixels: str | None = None) -> Item:
    return Item(
        file=f"images/{label}/{part}.png",
        sha256=part,
        pixel_sha256=pixels or part,
        width=1,
        height=1,
        label=label,
        split=split,
        part_id=part,
        label_from="source",
        near_hash=None,
        boxes=(),
    )


def whole() -> list[Item]:
    """400 good and 40 bad parts of two kinds, in all splits."""
    splits = ["train", "train", "validation", "test"]
    good = [item(f"G{n}", "good", splits[n % 4]) for n in range(400)]
    return good + [item(f"B{n}", "dent" if n % 8 < 4 else "scratch", splits[n % 4]) for n in range(40)]


def checked(items: list[Item], seen: Seen = Seen(twins=(), suspects=None, why_not="no model")) -> Checked:  # noqa: B008
    return check("v1", items, "good", 0, seen, Goals(escape=0.2, overkill=0.05))


def test_a_sound_set_has_no_problem_and_says_what_it_can_show() -> None:
    found = checked(whole())
    assert found.problems == ()
    assert found.classes == ("good", "dent", "scratch")
    assert found.balance[0].parts == {"train": 200, "validation": 100, "test": 100}
    escape, overkill, dents, _ = found.enough
    assert (escape.parts, overkill.parts, dents.parts) == (10, 100, 5)
    assert escape.bound == pytest.approx(1 - 0.05 ** (1 / 10))
    assert [e.reached for e in found.enough] == [False, True, False, False]
    assert "10 parts in the test split, of which none going wrong shows at most 25.89%; for 20.00% it takes 14" in str(
        found.cautions
    )


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([*whole(), item("G0", split="test")], "1 parts are in more than one split, such as G0"),
        ([*whole(), item("X", split="test", pixels="G0")], "1 pictures stand in more than one split"),
        ([i for i in whole() if i.label == "good" or i.split != "train"], "class dent has no part in the train split"),
        ([i for i in whole() if i.label == "good" or i.split != "test"], "the test split has no bad part"),
        ([i for i in whole() if i.label != "good" or i.split != "validation"], "the validation split has no good part"),
    ],
)
def test_what_makes_figures_wrong_is_a_problem(items: list[Item], said: str) -> None:
    assert said in " ".join(checked(items).problems)


def test_twins_across_splits_are_a_problem_and_different_labels_among_them_are_told() -> None:
    items = whole()
    places = [next(n for n, i in enumerate(items) if i.part_id == part) for part in ("G0", "B3")]
    found = checked(items, Seen(twins=[Twin(*places, 0.995)], suspects=None, why_not="no model"))
    assert "1 pairs of nearly the same picture stand in different splits" in found.problems[0]
    assert "1 pairs of nearly the same picture have different labels" in found.cautions
    assert found.to_json()["near_duplicates"][0]["labels"] == ["good", "dent"]


def test_what_nobody_looked_for_is_null_with_its_reason() -> None:
    said = checked(whole()).to_json()
    assert said["likely_label_errors"] is None
    assert said["no_label_errors_because"] == "no model"


def test_doubtful_labels_are_counted_by_kind() -> None:
    seen = Seen(twins=(), suspects=[Suspect(0, 0, 1, 0.02), Suspect(4, 0, 1, 0.03)])
    found = checked(whole(), seen)
    assert "2 labels are likely wrong, most often good that looks dent (2): look at them" in found.cautions


def test_no_part_shows_nothing_and_the_numbers_are_those_of_the_binomial() -> None:
    assert bound_of_none(0) is None
    assert bound_of_none(299) == pytest.approx(0.00997, abs=1e-5)
    assert [parts_for(rate) for rate in (0.05, 0.01, 0.001)] == [59, 299, 2995]


def test_swapped_labels_are_found_and_right_ones_left_alone() -> None:
    rng = np.random.default_rng(3)
    truth = np.repeat([0, 1], [300, 60])
    features = (rng.normal(0, 1, (360, 16)) + 6 * truth[:, None] * np.eye(16)[0]).astype(np.float32)
    given, wrong = truth.copy(), {5, 50, 310, 340}
    for place in wrong:
        given[place] ^= 1
    found = suspects(features, given, [f"P{n}" for n in range(360)])
    places = [suspect.place for suspect in found]
    assert len(wrong & set(places)) >= 3
    assert set(places) <= wrong
    assert [suspect.trust for suspect in found] == sorted(suspect.trust for suspect in found), "least trusted first"
    both = [{1 - int(label)} if place == found[0].place else set[int]() for place, label in enumerate(given)]
    assert suspects(features, given, [f"P{n}" for n in range(360)], both) == found[1:], "it is labelled both"


def test_of_too_few_parts_nothing_is_said_of_labels() -> None:
    labels = np.array([0] * 20 + [1] * 10)
    parts = [f"P{n}" for n in range(20)] + ["Q1", "Q2", "Q3"] * 3 + ["Q1"]
    with pytest.raises(DatasetError, match="fewer than 5 parts"):
        suspects(np.zeros((30, 4), np.float32), labels, parts)
