"""A locator on disk and at work: what is saved comes back, what was damaged is refused, places are what they were."""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
import safetensors.torch
import torch

from models.artifact import save_artifact
from models.errors import ModelError, ModelRefusedError
from models.locating.artifact import LocatorArtifact, Tolerance, load_locator_artifact
from models.locating.network import expected_tensors, size_of
from models.locating.start import fitting, read_start
from models.locating.tiny import TINY_DEFECTS, tiny_locator
from models.locator import Locator, load_locator, save_locator
from models.preprocess import EncodedImage, RejectedImageError
from tests.discs import blocks
from tests.models_fixture import tiny_artifact

BIAS = "rpn.head.cls_logits.bias"
WEIGHTS, GOLDEN, MANIFEST = "weights.safetensors", "golden.safetensors", "locator.json"


@pytest.fixture(scope="module")
def artifact() -> LocatorArtifact:
    return tiny_locator()


@pytest.fixture(scope="module")
def saved(artifact: LocatorArtifact, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("locator") / "model"
    save_locator(artifact, path)
    return path


@pytest.fixture
def directory(saved: Path, tmp_path: Path) -> Path:
    """A copy to damage; files that a test doesn't write stay links."""
    copy = tmp_path / "model"
    copy.mkdir()
    for file in saved.iterdir():
        (copy / file.name).symlink_to(file)
    return copy


def put(directory: Path, name: str, data: bytes) -> None:
    (directory / name).unlink()
    (directory / name).write_bytes(data)


def edit_manifest(directory: Path, change: Callable[[dict[str, Any]], object]) -> None:
    manifest = json.loads((directory / MANIFEST).read_text())
    change(manifest)
    put(directory, MANIFEST, json.dumps(manifest).encode())


def forge(directory: Path, name: str, data: bytes) -> None:
    """Another file, and its right hash."""
    put(directory, name, data)
    edit_manifest(directory, lambda m: m["files"].update({name: hashlib.sha256(data).hexdigest()}))


@pytest.fixture(scope="module")
def locator(saved: Path) -> Locator:
    return load_locator(saved)


def test_what_was_saved_comes_back_and_finds_the_same_places(
    artifact: LocatorArtifact, saved: Path, locator: Locator
) -> None:
    loaded = load_locator_artifact(saved)
    for name in ("model_id", "arch", "classes", "sides", "anchor_side", "min_score", "tolerance", "created_at"):
        assert getattr(loaded, name) == getattr(artifact, name), name
    assert all(torch.equal(loaded.weights[name], value) for name, value in artifact.weights.items())
    assert loaded.sha256 == hashlib.sha256((saved / MANIFEST).read_bytes()).hexdigest()
    image = EncodedImage(blocks(), "PNG")
    assert (locator.model_id, locator.classes, locator.sha256) == ("tiny-locator", TINY_DEFECTS, loaded.sha256)
    places = locator.places(image)
    assert places
    assert places == locator.places(image) == Locator(artifact).places(image)


def test_places_lie_in_the_picture_the_surest_first_and_above_the_least_score(locator: Locator) -> None:
    places = [place for seed in range(3) for place in locator.places(EncodedImage(blocks(seed), "PNG"))]
    one = locator.places(EncodedImage(blocks(1), "PNG"))
    assert [place.score for place in one] == sorted((place.score for place in one), reverse=True)
    assert all(place.score >= locator.min_score and place.label in TINY_DEFECTS for place in places)
    for place in places:
        assert place.x >= 0
        assert place.y >= 0
        assert place.x + place.width <= 160 + 1e-3
        assert place.y + place.height <= 120 + 1e-3
        for x, y in place.outline:
            assert place.x <= x <= place.x + place.width
            assert place.y <= y <= place.y + place.height
    assert any(len(place.outline) >= 3 for place in places)


def test_a_picture_that_cannot_be_decoded_is_rejected_as_everywhere(locator: Locator) -> None:
    with pytest.raises(RejectedImageError, match="UNSUPPORTED_FORMAT"):
        locator.places(EncodedImage(b"no picture", "PNG"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.update(format=2), "has format 2; this program reads format 1"),
        (lambda m: m.pop("sides"), r"missing keys \['sides'\]"),
        (lambda m: m.update(code="x"), r"unknown keys \['code'\]"),
        (lambda m: m["files"].update({"run.py": "0" * 64}), r"unknown keys \['run.py'\]"),
        (lambda m: m["tolerance"].update(luck=1), r"unknown keys \['luck'\]"),
        (lambda m: m.update(classes="ab"), "classes and sides of locator.json must be lists"),
        (lambda m: m.update(created_at="monday"), "can't be read as a locator: ValueError"),
    ],
)
def test_facts_that_are_not_as_expected_are_refused(
    directory: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    edit_manifest(directory, change)
    with pytest.raises(ModelRefusedError, match=said):
        load_locator_artifact(directory)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"arch": "maskrcnn_resnet152"}, "unknown architecture 'maskrcnn_resnet152'"),
        ({"classes": ("dent",)}, r"expected torch.float32.*; 1 classes are named"),
        ({"classes": ("dent", "dent")}, "with different names; came 2"),
        ({"classes": ("dent", "../x")}, "a class name must be"),
        ({"sides": (96, 64)}, r"sides must rise from at least 32 to at most 4096; came \(96, 64\)"),
        ({"sides": (64, 1e9)}, "must be whole numbers"),
        ({"sides": (48, 96)}, "golden picture 0 has 96x64, which sides"),
        ({"anchor_side": 1}, "anchor_side must be a number from 2 to 128; came 1"),
        ({"min_score": 1.5}, r"min_score must be a number from 0.0 to 1.0; came 1.5"),
        ({"tolerance": Tolerance(score=0.9)}, r"tolerance of scores must be a number from 0.0 to 0.1"),
        ({"golden": ()}, "expected 1 to 4 golden pictures; came 0"),
    ],
)
def test_facts_that_cannot_be_are_refused(artifact: LocatorArtifact, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelRefusedError, match=said):
        replace(artifact, **changes)


