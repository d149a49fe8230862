"""`lineside novelty`: from good parts alone to a model that asks people about what it has never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.artifact import load_artifact
from streams.cli import app
from tests.commands import RUN, lineside
from tests.unit.test_train import spot

GOOD, BAD = 240, 20


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("novelty")
    for number in range(GOOD + BAD):
        label = "good" if number < GOOD else ("red", "blue")[number % 2]
        (folder / "shots" / label).mkdir(parents=True, exist_ok=True)
        (folder / "shots" / label / f"part-{number}.png").write_bytes(spot(label, number).data)
    lineside("dataset", "build", folder / "set", "--source", "folder", "--folder", folder / "shots")
    made = ("--size", "32x32", "--practice", "160", "--false-alarm", "0.05", "--places", "200")
    lineside("novelty", "--data", folder / "set", "--out", folder / "model", *made)
    return folder


def test_defects_that_nobody_showed_it_are_novel(place: Path) -> None:
    said = lineside("evaluate", "--model", place / "model", "--data", place / "set", "--split", "train")
    assert said["novelty"]["ranking"]["auroc"]["value"] > 0.99
    assert said["novelty"]["found"]["value"] == 1.0
    assert said["decided"]["escape"]["value"] == 1.0, "it rejects nothing by itself: people are asked"


def test_false_alarms_among_good_parts_it_has_not_seen_are_few(place: Path) -> None:
    said = lineside("evaluate", "--model", place / "model", "--data", place / "set", "--split", "test")
    assert said["novelty"]["false_alarms"]["value"] < 0.2
    kept = load_artifact(place / "model")
    assert kept.novelty is not None
    assert (kept.novelty.false_alarm, len(kept.novelty.bank)) == (0.05, 200)
    assert [item.name for item in kept.classes] == ["good", "unknown"]


def test_it_can_be_added_to_a_model_that_is_there(place: Path) -> None:
    said = lineside(
        *("novelty", "--model", place / "model", "--data", place / "set", "--out", place / "again"),
        *("--false-alarm", "0.1", "--seed", "3"),
    )
    assert said["sha256"] != load_artifact(place / "model").sha256
    assert said["threshold"] <= 2.0


def test_too_few_good_parts_for_so_rare_false_alarms_are_refused_with_how_many_it_takes(place: Path) -> None:
    asked = ["novelty", "--model", place / "model", "--data", place / "set", "--out", place / "no"]
    done = RUN.invoke(app, [*map(str, asked), "--false-alarm", "0.001"])
    assert "takes at least 999 good parts in the validation split" in str(done.exception)
    assert not (place / "no").exists()
