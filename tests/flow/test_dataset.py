"""A data set built from samples and decisions: what it holds, that it is whole or not there, and who can read it."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio
from PIL import Image

from models.dataset import SPLITS, by_split, class_order, load
from models.errors import DatasetError
from models.labelled_set import Info, LabelledSet, examples, read, scratch_beside
from models.likeness import pixel_sha256
from models.preprocess import EncodedImage, Preprocessing, decode
from schemas.records import Box, Encoding, Finding, Outcome, ReworkFinding, ReworkOutcome, SampleSelected, Strategy
from streams.commands.dataset import export_dataset
from streams.downstream.sampling.dataset import Choice, Gathered, build
from streams.errors import CallerError
from streams.store import FrameStore
from tests.flow.test_sampler import World, run
from tests.sampling_world import a_plan, decided

CHOICE = Choice(name="flanges")
PLAN = a_plan(budget=150, seed=5)


def quiet(stage: str, done: int, total: int | None) -> None:
    """Nobody watches."""


def built(directory: Path, gathered: Gathered, store: FrameStore, progress: Callable[..., None] = quiet) -> Info:
    with scratch_beside(directory) as scratch:
        return build(directory, scratch, gathered, CHOICE, store, progress)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Building a data set takes nothing from the store and changes nothing in it: one is enough."""
    return World(FrameStore(str(tmp_path_factory.mktemp("world") / "store")))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sampled(world: World) -> Gathered:
    """Samples of thirty hours; of the passes audited people find one in seven bad."""
    tally, _ = await run(world, plan=PLAN)
    outcomes = [received.record for received, _ in world.outcomes_]
    verdicts = {received.record.verdict_id: received.record for received, _ in world.verdicts_}
    for number, sample in enumerate(s for s in tally.samples if s.strategy is Strategy.PASS_AUDIT):
        bad = ReworkFinding.CONFIRMED if number % 7 == 0 else ReworkFinding.FALSE_REJECT
        outcomes.append(decided(verdicts[sample.verdict_id], bad, label="dent" if number % 7 == 0 else None))
    return Gathered(tally.samples, outcomes, sources={"samples": {"0": len(tally.samples)}})


@pytest.fixture
def gathered(sampled: Gathered) -> Gathered:
    """The samples and decisions in lists of their own."""
    return copy.deepcopy(sampled)


def tree(directory: Path) -> dict[str, str]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def expected_labels(gathered: Gathered) -> dict[str, set[str]]:
    """By verdict, what its reviewers say."""
    said: dict[str, set[str]] = {}
    for o in gathered.outcomes:
        bad = o.finding is ReworkFinding.CONFIRMED
        said.setdefault(str(o.verdict_id), set()).add((o.corrected_label or o.predicted_label or "") if bad else "good")
    return said


def test_every_picture_lies_in_the_folder_of_what_people_call_it(
    gathered: Gathered, world: World, tmp_path: Path
) -> None:
    info = built(tmp_path / "set", gathered, world.store)
    found, said = read(tmp_path / "set"), expected_labels(gathered)
    assert info == found.info
    assert len(found.items) > 100
    for item in found.items:
        data = (tmp_path / "set" / item.file).read_bytes()
        assert {item.label} == said[item.verdict_id]
        assert item.file == f"images/{item.label}/{item.sha256}.png"
        assert hashlib.sha256(data).hexdigest() == item.sha256
        assert pixel_sha256(decode(EncodedImage(data, "PNG"))) == item.pixel_sha256
    assert len({item.pixel_sha256 for item in found.items}) == len(found.items)
    assert {"good", "dent", "stain"} <= info.counts["by_label"].keys()
    assert sum(info.counts["by_split"].values()) == info.counts["pictures"] == len(found.items)
    audited = [item for item in found.items if item.strategy == "PASS_AUDIT"]
    assert audited
    assert all((item.inclusion_probability > 0) == (item in audited) for item in found.items)


def test_the_manifest_is_plain_parquet(gathered: Gathered, world: World, tmp_path: Path) -> None:
    info = built(tmp_path / "set", gathered, world.store)
    table = pq.read_table(tmp_path / "set" / "manifest.parquet")
    assert table.num_rows == info.counts["pictures"]
    assert {"sha256", "file", "label", "split", "station", "sku", "model_id", "score"} <= set(table.column_names)
    assert str(table.schema.field("inspected_at").type) == "timestamp[ms, tz=UTC]"


