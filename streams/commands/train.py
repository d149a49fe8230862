"""`lineside train`, and the model of a demo: trained once from the source's own kind of pictures, then kept.

Knows how to ask for pictures and for training; what a good model is, `models/train.py` knows.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models import labelled_set
from models.artifact import Artifact, load_artifact, save_artifact
from models.dataset import Example
from models.fit import FitSpec
from models.preprocess import Preprocessing
from models.train import Progress, TrainSpec, train
from streams.commands.examples import training_examples
from streams.commands.sources import SourceKind, SourceRequest
from streams.commands.ui import Ui
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


async def train_once(request: SourceRequest, directory: Path, ui: Ui) -> None:
    """Train the demo's model of a source into a directory."""
    spec = SPECS[request.kind]
    ui.say(f"Training {spec.model_id}, once; it is kept in {directory}")
    await make_model(request, spec, directory, ui)


async def make_model(request: SourceRequest, spec: TrainSpec, directory: Path, ui: Ui) -> Artifact:
    """Train on labelled pictures of the source into `directory`, with progress; gives the saved artifact."""
    with ui.bars() as make:
        bar = make("pictures", None)
        examples = await training_examples(request, lambda done, total: bar(done, total=total))
    return await _kept(examples, spec, directory, ui)


async def train_command(
    settings: Settings, request: SourceRequest, data: Path | None, out: Path | None, as_json: bool
) -> None:
    """Train on a source's pictures, or on the data set `data`, and show the held-out figures."""
    ui, spec = Ui(), SPECS[request.kind] if data is None else DATASET_SPEC
    directory = out or settings.data_dir / "models" / spec.model_id
    if data is None:
        artifact = await make_model(request, spec, directory, ui)
    else:
        artifact = await _kept(await asyncio.to_thread(labelled_set.examples, data), spec, directory, ui)
    if as_json:
        print(json.dumps({"model": str(directory), "sha256": artifact.sha256, **artifact.metrics}, indent=2))
    else:
        ui.table(f"{artifact.model_id} · held-out part alone", held_out_rows(artifact.metrics["test"]))
        ui.say(f"kept in {directory}")


def held_out_rows(metrics: Any) -> list[tuple[str, str]]:
    """Name and value of the test split's figures."""
    rows = []
    for name in ("accuracy", "escape", "overkill", "class_accuracy"):
        rate = metrics[name]
        interval = f"[{rate['low']:.1%} to {rate['high']:.1%}]" if rate["value"] is not None else ""
        value = f"{rate['value']:.1%}" if rate["value"] is not None else "n/a"
        rows.append((name.replace("_", " "), f"{value} {interval} of {rate['total']}"))
    return rows


async def _kept(examples: Sequence[Example], spec: TrainSpec, directory: Path, ui: Ui) -> Artifact:
    artifact = await _in_thread(examples, spec, ui)
    save_artifact(artifact, directory)
    return load_artifact(directory)


async def _in_thread(examples: Sequence[Example], spec: TrainSpec, ui: Ui) -> Artifact:
    """Train off the event loop; a cancelled wait (Ctrl-C) ends the training at its next step."""
    cancelled = threading.Event()
    bars: dict[str, Any] = {}
    with ui.bars() as make:

        def show(progress: Progress) -> None:
            if cancelled.is_set():
                raise KeyboardInterrupt
            if progress.stage not in bars:
                bars[progress.stage] = make(STAGES[progress.stage], progress.total)
            note = f"loss {progress.loss:.3f}" if progress.loss is not None else ""
            bars[progress.stage](progress.done, note)

        try:
            return await asyncio.to_thread(train, examples, spec, show)
        except asyncio.CancelledError:
            cancelled.set()
            raise
