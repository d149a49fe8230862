"""`lineside calibrate`: a new artifact with the same weights, which evaluation finds as it was promised."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from models.artifact import load_artifact, save_artifact
from tests.commands import lineside
from tests.models_fixture import TINY_CLASSES, tiny_artifact, tiny_pictures

EACH = 60


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a data set whose labels are drawn: the model is often wrong."""
    folder = tmp_path_factory.mktemp("calibrate")
    save_artifact(tiny_artifact(), folder / "model")
    for number, pixels in enumerate(tiny_pictures(len(TINY_CLASSES) * EACH, seed=5)):
        label = TINY_CLASSES[number % len(TINY_CLASSES)]
        (folder / "shots" / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "shots" / label / f"part-{number}.png")
    good = next(item.name for item in tiny_artifact().classes if item.role == "good")
    lineside("dataset", "build", folder / "set", "--source", "folder", "--folder", folder / "shots", "--good", good)
    return folder


def test_at_zero_escape_no_bad_part_of_validation_passes_and_evaluate_says_the_same(place: Path) -> None:
    said = lineside("calibrate", "--model", place / "model", "--data", place / "set", "--out", place / "zero")
    assert said["escape"]["count"] == 0
    assert said["escape"]["total"] > 10
    found = lineside("evaluate", "--model", place / "zero", "--data", place / "set", "--split", "validation")
    assert found["decided"]["escape"]["count"] == 0
    assert found["decided"]["overkill"]["count"] == said["overkill"]["count"]
    test = lineside("evaluate", "--model", place / "zero", "--data", place / "set", "--split", "test")
    assert test["decided"]["escape"] == said["test"]["escape"]
    before, after = load_artifact(place / "model"), load_artifact(place / "zero")
    assert after.metrics["calibrated_from"] == before.sha256 != after.sha256 == said["sha256"]


def test_at_a_given_overkill_no_more_good_parts_are_rejected(place: Path) -> None:
    said = lineside(
        *("calibrate", "--model", place / "model", "--data", place / "set", "--out", place / "overkill"),
        *("--rule", "overkill", "--overkill", "0.2"),
    )
    assert said["overkill"]["value"] <= 0.2


def test_a_model_can_be_calibrated_in_its_place(place: Path) -> None:
    lineside("calibrate", "--model", place / "model", "--data", place / "set", "--out", place / "same")
    said = lineside(
        *("calibrate", "--model", place / "same", "--data", place / "set", "--out", place / "same"),
        *("--rule", "cost", "--escape-cost", "1000"),
    )
    assert load_artifact(place / "same").sha256 == said["sha256"]