def test_a_file_that_was_changed_is_refused(directory: Path) -> None:
    data = bytearray((directory / WEIGHTS).read_bytes())
    data[-1] ^= 1
    put(directory, WEIGHTS, bytes(data))
    with pytest.raises(ModelRefusedError, match=r"weights.safetensors was changed: locator.json says sha256"):
        load_locator_artifact(directory)


def test_a_pickle_in_the_weights_place_is_refused(directory: Path) -> None:
    forge(directory, WEIGHTS, pickle.dumps({"a": 1}))
    with pytest.raises(ModelRefusedError, match="claims a header of"):
        load_locator_artifact(directory)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda w: w.pop(BIAS), rf"missing keys \['{BIAS}'\]"),
        (lambda w: w.update(extra=torch.zeros(1)), r"unknown keys \['extra'\]"),
        (lambda w: w.update({BIAS: torch.zeros(4)}), r"expected torch.float32 \[3\], came"),
        (lambda w: w.update({BIAS: torch.full((3,), float("nan"))}), "holds numbers that are not finite"),
    ],
)
def test_weights_of_another_network_are_refused(
    artifact: LocatorArtifact, change: Callable[[dict[str, torch.Tensor]], object], said: str
) -> None:
    weights = dict(artifact.weights)
    change(weights)
    with pytest.raises(ModelRefusedError, match=said):
        replace(artifact, weights=weights)


