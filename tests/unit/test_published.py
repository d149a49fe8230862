"""torchvision's ImageNet weights: the newest by its own table, and read only where a file is one that it names."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

import models
import streams
from models import published as module
from models.dataset import Example
from models.errors import ModelRefusedError
from models.families import ARCHITECTURES
from models.published import Published, published, read_start, versions
from models.resnet import build_network
from models.train import TrainSpec, train
from streams.commands.train import SPECS
from tests.unit.test_train import spot

NEWEST = {"resnet18": 1, "resnet34": 1, "resnet50": 2, "resnet101": 2, "resnet152": 2, "resnext50_32x4d": 2}
NEWEST |= {"resnext101_32x8d": 2, "resnext101_64x4d": 1, "wide_resnet50_2": 2, "wide_resnet101_2": 2, "vit_b_16": 1}


class Program:
    """Unpickled, it writes a file: so a test sees whether it ran."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.write_text, (self.file, "it ran")


def entry(data: bytes, name: str = "Test_Weights.IMAGENET1K_V1") -> Published:
    sha256 = hashlib.sha256(data).hexdigest()[:8]
    return Published(name, f"http://127.0.0.1:9/net-{sha256}.pth", sha256, (0.5,) * 3, (0.5,) * 3)


def named(monkeypatch: pytest.MonkeyPatch, file: Path) -> Path:
    """torchvision's table names this very file, whatever is in it."""
    only = [entry(file.read_bytes())]
    monkeypatch.setattr(module, "versions", lambda arch: only if arch == "resnet18" else [])
    return file


def saved(what: object, file: Path, is_old: bool = False) -> Path:
    torch.save(what, file, _use_new_zipfile_serialization=not is_old)
    return file


def test_the_newest_weights_of_imagenet_1k_alone_are_taken() -> None:
    found = {arch: published(arch).name for arch in ARCHITECTURES if versions(arch)}
    assert {arch: name.partition(".")[2] for arch, name in found.items()} == {
        arch: f"IMAGENET1K_V{version}" for arch, version in NEWEST.items()
    }


def test_a_file_is_named_with_its_address_and_how_its_sha256_begins() -> None:
    for arch in NEWEST:
        weights = published(arch)
        assert weights.url.startswith("https://")
        assert weights.file_name.endswith(f"-{weights.sha256}.pth")
        assert len(weights.sha256) >= 8


@pytest.mark.parametrize("arch", ["vit_ti_16", "vit_s_16", "resnet18+resnet34", "nothing"])
def test_an_architecture_without_published_weights_is_refused_with_those_that_have(arch: str) -> None:
    with pytest.raises(ModelRefusedError, match=r"names no ImageNet weights of a .*; it does for resnet18, .*vit_b_16"):
        published(arch)


def test_trainings_normalise_as_the_published_weights_expect() -> None:
    specs = [TrainSpec(model_id="any"), *SPECS.values()]
    assert {(spec.preprocessing.mean, spec.preprocessing.std) for spec in specs} == {
        (weights.mean, weights.std) for arch in NEWEST for weights in versions(arch)
    }


@pytest.mark.parametrize("is_old", [False, True])
def test_a_published_file_is_read_in_both_forms_that_torch_has_written(
    is_old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = torch.nn.Linear(3, 2).state_dict()
    weights, name = read_start(named(monkeypatch, saved(state, tmp_path / "net.pth", is_old)))
    assert name == "Test_Weights.IMAGENET1K_V1"
    assert weights.keys() == {"weight", "bias"}
    assert torch.equal(weights["weight"], state["weight"])


def test_safetensors_are_read_as_ever(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    safetensors.torch.save_file({"a": torch.ones(3)}, file)
    weights, name = read_start(file)
    assert (name, weights["a"].tolist()) == ("mine.safetensors", [1, 1, 1])


def test_a_pth_that_torchvision_does_not_name_is_refused_unread(tmp_path: Path) -> None:
    file = saved({"weight": torch.ones(2)}, tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(ModelRefusedError, match=r"none of the files that torchvision names .* into safetensors"):
        read_start(file)


@pytest.mark.parametrize("is_old", [False, True])
@pytest.mark.parametrize("is_named", [False, True])
def test_a_program_in_disguise_is_refused_and_does_not_run_not_even_where_its_digest_fits(
    is_old: bool, is_named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = tmp_path / "ran"
    file = saved({"weight": torch.ones(2), "more": Program(ran)}, tmp_path / "net.pth", is_old)
    if is_named:
        named(monkeypatch, file)
    with pytest.raises(ModelRefusedError, match="other than tensors" if is_named else "is a pickle"):
        read_start(file)
    assert not ran.exists()
    torch.load(file, weights_only=False)
    assert ran.exists(), "it was no program: the test shows nothing"


@pytest.mark.parametrize("what", [[torch.ones(2)], {"epoch": 3}, {1: torch.ones(2)}])
def test_a_named_file_of_something_else_is_refused(
    what: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ModelRefusedError, match="something other than tensors"):
        read_start(named(monkeypatch, saved(what, tmp_path / "net.pth")))


def test_a_named_file_that_is_damaged_inside_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved({"weight": torch.ones(2000)}, tmp_path / "net.pth")
    file.write_bytes(file.read_bytes()[:3000])
    with pytest.raises(ModelRefusedError, match="something other than tensors"):
        read_start(named(monkeypatch, file))


def test_weights_of_another_architecture_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = named(monkeypatch, saved(build_network("resnet18", 1000).state_dict(), tmp_path / "net.pth"))
    examples = [Example(spot(label, n), label, f"P{n}") for n in range(60) for label in ("good", "red")[n % 2 :][:1]]
    with pytest.raises(ModelRefusedError, match="of another architecture: layer"):
        train(examples, TrainSpec(model_id="x", arch="resnet34"), start=read_start(file)[0])


def test_no_other_place_has_torch_read_a_pickle() -> None:
    readers = set()
    for package in (models, streams):
        for file in Path(str(package.__file__)).parent.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
                    readers.add(file.name)
                if isinstance(node, (ast.Import, ast.ImportFrom)) and "pickle" in ast.unparse(node):
                    readers.add(file.name)
    assert readers == {"published.py"}
