"""Weights from pictures without labels: they are learnt, kept without a head, and another training begins with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.errors import DatasetError
from models.fit import FitSpec
from models.keeping import Keeping
from models.preprocess import EncodedImage, Preprocessing
from models.pretrain import pretrain
from models.published import read_start
from models.resnet import build_network
from models.train import Progress, TrainSpec
from models.weights import begin_with
from streams.errors import CallerError
from tests.commands import lineside
from tests.unit.test_train import spot
from tests.unit.test_training_goes_on import ended_at

SPEC = TrainSpec(
    model_id="any", preprocessing=Preprocessing(width=32, height=32), fit=FitSpec(practice=80, batch=8, epochs=7)
)


@pytest.fixture(scope="module")
def pictures() -> dict[str, EncodedImage]:
    return {f"{n}.png": spot("red" if n == 5 else "good", n) for n in range(24)}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_the_body_alone_is_learnt_by_marks_alone(pictures: dict[str, EncodedImage]) -> None:
    seen: list[Progress] = []
    weights = pretrain(pictures, replace(SPEC, fit=replace(SPEC.fit, practice=640)), seen.append)
    steps = [progress for progress in seen if progress.stage == "fit"]
    assert [progress.epoch for progress in steps] == [0] * 80, "eighty batches with marks, and no epoch"
    losses = [progress.loss or 0 for progress in steps]
    assert sum(losses[-10:]) < sum(losses[:10])
    torch.manual_seed(SPEC.seed)
    network = build_network("resnet18", 5)
    head = network.fc.weight.clone()  # type: ignore[union-attr,operator]
    assert weights.keys() == network.state_dict().keys() - {"fc.weight", "fc.bias"}
    assert not torch.equal(network.conv1.weight, weights["conv1.weight"])  # type: ignore[union-attr,arg-type]
    begin_with(network, weights)
    assert torch.equal(network.conv1.weight, weights["conv1.weight"])  # type: ignore[union-attr,arg-type]
    assert torch.equal(network.fc.weight, head)  # type: ignore[union-attr,arg-type]


def test_ended_it_goes_on_and_comes_to_the_same_weights(pictures: dict[str, EncodedImage], tmp_path: Path) -> None:
    keeping, show = Keeping(tmp_path / "state"), ended_at(4)
    with pytest.raises(KeyboardInterrupt):
        pretrain(pictures, SPEC, show, keeping=keeping)
    later: list[int] = []
    weights = pretrain(pictures, SPEC, lambda p: later.append(p.done) if p.stage == "fit" else None, keeping=keeping)
    assert later == list(range(5, 11))
    assert equal(weights, pretrain(pictures, SPEC))


def test_it_begins_with_weights_where_they_are_given(pictures: dict[str, EncodedImage]) -> None:
    start = build_network("resnet18", 3).state_dict()
    assert not equal(pretrain(pictures, SPEC, start=start), pretrain(pictures, SPEC))


def test_without_marks_or_pictures_there_is_nothing_to_learn(pictures: dict[str, EncodedImage]) -> None:
    with pytest.raises(DatasetError, match="by made-up marks alone; came --practice 0, give at least a batch of 8"):
        pretrain(pictures, replace(SPEC, fit=replace(SPEC.fit, practice=0)))
    with pytest.raises(DatasetError, match="no picture to learn from"):
        pretrain({}, SPEC)
    with pytest.raises(DatasetError, match="expected at least 8 pictures to train on, came 3"):
        pretrain({name: pictures[name] for name in list(pictures)[:3]}, SPEC)
    with pytest.raises(DatasetError, match=r"the picture of part bad\.png .* is unusable"):
        pretrain({**pictures, "bad.png": EncodedImage(b"no picture", "PNG")}, SPEC)


def test_the_command_keeps_weights_of_a_folder_that_another_training_can_begin_with(
    pictures: dict[str, EncodedImage], tmp_path: Path
) -> None:
    folder, file = tmp_path / "shots", tmp_path / "new" / "shots.safetensors"
    folder.mkdir()
    for name, image in pictures.items():
        (folder / name).write_bytes(image.data)
    options = ("--size", "32x32", "--practice", 16, "--batch", 8, "--data-dir", tmp_path / "data")
    said = lineside("train", "--pretrain", folder, "--out", file, *options)
    assert said == {"weights": str(file), "arch": "resnet18", "pictures": 24}
    assert [left.name for left in file.parent.iterdir()] == [file.name], "no state of the training is left"
    begin_with(build_network("resnet18", 2), read_start(file)[0])
    with pytest.raises(CallerError, match="leave out --data and --folder"):
        lineside("train", "--pretrain", folder, "--folder", folder, *options)
