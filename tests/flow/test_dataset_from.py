"""`lineside dataset build|check|split` on labelled pictures: what is one picture, one part, one class, one version."""

from __future__ import annotations

import asyncio
import io
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from models.artifact import save_artifact
from models.dataset import by_split
from models.errors import DatasetError
from models.label_exports import to_coco
from models.labelled_set import LabelledSet, examples, read
from streams.cli import app
from streams.commands.evaluate import chosen
from streams.commands.examples import training_examples
from streams.commands.sources import SourceKind, SourceRequest
from tests.models_fixture import tiny_artifact

RUN = CliRunner()


def picture(seed: int, mark: int = 0) -> bytes:
    """A part of its own; `mark` is how bright a defect it has."""
    pixels = np.random.default_rng(seed).integers(0, 200, (48, 64, 3), np.uint8)
    pixels[20:28, 30:38] = np.minimum(255, pixels[20:28, 30:38].astype(int) + mark)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def lineside(*arguments: object, status: int = 0) -> str:
    done = RUN.invoke(app, ["dataset", *map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == status, done.output
    return done.output


def built(folder: Path, *more: object) -> tuple[dict[str, Any], LabelledSet]:
    target = folder.with_name(f"{folder.name}-set")
    out = lineside("build", target, "--source", "folder", "--folder", folder, "--json", *more)
    return json.loads(out[out.index("{") :]), read(target)


def classes_of_ten(parts: int = 24) -> dict[str, bytes]:
    """Two views of each part; defects are called 1, 2 and 10."""
    kinds = ["ok"] * 5 + ["1", "2", "10"]
    return {
        f"{kinds[n % 8]}/P{n}_{view}.png": picture(100 * n + view, 50 * (n % 8 > 4))
        for n in range(parts)
        for view in (1, 2)
    }


PATTERN = ("--name-pattern", "{label}/{part_id}_{view}.{ext}", "--good", "ok")


def test_folders_become_classes_in_one_stored_order_and_parts_stay_whole(tmp_path: Path) -> None:
    hidden = {".cache/x.png": picture(1), "ok/._P1.png": picture(2), "ok/Thumbs.db": b"?", "1/half.png.part": b"?"}
    said, found = built(put(tmp_path / "shots", classes_of_ten() | hidden), *PATTERN)
    assert found.info.classes == ("ok", "1", "2", "10")
    assert said["counts"]["by_label"] == {"1": 6, "10": 6, "2": 6, "ok": 30}
    splits = defaultdict(set)
    for item in found.items:
        splits[item.part_id].add(item.split)
    assert len(splits) == 24
    assert all(len(of_part) == 1 for of_part in splits.values())
    assert {item.label_from for item in found.items} == {"source"}
    assert {Path(str(item.source_file)).suffix for item in found.items} == {".png"}


def test_the_same_folder_gives_the_same_version_and_another_one_is_never_written_over_it(tmp_path: Path) -> None:
    folder = put(tmp_path / "shots", classes_of_ten())
    first, _ = built(folder, *PATTERN)
    again, _ = built(folder, *PATTERN)
    assert first["version"] == again["version"]
    put(folder, {"2/P90_1.png": picture(9000, 50)})
    refused = RUN.invoke(
        app, ["dataset", "build", str(tmp_path / "shots-set"), "--source", "folder", "--folder", str(folder), *PATTERN]
    )
    assert "versions are never overwritten" in str(refused.exception)


def test_equal_pictures_count_once_and_contradicting_ones_wait_for_a_second_look(tmp_path: Path) -> None:
    same, disputed = picture(7), picture(8)
    twice = {"ok/A.png": same, "ok/B.png": same, "ok/C.png": disputed, "1/D.png": disputed}
    damaged = {"ok/E.png": picture(9)[:200], "a label: no/F.png": picture(10)}
    said, found = built(put(tmp_path / "shots", twice | damaged | {"1/G.png": picture(11)}), "--good", "ok")
    assert {item.source_file for item in found.items} == {"ok/A.png", "1/G.png"}
    assert said["left_out"] == {"equal pixels": 1, "label can't be a class": 1, "unreadable: TRUNCATED": 1}
    assert [conflict.labels for conflict in found.conflicts] == [("1", "ok")]
    assert (tmp_path / "shots-set" / found.conflicts[0].file).read_bytes() == disputed


def test_a_table_tells_labels_lots_splits_and_what_experts_say(tmp_path: Path) -> None:
    folder = put(tmp_path / "shots", {f"{n}.png": picture(n) for n in range(6)})
    table = tmp_path / "labels.csv"
    table.write_text(
        "file,label,part_id,lot_id,split,probability,captured_at\n"
        "0.png,good,P0,L1,train,0,2026-03-01\n1.png,good,P1,L1,val,0.33,\n2.png,dent,P2,,test,1,\n"
        "3.png,dent,,L2,,,\n4.png,dent,,,,,2026-03-02T10:00+01:00\n"
    )
    said, found = built(folder, "--labels", table)
    of = {item.source_file: item for item in found.items}
    assert said["left_out"] == {"no label": 1}
    assert [of[f"{n}.png"].split for n in range(3)] == ["train", "validation", "test"]
    assert [of[f"{n}.png"].part_id for n in range(5)] == ["P0", "P1", "P2", "lot L2", "day 2026-03-02"]
    assert [of[f"{n}.png"].probability for n in range(4)] == [0, 0.33, 1, None]
    assert of["0.png"].lot_id == "L1"


COCO = {
    "images": [{"id": n, "file_name": f"{n}.png"} for n in range(4)],
    "categories": [{"id": 1, "name": "dent"}, {"id": 2, "name": "scratch"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 5, 5]},
        {"id": 2, "image_id": 1, "category_id": 2, "bbox": [50, 40, 40, 40]},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3.6, 4]},
    ],
}


