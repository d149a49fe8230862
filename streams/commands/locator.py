"""`lineside locator train|evaluate`: a locator from a data set, and its figures over pictures it hasn't seen.

Knows how to ask for pictures and for training; what a good locator is, `models/locating/` knows.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import labelled_set
from models.artifact_files import check_room
from models.dataset import split_of
from models.errors import DatasetError
from models.locating.artifact import LOCATOR
from models.locating.fit import LocatorFitSpec
from models.locating.measures import measured
from models.locating.start import read_start
from models.locating.train import LocatorProgress, LocatorSpec, looked_at, teaching, train_locator
from models.locator import load_locator, save_locator
from streams.commands.ui import Ui
from streams.settings import Settings

STAGES = {"decode": "decoding", "fit": "training", "measure": "measuring"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatorTrainOptions:
    """What `lineside locator train` was asked for. `changes` replace fields of `LocatorFitSpec`."""

    data: Path
    out: Path | None = None
    name: str | None = None
    arch: str | None = None
    start: Path | None = None
    sides: tuple[int, int] | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    as_json: bool = False


def train_locator_command(settings: Settings, options: LocatorTrainOptions) -> None:
    """Train, keep, and show the figures of validation. Not for a running event loop: Ctrl-C shall end it."""
    ui, info = Ui(), labelled_set.read(options.data).info
    examples = labelled_set.examples(options.data)
    start = read_start(options.start) if options.start else None
    spec = _spec(info, options)
    directory = options.out or settings.data_dir / "models" / spec.model_id
    check_room(directory, LOCATOR)
    classes, taught = teaching(examples, info.good)
    ui.say(
        f"{spec.model_id} learns {', '.join(classes)}; {len(examples) - sum(map(len, taught.values()))} bad pictures "
        "have no box and teach nothing"
    )
    bars: dict[str, Any] = {}
    with ui.bars() as make:

        def show(progress: LocatorProgress) -> None:
            if progress.stage not in bars:
                bars[progress.stage] = make(STAGES[progress.stage], progress.total)
            bars[progress.stage](progress.done, f"loss {progress.loss:.3f}" if progress.loss is not None else "")

        artifact = train_locator(examples, spec, show, start=start)
    save_locator(artifact, directory)
    kept = load_locator(directory)
    if options.as_json:
        about = {"model": str(directory), "sha256": kept.sha256, "classes": kept.classes, "min_score": kept.min_score}
        print(json.dumps(about | dict(artifact.metrics), indent=2, allow_nan=False))
    else:
        ui.table(f"{artifact.model_id} · validation", rows_of(artifact.metrics["validation"]))
        ui.say(f"kept in {directory}; `lineside locator evaluate` looks at the test split")


def _spec(info: labelled_set.Info, options: LocatorTrainOptions) -> LocatorSpec:
    return LocatorSpec(
        model_id=options.name or f"{re.sub('[^A-Za-z0-9._-]', '-', info.name)[:56]}-locator",
        arch=options.arch,
        sides=options.sides,
        fit=dataclasses.replace(LocatorFitSpec(), **options.changes),
        good=info.good,
        seed=options.seed,
    )


def evaluate_locator_command(model: Path, data: Path, as_json: bool) -> None:
    """Look at the test split and say what came out. DatasetError where it has neither marks nor good pictures."""
    ui, locator, info = Ui(), load_locator(model), labelled_set.read(data).info
    tested = [e for e in labelled_set.examples(data) if (e.split or split_of(e.part_id)) == "test"]
    known = set(locator.classes)
    strangers = sorted({box.label for e in tested for box in e.boxes if box.score >= 1} - known - {info.good})
    chosen = [e for e in tested if e.label == info.good or any(b.label in known for b in e.boxes if b.score >= 1)]
    if not chosen:
        raise DatasetError(
            f"the test split of {data} has no good picture and none with a marked {' or '.join(locator.classes)}"
        )
    looked = []
    with ui.bars() as make:
        bar = make("looking", len(chosen))
        for done, example in enumerate(chosen, 1):
            looked.append(looked_at(locator, example))
            bar(done)
    found = measured(looked)
    if strangers:
        ui.say(f"{locator.model_id} knows nothing of {', '.join(strangers)}: such marks are left out")
    if as_json:
        print(json.dumps(_about(locator.model_id, locator.sha256, strangers) | found.to_json(), indent=2))
    else:
        ui.table(f"{locator.model_id} · test", rows_of(found.to_json()))


def rows_of(figures: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name and value of the figures as `Located.to_json` gives them."""
    rows = [(f"marks found, overlap {overlap}", _rate(its)) for overlap, its in figures["found"].items()]
    masks = figures["mask_overlap"]
    return [
        *rows,
        ("places that cover a mark", _rate(figures["places_that_cover_a_mark"])),
        ("good pictures with places", _rate(figures["good_pictures_with_places"])),
        ("places a good picture", _number(figures["places_a_good_picture"], ".2f")),
        ("overlap of masks, median", f"{_number(masks, '.2f')} of {masks['masks']}"),
        ("a picture takes, median", _number(figures["ms"], ".0f", " ms")),
    ]


def _about(model_id: str, sha256: str, strangers: list[str]) -> dict[str, Any]:
    return {"model_id": model_id, "model_sha256": sha256, "split": "test", "unknown_labels": strangers}


def _rate(its: Mapping[str, Any]) -> str:
    if its["value"] is None:
        return f"n/a: {its['why']}"
    return f"{its['value']:.1%} [{its['low']:.1%} to {its['high']:.1%}] of {its['total']}"


def _number(its: Mapping[str, Any], form: str, unit: str = "") -> str:
    return f"n/a: {its['why']}" if its["value"] is None else f"{its['value']:{form}}{unit}"