@pytest.mark.parametrize(
    "change", [lambda head: head[[0, 2, 1]], lambda head: head * 0.5], ids=["exchanged classes", "other scores"]
)
def test_weights_that_see_other_places_fail_the_golden_picture(
    artifact: LocatorArtifact, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    heads = {f"roi_heads.box_predictor.cls_score.{part}" for part in ("weight", "bias")}
    weights = dict(artifact.weights) | {name: change(artifact.weights[name]) for name in heads}
    with pytest.raises(ModelRefusedError, match=r"golden picture 0: training saw a \w+ of score 0\.\d+ at .* doesn't"):
        Locator(replace(artifact, weights=weights)).check()


def test_golden_places_of_no_known_label_are_refused(directory: Path) -> None:
    golden = safetensors.numpy.load((directory / GOLDEN).read_bytes())
    golden["0.labels"] = golden["0.labels"] + 2
    forge(directory, GOLDEN, safetensors.numpy.save(golden))
    with pytest.raises(ModelRefusedError, match="golden labels 0 must be some of 1 to 2"):
        load_locator_artifact(directory)


def test_a_directory_without_a_locator_says_what_was_expected(artifact: LocatorArtifact, tmp_path: Path) -> None:
    save_artifact(tiny_artifact(), tmp_path / "classifier")
    with pytest.raises(ModelError, match="holds a classifier, not a locator: expected a directory with"):
        load_locator(tmp_path / "classifier")
    with pytest.raises(ModelError, match="holds no locator"):
        load_locator(tmp_path)
    with pytest.raises(ModelError, match="holds something other than a model"):
        save_locator(artifact, tmp_path / "classifier")


def test_the_input_keeps_the_pictures_ratio_within_its_sides() -> None:
    assert size_of(640, 480, (240, 320)) == (320, 240)
    assert size_of(480, 640, (240, 400)) == (240, 320)
    assert size_of(2000, 500, (240, 320)) == (320, 80)


def test_a_start_takes_a_classifiers_body_and_a_locators_heads_of_the_same_classes(saved: Path, tmp_path: Path) -> None:
    classifier = tiny_artifact()
    save_artifact(classifier, tmp_path / "classifier")
    body = fitting(read_start(tmp_path / "classifier"), "maskrcnn_resnet18_fpn", ("dent",))
    assert torch.equal(body["backbone.body.layer4.1.conv2.weight"], classifier.weights["layer4.1.conv2.weight"])
    assert all(name.startswith("backbone.body.") for name in body)

    start = read_start(saved)
    assert len(fitting(start, "maskrcnn_resnet18_fpn", TINY_DEFECTS)) == len(start.weights)
    others = fitting(start, "maskrcnn_resnet18_fpn", ("dent", "stain"))
    assert set(start.weights) - set(others) == {
        f"roi_heads.{head}.{part}"
        for head in ("box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits")
        for part in ("weight", "bias")
    }
    with pytest.raises(ModelRefusedError, match=r"don't fit a maskrcnn_resnet50_fpn: backbone\.body"):
        fitting(start, "maskrcnn_resnet50_fpn", TINY_DEFECTS)


def test_a_start_takes_torchvisions_file_by_its_old_names(tmp_path: Path) -> None:
    old = {}
    for name, value in expected_tensors("maskrcnn_resnet18_fpn", 90).items():
        for today, before in (
            ("rpn.head.conv.0.0.", "rpn.head.conv."),
            *((f"mask_head.{n}.0.", f"mask_head.mask_fcn{n + 1}.") for n in range(4)),
            *((f"{kind}_blocks.{n}.0.", f"{kind}_blocks.{n}.") for kind in ("inner", "layer") for n in range(4)),
        ):
            name = name.replace(today, before)
        old[name] = torch.ones(value.shape, dtype=value.dtype)
    assert "roi_heads.mask_head.mask_fcn4.bias" in old
    safetensors.torch.save_file(old, tmp_path / "coco.safetensors")
    found = fitting(read_start(tmp_path / "coco.safetensors"), "maskrcnn_resnet18_fpn", ("dent",))
    expected = expected_tensors("maskrcnn_resnet18_fpn", 1)
    assert {name for name in expected if name not in found} == {
        name for name in expected if "box_predictor" in name or "mask_fcn_logits" in name
    }
    assert found["backbone.body.bn1.running_var"][0] == pytest.approx(1 - 1e-5, abs=1e-7)
    (tmp_path / "coco.pth").write_bytes(b"PK\x03\x04" + b"0" * 100)
    with pytest.raises(ModelRefusedError, match="is a pickle"):
        read_start(tmp_path / "coco.pth")