def test_cocos_boxes_give_the_label_of_the_largest_and_stay_within_the_picture(tmp_path: Path) -> None:
    folder = put(tmp_path / "shots", {f"{n}.png": picture(n) for n in range(5)})
    (tmp_path / "coco.json").write_text(json.dumps(COCO))
    said, found = built(folder, "--labels", tmp_path / "coco.json")
    of = {item.source_file: item for item in found.items}
    assert {name: item.label for name, item in of.items()} == {
        **{"0.png": "good", "1.png": "scratch"},
        **{"2.png": "dent", "3.png": "good"},
    }
    assert said["left_out"] == {"no label": 1}
    assert [(b.label, b.x, b.y, b.width, b.height) for b in of["1.png"].boxes] == [
        ("dent", 10, 10, 5, 5),
        ("scratch", 50, 40, 14, 8),
    ]


def test_all_that_was_drawn_on_a_picture_stays_with_it_and_goes_out_again(tmp_path: Path) -> None:
    folder, labels = put(tmp_path / "shots", {f"{n}.png": picture(n) for n in range(4)}), tmp_path / "coco.json"
    labels.write_text(json.dumps(COCO))
    _, found = built(folder, "--labels", labels)
    of = {item.source_file: item for item in found.items}
    assert sorted((e.label, e.also) for e in examples(tmp_path / "shots-set")) == [
        *[("dent", ())],
        *[("good", ())] * 2,
        *[("scratch", ("dent",))],
    ]
    request = SourceRequest(kind=SourceKind.FOLDER, folder=folder, labels=str(labels))
    straight = asyncio.run(training_examples(request, lambda done, total: None))
    assert sorted((e.label, e.also) for e in straight)[-1] == ("scratch", ("dent",))
    assert replace(of["1.png"], label_from="confirmed").also == (), "a model's boxes are nobody's labels"
    both = to_coco(found, of["1.png"].split)
    names = {category["id"]: category["name"] for category in both["categories"]}
    (image,) = (image["id"] for image in both["images"] if image["file_name"] == of["1.png"].file)
    assert [names[a["category_id"]] for a in both["annotations"] if a["image_id"] == image] == ["dent", "scratch"]
    model = tiny_artifact(class_names=("good", "scratch"), head="sigmoid")
    with pytest.raises(DatasetError, match="labels that tiny has no class for: dent"):
        chosen([replace(e, split="test") for e in straight if e.label != "dent"], model, "test")
    one = replace(model, head="softmax", golden=tiny_artifact(class_names=("good", "scratch")).golden)
    assert len(chosen([replace(e, split="test") for e in straight if e.label != "dent"], one, "test")) == 3


