"""What a locator learns from: COCO's masks kept by a data set, and marks that are mirrored with their picture."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from models.dataset_rows import Box, Item, from_parquet, to_parquet
from models.errors import DatasetError
from models.label_exports import to_coco
from models.labelled_set import INFO, examples, read
from models.locating.marked import MarkedPictures, changed
from models.locating.train import teaching
from streams.capture.coco_masks import outlines_in
from streams.cli import app
from tests.commands import lineside
from tests.discs import SIDE, disc, plain, png

CLASSES = ("dent",)
TRIANGLE = [10.5, 10, 30, 10, 30, 40.25]
ITEM: dict[str, Any] = {
    **{"file": f"images/dent/{'a' * 64}.png", "sha256": "a" * 64, "pixel_sha256": "b" * 64, "width": 64, "height": 48},
    **{"label": "dent", "split": "train", "part_id": "P1", "label_from": "source", "near_hash": None},
}


def marks_of(number: int = 3) -> tuple[MarkedPictures, Any]:
    pictures = MarkedPictures([disc(number)], CLASSES, (SIDE, SIDE))
    return pictures, pictures.marks(0)


@pytest.mark.parametrize("symmetry", ["mirror", "flip", "turn"])
def test_boxes_and_masks_change_with_their_picture(symmetry: Any) -> None:
    pictures, marks = marks_of()
    seen = set()
    for number in range(12):
        generator = torch.Generator().manual_seed(number)
        picture, moved = changed(pictures.picture(0), marks, (symmetry,), 0.0, generator)
        rows, columns = torch.nonzero(picture[:, :, 0] < 60, as_tuple=True)  # the disc
        edges = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert moved.boxes[0].tolist() == [int(edge) for edge in edges]
        dark, mask = picture[:, :, 0] < 60, moved.masks[0].bool()
        assert (dark & mask).sum() / (dark | mask).sum() > 0.9
        seen.add(tuple(moved.boxes[0].tolist()))
    assert len(seen) == 2  # as it was, and changed


def test_without_symmetries_only_the_light_changes() -> None:
    pictures, marks = marks_of()
    picture, same = changed(pictures.picture(0), marks, (), 0.2, torch.Generator().manual_seed(1))
    assert torch.equal(same.boxes, marks.boxes)
    assert not torch.equal(picture, torch.from_numpy(pictures.picture(0)))
    assert picture.dtype == torch.uint8


def test_marks_are_scaled_to_the_input_and_a_box_without_outline_has_no_mask() -> None:
    example = disc(3, outlined=False)
    pictures = MarkedPictures([example], CLASSES, (48, 48))
    box, marks = example.boxes[0], pictures.marks(0)
    assert marks.boxes[0].tolist() == [box.x / 2, box.y / 2, (box.x + box.width) / 2, (box.y + box.height) / 2]
    assert marks.outlined.tolist() == [False]
    assert not marks.masks.any()


def test_bad_pictures_without_a_persons_box_teach_nothing() -> None:
    by_model = [Box("dent", 0.8, 1, 1, 9, 9)]
    unmarked = disc(2)
    unmarked = type(unmarked)(unmarked.image, "dent", "P9", "train", boxes=tuple(by_model))
    classes, splits = teaching([disc(1), unmarked, plain(5), disc(7, "scratch", split="test")], "good")
    assert classes == ("dent",)
    assert [example.part_id for example in splits["train"]] == ["P1", "P5"]
    assert splits["test"] == []  # a kind that is never trained
    with pytest.raises(DatasetError, match="no picture of the train split has a box that a person drew"):
        teaching([unmarked, plain(5)], "good")


def coco(segmentations: list[Any]) -> dict[str, Any]:
    """Picture n has the n-th segmentation; the last picture is good."""
    return {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in range(len(segmentations) + 1)],
        "categories": [{"id": 1, "name": "dent"}],
        "annotations": [
            {"id": n, "image_id": n, "category_id": 1, "bbox": [10, 10, 20, 30]}
            | ({} if its is None else {"segmentation": its})
            for n, its in enumerate(segmentations)
        ],
    }


def folder(tmp_path: Path, document: dict[str, Any]) -> list[object]:
    """The build command's arguments for pictures of 64 x 48 with these labels."""
    shots = tmp_path / "shots"
    shots.mkdir()
    for image in document["images"]:
        pixels = np.random.default_rng(image["id"]).integers(0, 200, (48, 64, 3), np.uint8)
        (shots / image["file_name"]).write_bytes(png(pixels))
    (tmp_path / "coco.json").write_text(json.dumps(document))
    target = tmp_path / "set"
    return ["dataset", "build", target, "--source", "folder", "--folder", shots, "--labels", tmp_path / "coco.json"]


