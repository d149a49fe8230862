"""`lineside dataset check`: what of a data set stands in it twice, is labelled wrongly, is too little."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models import labelled_set
from models.artifact import load_artifact
from models.dataset import ordered
from models.dataset_rows import Item
from models.embedding import Embedder
from models.errors import DatasetError
from models.label_errors import Suspect, suspects
from models.labelled_set import LabelledSet
from models.likeness import U8
from models.preprocess import RejectedImageError, decode, prepare
from models.twins import structure, twins
from streams.commands.ui import MakeBar, Ui
from streams.datasets.checking import Checked, Goals, Seen, check
from streams.datasets.page import check_page

NO_MODEL = "give --model DIR: a network that sees the pictures, trained on them or on others like them"


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """What `lineside dataset check` was asked for. `alike`: correlation from which two pictures are nearly the same."""

    directory: Path
    model: Path | None
    alike: float
    goals: Goals
    report: Path | None
    as_json: bool


def check_dataset(options: CheckOptions) -> bool:
    """Check and say; whether there is no problem. Not for a running event loop: Ctrl-C ends it between two pictures."""
    ui, found = Ui(), labelled_set.read(options.directory)
    with ui.bars() as make:
        seen = _seen(found, options, make)
    checked = check(found.info.version, found.items, found.info.good, len(found.conflicts), seen, options.goals)
    if options.report:
        options.report.write_text(check_page(found.info.name, checked, lambda item: pixels_of(options.directory, item)))
        ui.say(f"the report is {options.report}")
    if options.as_json:
        print(json.dumps({"directory": str(options.directory), **checked.to_json()}, indent=2, allow_nan=False))
    else:
        ui.table(f"Data set {found.info.name} · version {found.info.version}", rows(checked))
        for kind, sentences in (("problem", checked.problems), ("caution", checked.cautions)):
            for sentence in sentences:
                ui.say(f"{kind}: {sentence}")
    return not checked.problems


def rows(checked: Checked) -> list[tuple[str, str]]:
    """The table's lines."""
    lines = [
        (
            held.name,
            ", ".join(f"{split} {held.parts[split]} parts ({n} pictures)" for split, n in held.pictures.items()),
        )
        for held in checked.balance
    ]
    for found in checked.enough:
        bound = "nothing" if found.bound is None else f"at most {found.bound:.2%}"
        lines.append((f"can show of {found.what}", f"{bound} (95 %); {found.goal:.2%} takes {found.needed} parts"))
    lines.append(("near duplicates across splits", str(len(checked.pairs))))
    doubts = f"not looked for: {checked.no_doubts}" if checked.doubts is None else str(len(checked.doubts))
    return [*lines, ("labels likely wrong", doubts), ("in conflict, left out", str(checked.conflicts))]


def _seen(found: LabelledSet, options: CheckOptions, make: MakeBar) -> Seen:
    """Looks at every picture once, and again with the model."""
    bar, structures = make("pictures", len(found.items)), []
    for done, item in enumerate(found.items, 1):
        structures.append(structure(pixels_of(options.directory, item)))
        bar(done)
    pairs = twins(np.array(structures), [item.split for item in found.items], options.alike)
    if options.model is None:
        return Seen(twins=pairs, suspects=None, why_not=NO_MODEL)
    try:
        return Seen(twins=pairs, suspects=_suspects(found, options.directory, options.model, make))
    except DatasetError as error:
        return Seen(twins=pairs, suspects=None, why_not=str(error))


def _suspects(found: LabelledSet, directory: Path, model: Path, make: MakeBar) -> list[Suspect]:
    artifact = load_artifact(model)
    embedder, bar, features = Embedder(artifact), make("seeing", len(found.items)), []
    for done, item in enumerate(found.items, 1):
        features.append(embedder.embed(prepare(pixels_of(directory, item), artifact.preprocessing)[None])[0])
        bar(done)
    place = {name: index for index, name in enumerate(ordered({i.label for i in found.items}, found.info.good))}
    labels = np.array([place[item.label] for item in found.items], np.int64)
    beside = [{place[label] for label in item.also if label in place} for item in found.items]
    return suspects(np.array(features), labels, [item.part_id for item in found.items], beside)


def pixels_of(directory: Path, item: Item) -> U8:
    """An item's upright picture, uint8 RGB [h, w, 3]. DatasetError where it is gone or was changed."""
    try:
        return decode(labelled_set.image(directory, item))
    except RejectedImageError as error:
        raise DatasetError(f"the picture {item.file} of {directory} is unusable: {error}") from error
