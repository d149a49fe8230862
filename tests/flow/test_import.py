"""`lineside models import`: weights, class order, preprocessing and golden vectors belong together, or are refused."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
from typer.testing import CliRunner

from models.artifact import load_artifact
from streams.cli import app
from tests.models_fixture import tiny_artifact

RUN = CliRunner()


@pytest.fixture
def files(tmp_path: Path) -> Path:
    artifact = tiny_artifact()
    save(tmp_path, dict(artifact.weights))
    golden = {"pictures": artifact.golden.pictures, "scores": artifact.golden.scores}
    (tmp_path / "golden.safetensors").write_bytes(safetensors.numpy.save(golden))
    describe(tmp_path)
    return tmp_path


def save(folder: Path, weights: dict[str, Any]) -> None:
    (folder / "weights.safetensors").write_bytes(safetensors.torch.save(weights))


def describe(folder: Path, **changes: Any) -> None:
    artifact = tiny_artifact()
    told = {
        "model_id": "elsewhere",
        "arch": artifact.arch,
        "classes": [asdict(item) for item in artifact.classes],
        "preprocessing": {"width": artifact.preprocessing.width, "height": artifact.preprocessing.height},
        "temperature": artifact.temperature,
    }
    (folder / "model.json").write_text(json.dumps(told | changes))


def run(folder: Path) -> Any:
    files = ["--description", folder / "model.json", "--golden", folder / "golden.safetensors", "--out", folder / "out"]
    return RUN.invoke(app, ["models", "import", *map(str, (folder / "weights.safetensors", *files)), "--json"])


def refused(folder: Path) -> str:
    done = run(folder)
    assert type(done.exception).__name__ == "ModelRefusedError", (done.output, done.exception)
    assert not (folder / "out").exists()
    return str(done.exception)


def test_what_belongs_together_becomes_a_model(files: Path) -> None:
    done = run(files)
    assert done.exit_code == 0, (done.output, done.exception)
    said, kept = json.loads(done.stdout), load_artifact(files / "out")
    assert (said["model_id"], said["sha256"]) == ("elsewhere", kept.sha256)
    assert said["classes"] == [item.name for item in tiny_artifact().classes]
    assert all(bool((kept.weights[name] == value).all()) for name, value in tiny_artifact().weights.items())


def test_names_of_parallel_training_are_known(files: Path) -> None:
    save(files, {f"module.{name}": value for name, value in tiny_artifact().weights.items()})
    assert run(files).exit_code == 0


def test_a_swapped_class_order_is_seen_by_the_golden_vectors(files: Path) -> None:
    """The same weights with the head's rows exchanged: the names would be wrong."""
    weights = dict(tiny_artifact().weights)
    for name in ("fc.weight", "fc.bias"):
        weights[name] = weights[name].flip(0).contiguous()
    save(files, weights)
    assert "golden vector" in refused(files)


def test_another_preprocessing_is_seen_by_the_golden_vectors(files: Path) -> None:
    size = {"width": tiny_artifact().preprocessing.width, "height": tiny_artifact().preprocessing.height}
    describe(files, preprocessing=size | {"mean": [0, 0, 0], "std": [1, 1, 1]})
    assert "golden vector" in refused(files)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"arch": "resnet50"}, "weights of a resnet50"),
        ({"classes": []}, "expected 2 to"),
        ({"classes": [{"name": "good"}]}, "a class"),
        ({"preprocessing": {"width": 0}}, "width must be"),
        ({"preprocessing": {"depth": 3}}, "exactly"),
        ({"tolerance": {"FP9": 1}}, "describe a model"),
        ({"temperature": "hot"}, "temperature"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_description_that_cannot_be_is_refused(files: Path, changes: dict[str, Any], why: str) -> None:
    describe(files, **changes)
    assert why in refused(files)


def test_a_missing_key_and_a_wrong_head_are_refused(files: Path) -> None:
    weights = dict(tiny_artifact().weights)
    save(files, {name: value for name, value in weights.items() if name != "layer4.1.bn2.bias"})
    assert "layer4.1.bn2.bias" in refused(files)
    save(files, weights | {"fc.weight": weights["fc.weight"][:2].contiguous(), "fc.bias": weights["fc.bias"][:2]})
    assert "fc." in refused(files)


def test_a_pickle_in_disguise_is_refused_and_not_run(files: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return Path.touch, (files / "exploded",)

    for name in ("weights.safetensors", "golden.safetensors"):
        before = (files / name).read_bytes()
        (files / name).write_bytes(pickle.dumps(Bomb()))
        refused(files)
        (files / name).write_bytes(before)
    assert not (files / "exploded").exists()


def test_golden_vectors_of_another_shape_are_refused(files: Path) -> None:
    golden = {"pictures": np.zeros((2, 8, 8, 3), np.uint8), "scores": np.full((2, 3), 1 / 3, np.float32)}
    (files / "golden.safetensors").write_bytes(safetensors.numpy.save(golden))
    assert "golden pictures" in refused(files)