def test_cocos_segmentations_come_through_a_data_set(tmp_path: Path) -> None:
    runs = [12 * 48 + 10, 20, *[28, 20] * 9, 48 * 64 - 21 * 48 - 30]  # columns 12 to 21, rows 10 to 29
    beyond = [-5, -5, 70, -5, 70, 60]
    document = coco([[TRIANGLE, beyond], None, [], {"size": [48, 64], "counts": runs}])
    lineside(*folder(tmp_path, document))
    found = {item.source_file: item for item in read(tmp_path / "set").items}
    first, none, empty, encoded = (found[f"{n}.png"].boxes[0] for n in range(4))
    assert first.outlines == (
        ((10.5, 10.0), (30.0, 10.0), (30.0, 40.25)),
        ((0.0, 0.0), (64.0, 0.0), (64.0, 48.0)),
    )
    assert none.outlines == empty.outlines == ()
    (square,) = encoded.outlines
    assert np.min(square, axis=0) == pytest.approx([12, 10], abs=0.6)
    assert np.max(square, axis=0) == pytest.approx([22, 30], abs=0.6)
    taught = {example.boxes[0] for example in examples(tmp_path / "set") if example.boxes}
    assert first in taught
    exported = to_coco(read(tmp_path / "set"), found["0.png"].split)["annotations"]
    assert [TRIANGLE, [0, 0, 64, 0, 64, 48]] in [annotation["segmentation"] for annotation in exported]
    assert json.loads((tmp_path / "set" / INFO).read_text())["format"] == 3


def test_without_outlines_a_data_set_is_what_it_always_was(tmp_path: Path) -> None:
    lineside(*folder(tmp_path, coco([None])))
    assert json.loads((tmp_path / "set" / INFO).read_text())["format"] == 2
    rows = [Item(**ITEM, boxes=(Box("dent", 1.0, 4, 5, 6, 7),))]
    manifest = to_parquet(Item, rows)
    assert b"outlines" not in manifest
    assert from_parquet(Item, manifest) == rows


def test_the_version_of_what_has_no_outline_is_the_one_of_before() -> None:
    from models.labelled_set import content_sha256

    plain_box, outlined = (
        Box("dent", 1.0, 4, 5, 6, 7),
        Box("dent", 1.0, 4, 5, 6, 7, (((4.0, 5.0), (9.0, 5.0), (9.0, 9.0)),)),
    )
    digests = [content_sha256([Item(**ITEM, boxes=(box,))], []) for box in (plain_box, outlined)]
    assert digests[0] == "7eab2c5adb15e198a9644f0fa11dc7bf92432a0e360e9a424ce50826fdbc171e"
    assert digests[1] != digests[0]
    assert hashlib.sha256(to_parquet(Item, [Item(**ITEM, boxes=(outlined,))])).hexdigest()
    both = [Item(**ITEM, boxes=(plain_box, outlined))]
    assert from_parquet(Item, to_parquet(Item, both)) == both


def packed(runs: list[int]) -> str:
    """What the COCO API writes for runs."""
    text = ""
    for place, run in enumerate(runs):
        value = run - runs[place - 2] if place > 2 else run
        more = True
        while more:
            bits, value = value & 0x1F, value >> 5
            more = value != (-1 if bits & 0x10 else 0)
            text += chr((bits | (0x20 if more else 0)) + 48)
    return text


def test_a_packed_mask_is_the_same_as_its_runs() -> None:
    runs = [5 * 100 + 20, 40, *[60, 40] * 29, 100 * 80 - 35 * 100 + 40]
    assert sum(runs) == 8_000
    size = [100, 80]
    assert outlines_in({"size": size, "counts": packed(runs)}) == outlines_in({"size": size, "counts": runs}) != ()


@pytest.mark.parametrize(
    "segmentation",
    [
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        [[1, 2, 3, 4, 5, float("inf")]],
        {"size": [48, 64], "counts": [1, 2, 3]},
        {"size": [48, 64], "counts": "\x01\x02"},
        {"size": [10**6, 10**6], "counts": [10**12]},
        {"size": [48, 64], "counts": [-1, 48 * 64 + 1]},
        {"size": [48, 64], "counts": [10**400]},
        {"size": [48, 64]},
        {"size": ["a", "b"], "counts": [1]},
    ],
)
def test_what_is_no_mask_is_refused_by_the_build(tmp_path: Path, segmentation: Any) -> None:
    arguments = folder(tmp_path, coco([segmentation]))
    refused = CliRunner().invoke(app, [*map(str, arguments)])
    assert "is not in COCO's format" in str(refused.exception)
    assert not (tmp_path / "set").exists()
