"""`lineside train`, and the model of a demo: trained once from the source's own kind of pictures, then kept.

Knows how to ask for pictures and for training; what a good model is, `models/train.py` knows.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import labelled_set, training_state
from models.artifact import Artifact, load_artifact, save_artifact
from models.dataset import Example
from models.fit import FitSpec
from models.keeping import Keeping
from models.preprocess import Preprocessing
from models.resnet import attends, input_side
from models.train import Progress, TrainSpec, check_spec, train
from streams.commands.examples import training_examples
from streams.commands.sources import SourceKind, SourceRequest
from streams.commands.start import First, first_of
from streams.commands.ui import MakeBar, Ui, stoppable
from streams.settings import Settings

SPECS = {
    SourceKind.SYNTHETIC: TrainSpec(model_id="synthetic-resnet18"),
    SourceKind.ELPV: TrainSpec(
        model_id="elpv-resnet18",
        preprocessing=Preprocessing(width=128, height=128),
        fit=FitSpec(epochs=5),
    ),
    SourceKind.FOLDER: TrainSpec(model_id="folder-resnet18"),
}
DATASET_SPEC = TrainSpec(model_id="dataset-resnet18")
STAGES = {"decode": "decoding", "fit": "training", "measure": "measuring"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """What `lineside train` was asked for beside the source. `changes` replace fields of `FitSpec`, `TrainSpec` or
    `Preprocessing`; `start`: as `start.first_of` takes it. `fresh`: an ended training doesn't go on.
    """

    data: Path | None = None
    out: Path | None = None
    start: str | None = None
    fresh: bool = False
    as_json: bool = False
    changes: Mapping[str, Any] = field(default_factory=dict)


async def train_once(request: SourceRequest, directory: Path, ui: Ui) -> None:
    """Train the demo's model of a source into a directory."""
    spec = SPECS[request.kind]
    ui.say(f"Training {spec.model_id}, once; it is kept in {directory}")
    await make_model(request, spec, directory, ui)


async def make_model(request: SourceRequest, spec: TrainSpec, directory: Path, ui: Ui) -> Artifact:
    """Train on labelled pictures of the source into `directory`, with progress; gives the saved artifact."""
    return await trained_into(directory, await _pictures(request, ui), spec, ui)


async def train_command(settings: Settings, request: SourceRequest, options: TrainOptions) -> None:
    """Train on a source's pictures, or on a data set, and show the held-out figures."""
    ui, spec = Ui(), SPECS[request.kind]
    if options.data is not None:
        found = await asyncio.to_thread(labelled_set.read, options.data)
        spec = dataclasses.replace(DATASET_SPEC, good=found.info.good, order=found.info.classes)
    spec = changed(spec, options.changes)
    check_spec(spec)
    first = await first_of(options.start, spec.arch, cache_of(settings), ui) if options.start else First()
    if options.data is not None:
        examples = await asyncio.to_thread(labelled_set.examples, options.data)
    else:
        examples = await _pictures(request, ui)
    directory = options.out or settings.data_dir / "models" / spec.model_id
    artifact = await trained_into(directory, examples, spec, ui, first, options.fresh)
    if options.as_json:
        print(json.dumps({"model": str(directory), "sha256": artifact.sha256, **artifact.metrics}, indent=2))
    else:
        ui.table(f"{artifact.model_id} · held-out part alone", held_out_rows(artifact.metrics["test"]))
        ui.say(f"kept in {directory}")


def changed(spec: TrainSpec, changes: Mapping[str, Any]) -> TrainSpec:
    """A spec with some fields replaced, wherever they stand in it.

    By the architecture goes the default name, the size, where it takes but one, and whether it practises: what is made
    of attention learns nothing from the default number of made-up marks (decision 026).
    """
    arch: str = changes.get("arch", spec.arch)
    defaults: dict[str, Any] = {"model_id": spec.model_id.replace(spec.arch, arch)}
    if side := input_side(arch):
        defaults |= {"width": side, "height": side}
    if attends(arch):
        defaults["practice"] = 0
    changes = defaults | dict(changes)

    def of(kind: type[Any]) -> dict[str, Any]:
        return {name: value for name, value in changes.items() if name in {f.name for f in dataclasses.fields(kind)}}

    fit = dataclasses.replace(spec.fit, **of(FitSpec))
    preprocessing = dataclasses.replace(spec.preprocessing, **of(Preprocessing))
    return dataclasses.replace(spec, fit=fit, preprocessing=preprocessing, **of(TrainSpec))


def held_out_rows(metrics: Any) -> list[tuple[str, str]]:
    """Name and value of the test split's figures."""
    rows = []
    for name in ("accuracy", "escape", "overkill", "class_accuracy"):
        rate = metrics[name]
        interval = f"[{rate['low']:.1%} to {rate['high']:.1%}]" if rate["value"] is not None else ""
        value = f"{rate['value']:.1%}" if rate["value"] is not None else "n/a"
        rows.append((name.replace("_", " "), f"{value} {interval} of {rate['total']}"))
    return rows


async def _pictures(request: SourceRequest, ui: Ui) -> list[Example]:
    with ui.bars() as make:
        bar = make("pictures", None)
        return await training_examples(request, lambda done, total: bar(done, total=total))


async def trained_into(
    directory: Path,
    examples: Sequence[Example],
    spec: TrainSpec,
    ui: Ui,
    first: First | None = None,
    fresh: bool = False,
) -> Artifact:
    """Train into a directory. What was trained so far lies beside it until then, and is gone on with unless `fresh`."""
    file = state_beside(directory)
    if fresh:
        training_state.forget(file)
    artifact = await _in_thread(examples, spec, ui, Keeping(file), first or First())
    if first and first.name:
        artifact = dataclasses.replace(artifact, metrics={**artifact.metrics, "start": first.name})
    save_artifact(artifact, directory)
    training_state.forget(file)
    return load_artifact(directory)


def state_beside(directory: Path) -> Path:
    """Where a training is kept that shall become the model of this directory."""
    directory = directory.resolve()
    return directory.with_name(f".{directory.name}.training")


def cache_of(settings: Settings) -> Path:
    """Where fetched weights are kept."""
    return settings.data_dir / "cache" / "weights"


def shown(ui: Ui, make: MakeBar) -> Callable[[Progress], None]:
    """Shows where a training is."""
    bars: dict[str, Any] = {}

    def show(progress: Progress) -> None:
        if progress.stage not in bars:
            bars[progress.stage] = make(STAGES[progress.stage], progress.total)
            if progress.stage == "fit" and progress.done > 1:
                ui.say(f"going on from step {progress.done - 1} of {progress.total}; --fresh begins anew")
        note = f"loss {progress.loss:.3f}" if progress.loss is not None else ""
        bars[progress.stage](progress.done, note)

    return show


async def _in_thread(examples: Sequence[Example], spec: TrainSpec, ui: Ui, keeping: Keeping, first: First) -> Artifact:
    """Train off the event loop; a cancelled wait (Ctrl-C) ends the training at its next step."""
    with ui.bars() as make:
        show = shown(ui, make)

        def work(go_on: Callable[[], None]) -> Artifact:
            def on_progress(progress: Progress) -> None:
                go_on()
                show(progress)

            return train(examples, spec, on_progress, keeping=keeping, start=first.weights, known=first.classes)

        return await stoppable(work)