def broken(change: Callable[[dict[str, Any]], Any]) -> str:
    document = json.loads(json.dumps(COCO))
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        broken(lambda d: d.pop("images")),
        broken(lambda d: d["annotations"][0].update(image_id=77)),
        broken(lambda d: d["annotations"][0].update(bbox=[1, 2])),
        broken(lambda d: d["annotations"][0].update(bbox=[1, 2, float("inf"), 3])),
        broken(lambda d: d["images"][1].update(file_name="0.png")),
    ],
)
def test_what_is_not_cocos_format_is_refused_with_what_was_expected(tmp_path: Path, text: str) -> None:
    folder = put(tmp_path / "shots", {"0.png": picture(0)})
    (tmp_path / "coco.json").write_text(text)
    arguments = ["--source", "folder", "--folder", str(folder), "--labels", str(tmp_path / "coco.json")]
    refused = RUN.invoke(app, ["dataset", "build", str(tmp_path / "set"), *arguments])
    assert "is not in COCO's format: expected images with id and file_name" in str(refused.exception)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("file,label,split\n0.png,good,dev\n", "0.png has the split 'dev'; splits are train, validation and test"),
        ("file,label,probability\n0.png,good,1.5\n", "has the probability '1.5'; expected a number from 0 to 1"),
        ("file,label,probability\n0.png,good,nan\n", "has the probability 'nan'"),
        ("file,label,captured_at\n0.png,good,monday\n", "was captured at 'monday'; expected a time such as"),
        (
            "file,label,part_id,split\n0.png,good,P,train\n1.png,good,P,test\n",
            "pictures of part P are in the splits test, train; all pictures of a part belong to one",
        ),
        ("file,label\n0.png,OK\n1.png,bad\n", "no picture is labelled 'good'; name good parts with --good. Labels: OK"),
    ],
)
def test_what_a_table_can_not_mean_is_refused_and_leaves_nothing(tmp_path: Path, table: str, said: str) -> None:
    folder = put(tmp_path / "shots", {"0.png": picture(0), "1.png": picture(1)})
    (tmp_path / "labels.csv").write_text(table)
    arguments = ["--source", "folder", "--folder", str(folder), "--labels", str(tmp_path / "labels.csv")]
    refused = RUN.invoke(app, ["dataset", "build", str(tmp_path / "set"), *arguments])
    assert said in str(refused.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.csv", "shots"]


def test_a_split_anew_is_even_in_every_class_and_leaves_the_old_version_alone(tmp_path: Path) -> None:
    _, old = built(put(tmp_path / "shots", classes_of_ten(80)), *PATTERN)
    out = lineside("split", tmp_path / "shots-set", tmp_path / "anew", "--shares", "60:20:20", "--seed", 3, "--json")
    new = read(tmp_path / "anew")
    parts = {(item.label, item.split, item.part_id) for item in new.items}
    assert Counter((label, split) for label, split, _ in parts) == {
        **{("ok", "train"): 30, ("ok", "validation"): 10, ("ok", "test"): 10},
        **{
            (label, split): n
            for label in ["1", "2", "10"]
            for split, n in (("train", 6), ("validation", 2), ("test", 2))
        },
    }
    assert read(tmp_path / "shots-set").info.version == old.info.version != new.info.version
    assert json.loads(out[out.index("{") :])["sources"]["split"]["of"] == old.info.version
    assert by_split(examples(tmp_path / "anew"), new.info.classes), "training takes it"


def test_by_lot_needs_lots_and_keeps_them_whole(tmp_path: Path) -> None:
    folder = put(tmp_path / "shots", {f"{n}.png": picture(n) for n in range(40)})
    rows = [f"{n}.png,{'dent' if n % 4 == 0 else 'good'},L{n // 4}" for n in range(40)]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label,lot_id", *rows]))
    built(folder, "--labels", tmp_path / "labels.csv")
    lineside("split", tmp_path / "shots-set", tmp_path / "by-lot", "--by", "lot", "--shares", "60:20:20")
    lots = defaultdict(set)
    for item in read(tmp_path / "by-lot").items:
        lots[item.lot_id].add(item.split)
    assert Counter(split for (split,) in lots.values()) == {"train": 6, "validation": 2, "test": 2}
    refused = RUN.invoke(app, ["dataset", "split", str(tmp_path / "shots-set"), str(tmp_path / "x"), "--by", "day"])
    assert "has no time; split by part, or build with captured_at" in str(refused.exception)


def test_a_check_finds_the_same_picture_in_two_splits_and_writes_a_report(tmp_path: Path) -> None:
    files = classes_of_ten(80)
    shown = Image.open(io.BytesIO(files["ok/P0_1.png"]))
    for part in range(900, 912):  # of twelve parts that show the same picture again, some stand in another split
        file = io.BytesIO()
        shown.save(file, "JPEG", quality=80 + part % 12)
        files[f"ok/P{part}_1.jpg"] = file.getvalue()
    _, found = built(put(tmp_path / "shots", files), *PATTERN)
    report = tmp_path / "report.html"
    save_artifact(tiny_artifact(), tmp_path / "model")
    out = lineside(
        *(
            "check",
            tmp_path / "shots-set",
            "--model",
            tmp_path / "model",
            "--report",
            report,
            "--json",
            "--escape",
            0.5,
        ),
        status=1,
    )
    said = json.loads(out[out.index("{") :])
    split_of = {item.file: item.split for item in found.items}
    assert not said["passed"]
    assert said["near_duplicates"]
    assert all(split_of[a] != split_of[b] for a, b in (pair["files"] for pair in said["near_duplicates"]))
    assert isinstance(said["likely_label_errors"], list)
    page = report.read_text()
    assert "<script" not in page
    assert page.count("<img") >= 2
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page), "nothing is fetched"


def test_a_picture_that_was_changed_is_told_by_its_name(tmp_path: Path) -> None:
    _, found = built(put(tmp_path / "shots", classes_of_ten()), *PATTERN)
    (tmp_path / "shots-set" / found.items[0].file).write_bytes(picture(5))
    for command in (["check"], ["split", str(tmp_path / "x")]):
        arguments = [command[0], str(tmp_path / "shots-set"), *command[1:]]
        refused = RUN.invoke(app, ["dataset", *arguments])
        assert found.items[0].file in str(refused.exception)
    assert not (tmp_path / "x").exists()
