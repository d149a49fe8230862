"""An artifact on disk: what is saved comes back, and whatever was damaged is refused with its reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from models.artifact import Artifact, Golden, ModelClass, load_artifact, save_artifact
from models.errors import ModelError, ModelRefusedError
from schemas.records import Precision
from tests.models_fixture import TINY_CLASSES, tiny_artifact

WEIGHTS, GOLDEN, MANIFEST = "weights.safetensors", "golden.safetensors", "model.json"


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return tiny_artifact()


@pytest.fixture
def directory(artifact: Artifact, tmp_path: Path) -> Path:
    save_artifact(artifact, tmp_path / "model")
    return tmp_path / "model"


def edit_manifest(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((directory / MANIFEST).read_text())
    change(manifest)
    (directory / MANIFEST).write_text(json.dumps(manifest))


def replace_file(directory: Path, name: str, data: bytes) -> None:
    """What a forger would do: another file, and its right hash."""
    (directory / name).write_bytes(data)
    edit_manifest(directory, lambda m: m["files"].update({name: hashlib.sha256(data).hexdigest()}))


def edit_weights(directory: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = safetensors.torch.load((directory / WEIGHTS).read_bytes())
    change(weights)
    replace_file(directory, WEIGHTS, safetensors.torch.save(weights))


def test_what_was_saved_comes_back(artifact: Artifact, directory: Path) -> None:
    loaded = load_artifact(directory)
    for name in (
        "model_id",
        "arch",
        "classes",
        "preprocessing",
        "unsure_band",
        "any_defect_threshold",
        "tolerance",
        "created_at",
        "temperature",
    ):
        assert getattr(loaded, name) == getattr(artifact, name), name
    assert all(torch.equal(loaded.weights[name], value) for name, value in artifact.weights.items())
    assert np.array_equal(loaded.golden.pictures, artifact.golden.pictures)
    assert np.array_equal(loaded.golden.scores, artifact.golden.scores)
    assert loaded.sha256 == hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()


def test_the_digest_covers_every_file(artifact: Artifact, directory: Path) -> None:
    before = load_artifact(directory).sha256
    edit_weights(directory, lambda w: w["fc.bias"].add_(1e-6))
    assert load_artifact(directory).sha256 != before


def test_an_earlier_model_is_replaced_and_nothing_is_left_behind(artifact: Artifact, directory: Path) -> None:
    save_artifact(replace(artifact, model_id="newer"), directory)
    assert load_artifact(directory).model_id == "newer"
    assert [path.name for path in directory.parent.iterdir()] == ["model"]
    assert sorted(path.name for path in directory.iterdir()) == [GOLDEN, MANIFEST, WEIGHTS]


def test_saving_never_replaces_a_folder_of_other_things(artifact: Artifact, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ModelError, match="something other than a model"):
        save_artifact(artifact, tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_failed_save_leaves_the_earlier_model(
    artifact: Artifact, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("models.artifact_files.write", full)
    with pytest.raises(OSError, match="No space"):
        save_artifact(replace(artifact, model_id="newer"), directory)
    assert load_artifact(directory).model_id == "tiny"
    assert [path.name for path in directory.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("where", ["missing", "empty"])
def test_a_directory_without_a_model_is_the_callers_mistake(tmp_path: Path, where: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match=r"holds no model: expected a directory with model\.json"):
        load_artifact(tmp_path / where)


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_one_flipped_bit_is_refused(directory: Path, name: str) -> None:
    data = bytearray((directory / name).read_bytes())
    data[-100] ^= 1
    (directory / name).write_bytes(data)
    with pytest.raises(ModelRefusedError, match=f"{name} was changed"):
        load_artifact(directory)


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_a_missing_file_is_refused(directory: Path, name: str) -> None:
    (directory / name).unlink()
    with pytest.raises(ModelRefusedError, match=f"{name} is missing"):
        load_artifact(directory)


def test_a_file_beyond_its_limit_is_refused_before_it_is_read(directory: Path) -> None:
    with (directory / WEIGHTS).open("r+b") as file:
        file.truncate(2 << 30)  # sparse
    with pytest.raises(ModelRefusedError, match="expected at most"):
        load_artifact(directory)


MANIFEST_DAMAGE: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "missing key": (lambda m: m.pop("temperature"), r"missing keys \['temperature'\]"),
    "extra key": (lambda m: m.update(surprise=1), r"unknown keys \['surprise'\]"),
    "later format": (lambda m: m.update(format=2), "has format 2; this program reads format 1"),
    "path traversal": (lambda m: m["files"].update({"../../etc/passwd": "0" * 64}), "unknown keys .*passwd"),
    "absolute path": (lambda m: m.update(files={"/etc/passwd": "0" * 64}), "missing keys"),
    "path in the model id": (lambda m: m.update(model_id="../other"), "model_id must be"),
    "files no object": (lambda m: m.update(files=[]), "must be an object"),
    "unknown architecture": (lambda m: m.update(arch="vgg16"), "unknown architecture 'vgg16'"),
    "order of classes": (lambda m: m["classes"].reverse(), "don't fit the order of the classes"),
    "one class less": (lambda m: m["classes"].pop(), r"weight fc\.weight: expected .*\[2, 512\].*came .*\[3, 512\]"),
    "class twice": (lambda m: m["classes"][2].update(name="scratch"), "classes with different names"),
    "unknown role": (lambda m: m["classes"][2].update(role="ugly"), "no other role"),
    "no good class": (lambda m: m["classes"][0].update(role="defect", threshold=0.5), "at least one class"),
    "defect without threshold": (lambda m: m["classes"][1].update(threshold=None), "threshold of scratch"),
    "threshold as text": (lambda m: m["classes"][1].update(threshold="0.5"), "threshold of scratch"),
    "good class with threshold": (lambda m: m["classes"][0].update(threshold=0.5), "only defects do"),
    "extra key in a class": (lambda m: m["classes"][0].update(colour="red"), r"unknown keys \['colour'\]"),
    "temperature of zero": (lambda m: m.update(temperature=0), "temperature must be"),
    "wild tolerance": (lambda m: m["tolerance"].update(FP32=0.9), "tolerance of FP32"),
    "no tolerance for FP32": (lambda m: m["tolerance"].pop("FP32"), "must name FP32"),
    "tolerance of no precision": (lambda m: m["tolerance"].update(FP7=0.01), "FP7"),
    "time that is none": (lambda m: m.update(created_at="yesterday"), "yesterday"),
    "another input size": (lambda m: m["preprocessing"].update(width=64), "golden pictures: expected"),
    "unknown preprocessing": (lambda m: m["preprocessing"].update(fit="crop"), "fit must be one of"),
}


@pytest.mark.parametrize("damage", MANIFEST_DAMAGE)
def test_a_damaged_manifest_is_refused(directory: Path, damage: str) -> None:
    change, reason = MANIFEST_DAMAGE[damage]
    edit_manifest(directory, change)
    with pytest.raises(ModelRefusedError, match=reason):
        load_artifact(directory)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"format": 1, "format": 1}',
        '{"format": NaN}',
        "[" * 100_000,
        "\x00\xff",
    ],
    ids=["empty", "list", "key twice", "NaN", "deep", "binary"],
)
def test_a_manifest_that_is_no_strict_json_object_is_refused(directory: Path, text: str) -> None:
    (directory / MANIFEST).write_text(text)
    with pytest.raises(ModelRefusedError, match=MANIFEST):
        load_artifact(directory)


WEIGHT_DAMAGE: dict[str, tuple[Callable[[dict[str, torch.Tensor]], object], str]] = {
    "missing tensor": (lambda w: w.pop("fc.bias"), r"missing keys \['fc.bias'\]"),
    "extra tensor": (lambda w: w.update(backdoor=torch.zeros(3)), r"unknown keys \['backdoor'\]"),
    "wider head": (lambda w: w.update({"fc.weight": torch.zeros(4, 512)}), "3 classes are named"),
    "half precision": (lambda w: w.update({"fc.bias": w["fc.bias"].half()}), "float16"),
    "NaN": (lambda w: w["conv1.weight"].view(-1)[7:8].fill_(float("nan")), "conv1.weight holds numbers that are not"),
    "infinity": (lambda w: w["fc.bias"].fill_(float("inf")), "fc.bias holds numbers that are not"),
}


@pytest.mark.parametrize("damage", WEIGHT_DAMAGE)
def test_forged_weights_are_refused(directory: Path, damage: str) -> None:
    change, reason = WEIGHT_DAMAGE[damage]
    edit_weights(directory, change)
    with pytest.raises(ModelRefusedError, match=reason):
        load_artifact(directory)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        (1 << 62).to_bytes(8, "little") + b"{}",
        (2 << 20).to_bytes(8, "little") + b"{" + b" " * ((2 << 20) - 2) + b"}",
        (2).to_bytes(8, "little") + b"{]",
        (90).to_bytes(8, "little")
        + b'{"fc.bias": {"dtype": "F32", "shape": [3], "data_offsets": [0, 99999999]}}'.ljust(90),
    ],
    ids=["empty", "one byte", "header of 2^62", "header of 2 MiB", "header no JSON", "offsets outside"],
)
def test_a_forged_safetensors_file_is_refused(directory: Path, data: bytes) -> None:
    replace_file(directory, WEIGHTS, data)
    with pytest.raises(ModelRefusedError):
        load_artifact(directory)


def test_golden_scores_that_are_no_probabilities_are_refused(artifact: Artifact, directory: Path) -> None:
    forged = {"pictures": artifact.golden.pictures, "scores": artifact.golden.scores * 2}
    replace_file(directory, GOLDEN, safetensors.numpy.save(forged))
    with pytest.raises(ModelRefusedError, match="add up to 1"):
        load_artifact(directory)


def test_an_artifact_that_could_not_be_loaded_can_not_be_made(artifact: Artifact) -> None:
    with pytest.raises(ModelRefusedError, match="different names"):
        replace(artifact, classes=(ModelClass("good", "good"),) * 3)
    with pytest.raises(ModelRefusedError, match="golden pictures"):
        replace(artifact, golden=Golden(artifact.golden.pictures[:0], artifact.golden.scores[:0]))
    assert [c.name for c in artifact.classes] == list(TINY_CLASSES)
    assert set(artifact.tolerance) == {Precision.FP32, Precision.BF16, Precision.FP16}
