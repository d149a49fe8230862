"""`lineside train --start`: what the command begins with, where that comes from, and what it says without network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from models import published as published_module
from models.artifact import Artifact, load_artifact, save_artifact
from models.families import ARCHITECTURES
from models.resnet import build_network
from models.weights import begin_with
from streams.cli import app
from streams.commands import train as command
from streams.commands.options import run
from tests.commands import lineside
from tests.models_fixture import tiny_artifact
from tests.unit.test_published import entry
from tests.weights_server import WeightsServer


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file as torchvision publishes them, made up."""
    file = tmp_path_factory.mktemp("made") / "net.pth"
    torch.manual_seed(5)
    torch.save(build_network("resnet18", 1000).state_dict(), file)
    return file.read_bytes()


class Begun:
    """A training that begins and ends at once: what it began with."""

    def __init__(self) -> None:
        self.start: dict[str, Any] = {}
        self.trainings = 0

    def __call__(self, examples: object, spec: object, show: object, **given: Any) -> Artifact:
        self.start, self.trainings = dict(given["start"]), self.trainings + 1
        return tiny_artifact()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    async def no_pictures(*_: object) -> list[Any]:
        return []

    training = Begun()
    monkeypatch.setattr(command, "train", training)
    monkeypatch.setattr(command, "training_examples", no_pictures)
    return training


def publish(monkeypatch: pytest.MonkeyPatch, server: WeightsServer) -> None:
    """torchvision's table names the server's file for a ResNet-18, and nothing for any other."""
    known = entry(server.data)
    there = published_module.Published(known.name, server.url(known.file_name), known.sha256, known.mean, known.std)
    monkeypatch.setattr(published_module, "versions", lambda arch: [there] if arch == "resnet18" else [])


def test_imagenet_is_fetched_once_and_the_model_remembers_what_it_began_with(
    weights: bytes, begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "model"
    asked = ("train", "--start", "imagenet", "--out", out, "--data-dir", tmp_path / "data")
    with WeightsServer(weights, cuts=(20_000_000,)) as server:
        publish(monkeypatch, server)
        said = lineside(*asked)
    assert said["start"] == load_artifact(out).metrics["start"] == "Test_Weights.IMAGENET1K_V1"
    lineside(*asked)
    assert server.asked == ["", "bytes=20000000-"], "the second call needs no network"
    network = build_network("resnet18", 2)
    head = network.fc.weight.clone()  # type: ignore[union-attr,operator]
    begin_with(network, begun.start)
    assert torch.equal(network.conv1.weight, begun.start["conv1.weight"])  # type: ignore[union-attr,arg-type]
    assert torch.equal(network.fc.weight, head), "a head of 1000 classes is left out"  # type: ignore[union-attr,arg-type]


def status_of(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["lineside", *map(str, arguments)])
    return run(app)


def test_without_network_it_says_what_to_do_and_no_training_begins(
    weights: bytes,
    begun: Begun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with WeightsServer(weights) as server:
        publish(monkeypatch, server)
    data = ("--data-dir", tmp_path / "data", "--out", tmp_path / "model")
    assert status_of(monkeypatch, "train", "--start", "imagenet", *data) == 2
    said, name = " ".join(capsys.readouterr().err.split()), entry(weights).file_name
    assert "can't be reached" in said
    assert f"fetch {name} ({server.url(name)}) elsewhere and give it with --start FILE" in said
    assert begun.trainings == 0
    fetched_elsewhere = tmp_path / "from elsewhere.pth"
    fetched_elsewhere.write_bytes(weights)
    assert status_of(monkeypatch, "train", "--start", fetched_elsewhere, *data, "--json") == 0
    assert begun.start["fc.weight"].shape == (1000, 512)


def test_another_file_under_the_name_is_refused_and_not_kept(
    weights: bytes,
    begun: Begun,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with WeightsServer(weights) as server:
        publish(monkeypatch, server)
        server.data = weights[:-1] + b"!"
        assert status_of(monkeypatch, "train", "--start", "imagenet", "--data-dir", tmp_path) == 2
    assert "another sha256" in capsys.readouterr().err
    assert [file.suffix for file in (tmp_path / "cache" / "weights").iterdir()] == [".lock"]
    assert begun.trainings == 0


@pytest.mark.parametrize("arch", [arch for arch in ARCHITECTURES if arch in ("vit_ti_16", "vit_s_16")])
def test_where_torchvision_has_no_weights_nothing_is_fetched(
    arch: str, begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert status_of(monkeypatch, "train", "--arch", arch, "--start", "imagenet", "--data-dir", tmp_path) == 2
    assert f"no ImageNet weights of a {arch}" in capsys.readouterr().err
    assert begun.trainings == 0


def test_without_the_wish_nothing_is_asked_of_anybody(
    begun: Begun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.commands.start.fetched", lambda *_: pytest.fail("it was fetched"))
    save_artifact(tiny_artifact(), tmp_path / "before")
    out = ("--data-dir", tmp_path, "--out", tmp_path / "model")
    assert "start" not in lineside("train", *out)
    assert lineside("train", "--start", tmp_path / "before", *out)["start"] == tiny_artifact().model_id
    assert begun.trainings == 2