def test_training_reads_it_back_with_its_splits(gathered: Gathered, world: World, tmp_path: Path) -> None:
    built(tmp_path / "set", gathered, world.store)
    found, items = examples(tmp_path / "set"), read(tmp_path / "set").items
    classes = class_order((example.label for example in found), "good")
    splits = by_split(found, classes)
    assert {name: len(splits[name]) for name in SPLITS} == read(tmp_path / "set").info.counts["by_split"]
    homes = {item.part_id: item.split for item in items}
    assert all(example.part_id in homes and example.split == homes[example.part_id] for example in found)
    pictures = load(splits["train"], classes, Preprocessing(width=32, height=32), lambda: None)
    assert pictures.pictures.shape == (len(splits["train"]), 32, 32, 3)


def test_building_again_gives_the_same_and_touches_nothing(gathered: Gathered, world: World, tmp_path: Path) -> None:
    """the same topics, elsewhere │ topics that have grown by what says nothing new, in the same place"""
    info = built(tmp_path / "set", gathered, world.store)
    before = tree(tmp_path / "set")
    shuffled = dataclasses.replace(gathered, samples=list(reversed(gathered.samples)))
    assert built(tmp_path / "other", shuffled, world.store) == info
    assert tree(tmp_path / "other") == before
    stray = dataclasses.replace(gathered.outcomes[0], outcome_id=uuid4(), verdict_id=uuid4())
    grown = dataclasses.replace(gathered, outcomes=[*gathered.outcomes, stray], sources={"samples": {"0": 9_999}})
    assert built(tmp_path / "set", grown, world.store) == info
    assert tree(tmp_path / "set") == before


def test_another_version_overwrites_nothing(gathered: Gathered, world: World, tmp_path: Path) -> None:
    first = built(tmp_path / "set", gathered, world.store)
    before = tree(tmp_path / "set")
    less = dataclasses.replace(gathered, samples=gathered.samples[::2])
    with pytest.raises(DatasetError, match=rf"holds version {first.version} .* give another directory"):
        built(tmp_path / "set", less, world.store)
    assert tree(tmp_path / "set") == before
    assert built(tmp_path / "less", less, world.store).version != first.version
    assert {path.name for path in tmp_path.iterdir()} == {"set", "less"}


@pytest.mark.parametrize("content", ["file", "folder"])
def test_a_directory_with_other_things_is_refused_before_anything_is_read(tmp_path: Path, content: str) -> None:
    place = tmp_path / "set"
    if content == "file":
        place.write_text("mine")
    else:
        (place / "mine").mkdir(parents=True)
    with pytest.raises(DatasetError, match="something other than a data set"), scratch_beside(place):
        pytest.fail("refused first")
    assert place.exists()


