"""`lineside locator train|evaluate`: a few pictures are learnt, and what can't be learnt leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from models.dataset import Example
from models.errors import DatasetError, ModelRefusedError, TrainingFailedError
from models.labelled_set import examples
from models.locating import fit, network
from models.locating.fit import LocatorFit, LocatorFitSpec
from models.locating.losses import losses
from models.locating.marked import MarkedPictures
from models.locating.measures import box_overlap, mask_overlap
from models.locating.network import build
from models.locating.start import Start
from models.locating.tiny import tiny_locator
from models.locating.train import LocatorProgress, LocatorSpec, train_locator
from models.locator import load_locator
from models.preprocess import decode
from streams.cli import app
from tests.commands import lineside
from tests.discs import disc, parts_of, plain

SIDES = (64, 64)
FEW = LocatorFitSpec(epochs=1, batch=4, symmetries=(), jitter=0.0)


def data_set(tmp: Path) -> Path:
    """Four marked pictures to train on, one for validation; a marked and a good one are for the test."""
    names = [*parts_of("train", 4), *parts_of("validation", 1), *parts_of("test", 2)]
    shown = [*(disc(n) for n in (0, 1, 2, 3, 10, 11)), plain(20)]
    (tmp / "shots").mkdir()
    document: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "dent"}]}
    for number, (name, example) in enumerate(zip(names, shown, strict=True)):
        (tmp / "shots" / f"{name}.png").write_bytes(example.image.data)
        document["images"].append({"id": number, "file_name": f"{name}.png"})
        for box in example.boxes:
            flat = [[side for corner in polygon for side in corner] for polygon in box.outlines]
            its = {"image_id": number, "category_id": 1, "bbox": [box.x, box.y, box.width, box.height]}
            document["annotations"].append(its | {"segmentation": flat})
    (tmp / "coco.json").write_text(json.dumps(document))
    source = ["--source", "folder", "--folder", tmp / "shots", "--labels", tmp / "coco.json"]
    lineside("dataset", "build", tmp / "set", *source, "--name-pattern", "{part_id}.{ext}")
    return tmp / "set"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data_set(tmp_path_factory.mktemp("locator"))


def test_a_few_pictures_are_learnt_kept_and_evaluated(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fewer = {**network._PROPOSALS, "box_batch_size_per_image": 16}  # half the time of a step
    monkeypatch.setattr(network, "_PROPOSALS", fewer)
    how = ["--sides", "64,64", "--epochs", "24", "--batch", "4", "--rate", "5e-4", "--symmetry", "none"]
    said = lineside("locator", "train", "--data", data, "--out", tmp_path / "where", *how, "--data-dir", tmp_path)
    assert said["classes"] == ["dent"]
    assert (said["steps"], said["pictures"]) == (24, {"train": 4, "validation": 1, "test": 2})
    assert said["loss_by_epoch"][-1] < said["loss_by_epoch"][0] / 4
    locator = load_locator(tmp_path / "where")
    taught = [example for example in examples(data) if example.split == "train"]
    surest = {e.part_id: next(iter(locator.places_in(decode(e.image), 0.05)), None) for e in taught}
    overlaps = [
        min(box_overlap(e.boxes[0], place), mask_overlap(e.boxes[0], place))
        for e in taught
        if (place := surest[e.part_id])
    ]
    assert len([overlap for overlap in overlaps if overlap > 0.5]) >= 3, overlaps

    told = lineside("locator", "evaluate", "--model", tmp_path / "where", "--data", data)
    assert (told["model_id"], told["split"], told["pictures"]) == ("set-locator", "test", 2)
    assert told["found"]["0.5"]["total"] == told["good_pictures_with_places"]["total"] == 1
    assert told["ms"]["value"] > 0


def train(shown: list[Example], **changes: Any) -> object:
    spec = LocatorSpec(model_id="x", sides=SIDES, fit=changes.pop("fit", FEW))
    return train_locator(shown, spec, **changes)


def test_a_loss_that_is_no_number_stops_with_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "losses", lambda *_: {"class": torch.tensor(float("nan"))})
    with pytest.raises(TrainingFailedError, match="the loss is nan at step 1; lower the learning rate"):
        train([disc(n) for n in range(4)])


def test_a_training_that_is_ended_leaves_nothing(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def end(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "losses", end)
    arguments = ["locator", "train", "--data", str(data), "--out", str(tmp_path / "where"), "--sides", "64,64"]
    done = CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path / "data")])
    assert done.exit_code != 0
    assert not list(tmp_path.glob("*where*"))


def test_what_cannot_be_trained_is_refused_before_it_begins(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="without weights to start with a step needs 4 pictures at least"):
        train([disc(n) for n in range(4)], fit=LocatorFitSpec(batch=2))
    broken = disc(1)
    with pytest.raises(DatasetError, match=r"the picture of part P1 .* is unusable: UNSUPPORTED_FORMAT"):
        train([disc(0), Example(type(broken.image)(b"x", "PNG"), "dent", "P1", "train", boxes=broken.boxes)])
    with pytest.raises(DatasetError, match="an input's sides are two numbers that rise"):
        train_locator([disc(0)], LocatorSpec(model_id="x", sides=(96, 64)))
    with pytest.raises(ModelRefusedError, match="a locator's name must be"):
        train_locator([disc(0)], LocatorSpec(model_id="../x", sides=SIDES))
    (tmp_path / "notes.txt").write_text("mine")
    arguments = ["locator", "train", "--data", str(data), "--out", str(tmp_path), "--sides", "64,64"]
    refused = CliRunner().invoke(app, [*arguments, "--data-dir", str(tmp_path / "data")])
    assert "holds something other than a model" in str(refused.exception)
    assert "--sides must look like 480,800" in str(
        CliRunner().invoke(app, [*arguments[:-1], "64", "--data-dir", str(tmp_path / "data")]).exception
    )


def test_a_start_goes_on_with_a_locators_classes_and_sides_and_its_norm_stays() -> None:
    tiny, seen = tiny_locator(classes=("dent",)), list[LocatorProgress]()
    start = Start(tiny.weights, tiny.arch, tiny.anchor_side, tiny.classes, tiny.sides)
    made = train_locator(
        [disc(0), plain(1)],
        LocatorSpec(model_id="next", fit=LocatorFitSpec(epochs=1, batch=1)),
        seen.append,
        start=start,
    )
    assert (made.sides, made.anchor_side, made.min_score) == ((64, 96), 8, 0.5)
    norm = "backbone.body.bn1.weight"
    assert torch.equal(made.weights[norm], start.weights[norm])
    assert not torch.equal(made.weights["backbone.body.conv1.weight"], start.weights["backbone.body.conv1.weight"])
    assert [progress.stage for progress in seen if progress.done == progress.total] == ["decode", "fit"]


def test_a_box_without_outline_teaches_its_place_and_no_mask() -> None:
    shown = [disc(0, outlined=False), disc(1, outlined=False), disc(2)]
    data, untrained = MarkedPictures(shown, ("dent",), SIDES), build("maskrcnn_resnet18_fpn", 1, 8)
    pictures, marks = [torch.from_numpy(data.picture(n)) for n in range(3)], [data.marks(n) for n in range(3)]
    torch.manual_seed(0)
    assert set(losses(untrained, pictures[:2], marks[:2])) == {"loss_objectness", "loss_rpn_box_reg", "class", "box"}
    told = losses(untrained, pictures[2:], marks[2:])
    assert told["mask"] > 0.1


def test_an_epoch_shows_each_marked_picture_and_some_good_ones() -> None:
    shown = [*(disc(n) for n in range(6)), *(plain(n) for n in range(100, 110))]
    data = MarkedPictures(shown, ("dent",), SIDES)
    spec = LocatorFitSpec(batch=4, good_share=0.25)
    order = LocatorFit(build("maskrcnn_resnet18_fpn", 1, 8, learning_norm=True), data, spec, 0, False)
    epochs = [[place for step in range(2) for place in order._places(2 * epoch + step)] for epoch in range(2)]
    assert all(set(range(6)) <= set(epoch) for epoch in epochs)
    good = [set(epoch) - set(range(6)) for epoch in epochs]
    assert [len(its) for its in good] == [2, 2]
    assert not good[0] & good[1]
