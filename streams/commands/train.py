"""The model of a demo: trained once from the source's own kind of pictures, kept in the data directory.

Knows how to ask for pictures and for training; what a good model is, `models/train.py` knows.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from models.artifact import save_artifact
from models.train import TrainSpec

from streams.commands.sources import SourceKind, SourceRequest, training_examples
from streams.commands.ui import Ui
from streams.settings import Settings

SPECS = {
    SourceKind.SYNTHETIC: TrainSpec(model_id="synthetic-resnet18"),
    SourceKind.ELPV: TrainSpec(model_id="elpv-resnet18"),
    SourceKind.FOLDER: TrainSpec(model_id="folder-resnet18"),
}


async def ensure_model(settings: Settings, request: SourceRequest, ui: Ui) -> Path:
    """The directory of the source's model, trained where it is not there yet."""
    spec = SPECS[request.kind]
    directory = settings.data_dir / "models" / spec.model_id
    if not (directory / "model.json").exists():
        await make_model(request, spec, directory, ui)
    return directory


async def make_model(request: SourceRequest, spec: TrainSpec, directory: Path, ui: Ui) -> None:
    """Train a model of the source's pictures into `directory`, with progress and the held-out figure."""
    with ui.progress("pictures", None) as bar:
        examples = await training_examples(request, bar)
    artifact = await asyncio.to_thread(_train, examples, spec, ui)
    save_artifact(artifact, directory)
