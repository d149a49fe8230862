"""`lineside retrain`: from the newest labelled samples and the model in force to a proposed model with its evidence.

Place in the flow: finds what is in force and the data, and says what comes out; the steps between are those of
`retrain_steps.py`. What is proposed changes no line: people approve (`retrain_decide.py`). Everything lies in the data
directory under `retrain/`: `samples/` and `data/` by version, and a folder for each retraining by its proposal's id.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import labelled_set
from models.artifact import Artifact
from models.dataset import UNKNOWN
from models.errors import DatasetError
from schemas.records import ModelProposed, Precision, Recipe
from streams.bus.admin import require_topics
from streams.commands.dataset import BuildOptions, built
from streams.commands.models import read as released
from streams.commands.retrain_steps import RULES, Retraining, read_json
from streams.commands.ui import Ui
from streams.commands.yielding import yield_to_the_line
from streams.downstream.rework.link import now_ms
from streams.errors import CallerError
from streams.recipes.history import Scope
from streams.recipes.publishing import history
from streams.registry.book import known_release
from streams.registry.shelf import Shelf
from streams.retraining.merging import Part, merged, write_merged
from streams.retraining.proposals import proposals
from streams.retraining.steps import OUTPUTS, Classes, Step, Work, steps_left
from streams.settings import Settings
from streams.tail import plain
from streams.topics import topic_specs


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrainOptions:
    """What `lineside retrain` was asked for.

    `data` None: built from the topics, into `build` where that is named. `base` None: the data that the model in force
    was retrained on, where that was here. `changes` replace fields of `FitSpec` and `TrainSpec`. Times as in `lineside
    replay`.
    """

    scope: Scope
    data: Path | None = None
    build: Path | None = None
    base: Path | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    rule: str = RULES[0]
    overkill: float = 0.01
    prevalence: float = 0.01
    reviewed: float = 0.05
    since: str = "1h"
    until: str | None = None
    most_frames: int = 2_000
    by: str
    why: str = ""
    device: str = "auto"
    precision: Precision = Precision.UNKNOWN
    fresh: bool = False
    yields: bool = True
    as_json: bool = False

    def identifying(self) -> dict[str, Any]:
        """What makes another model or another comparison."""
        names = ("rule", "overkill", "prevalence", "reviewed", "since", "until", "most_frames", "device")
        changes = {name: list(v) if isinstance(v, tuple) else v for name, v in self.changes.items()}
        return {**{name: getattr(self, name) for name in names}, "precision": self.precision.value, "changes": changes}


@dataclass(frozen=True, slots=True)
class InForce:
    """The recipe that is in force for a scope now, and its model."""

    recipe: Recipe
    model: Artifact


def retrain(settings: Settings, options: RetrainOptions) -> None:
    """Work until a model is proposed, and say so. Not for a running event loop: Ctrl-C ends a step, the next call goes
    on with it.
    """
    if options.yields:
        yield_to_the_line()
    ui = Ui()
    asyncio.run(require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s))
    base = asyncio.run(in_force(settings, options.scope))
    with _alone(place_of(settings) / "data"):  # what is being built has one place
        data, classes = _data(settings, options, base, ui)
    info = labelled_set.read(data).info
    work = Work(
        scope=options.scope,
        base_model_id=base.model.model_id,
        base_sha256=base.model.sha256,
        recipe_version=base.recipe.version,
        thresholds=dict(base.recipe.thresholds),
        unsure_band=base.recipe.unsure_band,
        dataset=f"{info.name}@{info.version}",
        dataset_sha256=info.manifest_sha256,
        settings=options.identifying(),
    )
    retraining = Retraining(settings, work, base.model, data, classes, place_of(settings) / str(work.proposal_id), ui)
    known = asyncio.run(proposals(settings)).get(work.proposal_id)
    if known is not None:
        ui.say(f"This was proposed already: {work.proposal_id} is {known.newest.state.value.lower()}.")
        _say(ui, retraining, known.newest, options.as_json)
        return
    with _alone(retraining.folder):
        _work_on(retraining, options, ui)
        record = retraining.propose(options.by, options.why)
    _say(ui, retraining, record, options.as_json)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else works in the folder meanwhile; CallerError where somebody does."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CallerError(f"another `lineside retrain` is at this already, in {folder}: wait for it") from None
        yield


def place_of(settings: Settings) -> Path:
    """Where retrainings are kept."""
    return settings.data_dir / "retrain"


async def in_force(settings: Settings, scope: Scope) -> InForce:
    """What decides frames of this scope now. CallerError where nothing does, or its model is not here."""
    recipes, book = await asyncio.gather(history(settings), released(settings))
    recipe = recipes.book.in_force(scope.plant, scope.line, scope.sku, now_ms())
    if recipe is None:
        raise CallerError(
            f"no model is in force for {scope}, so there is none to train from: `lineside train`, `lineside models "
            "release` and `lineside recipe set` make the first"
        )
    release = known_release(book, recipe.model_id)
    return InForce(recipe, await asyncio.to_thread(Shelf(settings.model_store_dir).get, release.first.uri))


def data_of(settings: Settings, sha256: str) -> Path | None:
    """The data that a model was retrained on, where that was here and is still."""
    for file in sorted(place_of(settings).glob(f"*/{OUTPUTS[Step.PROPOSE]}")):
        if (said := read_json(file))["sha256"] == sha256:
            found = place_of(settings) / "data" / str(said["dataset"]).rpartition("@")[2]
            return found if labelled_set.is_dataset(found) else None
    return None


def _work_on(retraining: Retraining, options: RetrainOptions, ui: Ui) -> None:
    """All steps that are left but the last."""
    retraining.begin(options.fresh)
    left = steps_left(lambda name: (retraining.folder / name).exists())
    if left[:1] != (Step.TRAIN,):
        ui.say(f"Going on after the steps that are done; what came of them lies in {retraining.folder}")
    for step in left:
        if step is not Step.PROPOSE:
            ui.say(f"{retraining.work.model_id}: {step.value}")
            retraining.STEPS[step](retraining)


def _data(settings: Settings, options: RetrainOptions, base: InForce, ui: Ui) -> tuple[Path, Classes]:
    """The merged data set, written where it wasn't, and what it makes of the classes.

    DatasetError where the line has taught nothing new, or where a class would be forgotten.
    """
    line_at = options.data or _built(settings, options)
    base_at = options.base or data_of(settings, base.model.sha256)
    if base_at is not None and base_at.resolve() == line_at.resolve():
        base_at = None
    line = Part(line_at, labelled_set.read(line_at))
    first = Part(base_at, labelled_set.read(base_at)) if base_at else None
    rows = merged(first, line, options.scope)
    if not rows.added:
        raise DatasetError(
            f"the line has taught nothing new: {line_at} has no picture of {options.scope} that {base_at} hasn't; "
            "decide sampled parts at a rework station, then ask again"
        )
    known = tuple(item.name for item in base.model.classes if item.name != UNKNOWN)
    directory = place_of(settings) / "data" / rows.version
    name = "-".join(part for part in (options.scope.plant, options.scope.line, options.scope.sku) if part != "*")
    if not labelled_set.is_dataset(directory):
        with ui.bars() as make:
            bar = make("merging", None)
            write_merged(directory, rows, name, first, line, lambda done, total: bar(done, total=total))
    classes = Classes.of(known, labelled_set.read(directory).info.classes)
    if classes.lost:
        raise DatasetError(
            f"there is no picture of {', '.join(classes.lost)}, which {base.model.model_id} knows and would forget: "
            "name the data that it was trained on with --base"
        )
    ui.say(
        f"{len(rows.items)} pictures, {rows.added} of them new from the line, {len(rows.conflicts)} wait for a second "
        f"look; new classes: {', '.join(classes.new) or 'none'}"
    )
    return directory, classes


def _built(settings: Settings, options: RetrainOptions) -> Path:
    """The data set of the topics as they lie now."""
    if options.build is not None:
        built(settings, BuildOptions(directory=options.build))
        return options.build
    samples = place_of(settings) / "samples"
    fresh = samples / "being-built"
    if labelled_set.is_dataset(fresh):  # of a call that was ended
        shutil.rmtree(fresh)
    info = built(settings, BuildOptions(directory=fresh, name="samples"))
    kept = samples / info.version
    if labelled_set.is_dataset(kept):
        shutil.rmtree(fresh)
    else:
        fresh.rename(kept)
    return kept


def _say(ui: Ui, retraining: Retraining, record: ModelProposed, as_json: bool) -> None:
    said = read_json(retraining.folder / "report.json") if (retraining.folder / "report.json").exists() else {}
    if as_json:
        print(json.dumps({"proposal": plain(record), **said}, indent=2))
        return
    figures = [(name, f"{value:.4g}") for name, value in sorted(record.metrics.items())]
    ui.table(f"Proposal {record.proposal_id} · {record.state.value}", figures)
    if said:
        ui.say(said["answer"]["sentence"])
        for sentence in said["answer"]["against"]:
            ui.say(f"  caution: {sentence}")
    ui.say(f"Report: {record.report_ref}")
    if record.decided_by is None:
        ui.say(f"It changes nothing until somebody says so: `lineside retrain approve {record.proposal_id} --why …`")