def test_ctrl_c_in_the_middle_leaves_nothing(gathered: Gathered, world: World, tmp_path: Path) -> None:
    def interrupted(stage: str, done: int, total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        built(tmp_path / "set", gathered, world.store, interrupted)
    assert list(tmp_path.iterdir()) == []


def test_who_disagrees_is_left_out_of_training_and_waits_for_a_second_look(
    gathered: Gathered, world: World, tmp_path: Path
) -> None:
    info = built(tmp_path / "set", gathered, world.store)
    found, said = read(tmp_path / "set"), expected_labels(gathered)
    expected = {str(s.verdict_id) for s in gathered.samples if len(said.get(str(s.verdict_id), ())) > 1}
    assert {conflict.verdict_id for conflict in found.conflicts} == expected
    assert info.counts["conflicts"] == len(expected) > 0
    assert not expected & {item.verdict_id for item in found.items}
    for conflict in found.conflicts:
        assert (tmp_path / "set" / conflict.file).is_file()
        assert set(conflict.labels) == said[conflict.verdict_id]
    looked_again = [  # the second reviewer of each comes round
        dataclasses.replace(o, outcome_id=uuid4(), supersedes=o.outcome_id, finding=ReworkFinding.WITHDRAWN)
        for o in gathered.outcomes
        if o.review == 2
    ]
    agreed = dataclasses.replace(gathered, outcomes=[*gathered.outcomes, *looked_again])
    assert built(tmp_path / "agreed", agreed, world.store).counts["conflicts"] == 0


def another_file(sample: SampleSelected, store: FrameStore) -> SampleSelected:
    """A later sample of another verdict that shows the same pixels."""
    file = io.BytesIO()
    Image.open(io.BytesIO(store.get(sample.image_ref, 1 << 20))).save(file, "BMP")
    ref = store.put(file.getvalue(), sha256 := hashlib.sha256(file.getvalue()).hexdigest(), "bmp")
    return dataclasses.replace(
        sample,
        sample_id=uuid4(),
        verdict_id=uuid4(),
        image_ref=ref,
        image_sha256=sha256,
        encoding=Encoding.BMP,
        selected_at=sample.selected_at + timedelta(hours=1),
    )


@pytest.mark.parametrize(("label", "conflicts"), [("dent", 0), ("crack", 2)])
def test_equal_pixels_are_one_picture_or_a_conflict(
    gathered: Gathered, world: World, tmp_path: Path, label: str, conflicts: int
) -> None:
    one = gathered.samples[0]
    other = another_file(one, world.store)
    first = next(o for o in gathered.outcomes if o.verdict_id == one.verdict_id)

    def dented(of: SampleSelected, name: str) -> ReworkOutcome:
        finding = ReworkFinding.CONFIRMED
        return dataclasses.replace(
            first, outcome_id=uuid4(), verdict_id=of.verdict_id, finding=finding, corrected_label=name
        )

    two = Gathered([one, other], [dented(one, "dent"), dented(other, label)])
    info = built(tmp_path / "set", two, world.store)
    assert (info.counts["pictures"], info.counts["conflicts"]) == (0, 2) if conflicts else (1, 0)
    assert info.left_out == ({} if conflicts else {"equal pixels": 1})


HOSTILE: dict[str, dict[str, Any]] = {
    "a reference out of the store": {"image_ref": "file:///etc/passwd"},
    "no reference": {"image_ref": ""},
    "other bytes": {"image_sha256": "0" * 64},
    "a digest that is a path": {"image_sha256": "../../x"},
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_sample_that_lies_harms_only_itself(gathered: Gathered, world: World, tmp_path: Path, name: str) -> None:
    whole = built(tmp_path / "whole", gathered, world.store)
    items = {item.sample_id for item in read(tmp_path / "whole").items}
    index = next(n for n, s in enumerate(gathered.samples) if str(s.sample_id) in items)
    samples = list(gathered.samples)
    samples[index] = dataclasses.replace(samples[index], **HOSTILE[name])
    info = built(tmp_path / "set", dataclasses.replace(gathered, samples=samples), world.store)
    assert info.counts["pictures"] == whole.counts["pictures"] - 1
    assert info.left_out["picture gone or unreadable"] == 1


@pytest.mark.parametrize("label", ["../../../up", ".", "..", "/abs", "a b", "x" * 65, "<script>"])
def test_a_label_that_is_no_class_makes_no_path_and_is_counted(
    gathered: Gathered, world: World, tmp_path: Path, label: str
) -> None:
    one = next(o for o in gathered.outcomes if o.finding is ReworkFinding.CONFIRMED and o.verdict_outcome is Outcome.OK)
    outcomes = [dataclasses.replace(o, corrected_label=label) if o is one else o for o in gathered.outcomes]
    info = built(tmp_path / "set", dataclasses.replace(gathered, outcomes=outcomes), world.store)
    assert info.left_out["label can't be a class"] == 1
    assert {path.name for path in tmp_path.iterdir()} == {"set"}
    assert {path.name for path in (tmp_path / "set" / "images").iterdir()} <= {
        *("good", "scratch", "dent", "crack", "stain"),
    }


@pytest.mark.parametrize(
    ("file", "match"),
    [("manifest.parquet", "was changed"), ("conflicts.parquet", "was changed"), ("dataset.json", "JSON")],
)
def test_a_data_set_that_was_changed_is_refused(
    gathered: Gathered, world: World, tmp_path: Path, file: str, match: str
) -> None:
    built(tmp_path / "set", gathered, world.store)
    path = tmp_path / "set" / file
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(Exception, match=match) as error:
        read(tmp_path / "set")
    assert "ModelError" in {kind.__name__ for kind in type(error.value).__mro__}


def test_a_manifest_that_leads_elsewhere_is_refused(gathered: Gathered, world: World, tmp_path: Path) -> None:
    built(tmp_path / "set", gathered, world.store)
    path, facts = tmp_path / "set" / "manifest.parquet", tmp_path / "set" / "dataset.json"
    table = pq.read_table(path)
    column = table.column("file").to_pylist()
    column[0] = "../../etc/passwd"
    pq.write_table(table.set_column(table.column_names.index("file"), "file", pa.array(column)), path)
    said = json.loads(facts.read_text()) | {"manifest_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    facts.write_text(json.dumps(said))
    with pytest.raises(DatasetError, match="a row that can't be"):
        examples(tmp_path / "set")


def test_a_folder_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no data set: expected a directory as `lineside dataset build`"):
        examples(tmp_path)


def test_an_export_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CallerError, match="--format must be one of coco, label-studio; came 'yolo'"):
        export_dataset(tmp_path, "yolo", as_json=False)


def boxed(gathered: Gathered, found: LabelledSet) -> Gathered:
    """The same, the model having found each confirmed defect in a corner, and a ghost beside it."""
    findings = {}
    for sample in gathered.samples:
        if any(i.sample_id == str(sample.sample_id) and i.label_from == "confirmed" for i in found.items):
            corner = Finding(
                label=sample.predicted_label or "", score=0.9, threshold=0.5, box=Box(x=4, y=8, width=16, height=32)
            )
            ghost = Finding(label="ghost", score=0.6, threshold=0.5, box=Box(x=0, y=0, width=8, height=8))
            findings[sample.verdict_id] = (corner, ghost)
    return dataclasses.replace(gathered, findings=findings)


def test_coco_has_the_models_boxes_where_people_confirmed_them_and_whole_pictures_elsewhere(
    gathered: Gathered, world: World, tmp_path: Path
) -> None:
    built(tmp_path / "plain", gathered, world.store)
    directory = tmp_path / "set"
    built(directory, boxed(gathered, read(tmp_path / "plain")), world.store)
    export_dataset(directory, "coco", as_json=False)
    items = {item.file: item for item in read(directory).items}
    seen, categories = 0, set()
    for split in SPLITS:
        coco = json.loads((directory / "coco" / f"{split}.json").read_text())
        names = {category["id"]: category["name"] for category in coco["categories"]}
        categories.add(tuple(names.items()))
        images = {image["id"]: items[image["file_name"]] for image in coco["images"]}
        assert {item.split for item in images.values()} == {split}
        assert len({a["id"] for a in coco["annotations"]}) == len(coco["annotations"])
        for annotation in coco["annotations"]:
            item = images[annotation["image_id"]]
            assert names[annotation["category_id"]] == item.label != "good"
            confirmed = item.label_from == "confirmed"
            assert annotation["bbox"] == ([4, 8, 16, 32] if confirmed else [0, 0, item.width, item.height])
            assert annotation["area"] == annotation["bbox"][2] * annotation["bbox"][3]
        bad = {i for i, item in images.items() if item.label != "good"}
        assert bad == {annotation["image_id"] for annotation in coco["annotations"]}
        seen += len(images)
    assert seen == len(items)
    assert len(categories) == 1


def test_label_studio_gets_labels_predictions_and_a_blind_second_look(
    gathered: Gathered, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    built(tmp_path / "plain", gathered, world.store)
    directory = tmp_path / "set"
    info = built(directory, boxed(gathered, read(tmp_path / "plain")), world.store)
    export_dataset(directory, "label-studio", as_json=True)
    said = json.loads(capsys.readouterr().out)
    folder = directory / "label-studio"
    assert said == {
        "version": info.version,
        "files": [str(folder / name) for name in ("tasks.json", "second-look.json", "config.xml")],
    }
    tasks, again = (json.loads((folder / name).read_text()) for name in ("tasks.json", "second-look.json"))
    config = (folder / "config.xml").read_text()
    items = {item.file: item for item in read(directory).items}
    assert (len(tasks), len(again)) == (len(items), info.counts["conflicts"])
    for task in tasks:
        item = items[task["data"]["image"].removeprefix("/data/local-files/?d=")]
        (annotation,) = task["annotations"]
        assert annotation["result"][0]["value"]["choices"] == [item.label]
        assert f'<Choice value="{item.label}"/>' in config
        for prediction in task["predictions"]:
            assert prediction["model_version"] == "m1"
            choice, *boxes = prediction["result"]
            assert choice["value"]["choices"] == [item.predicted_label]
            assert len(boxes) == (item.label_from == "confirmed")  # the ghost is no class
            for box in boxes:
                assert box["value"] == {
                    **{"x": 6.25, "y": 12.5, "width": 25.0, "height": 50.0},
                    "rectanglelabels": [item.label],
                }
    for task in again:
        assert set(task) == {"data"}
        assert (directory / task["data"]["image"].removeprefix("/data/local-files/?d=")).is_file()
