"""The models that a worker serves: artifacts verified, engines opened, and a recipe where nobody gave one.

Place in the flow: before a worker starts, and when a replay opens its model. Knows no Kafka.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.records import Precision, Recipe
from streams.errors import CallerError
from streams.inspection.alone import CHILD_MODULE
from streams.inspection.decide import ANY_DEFECT, ClassRoles
from streams.inspection.engine_room import ServingModel
from streams.inspection.recipes import default_recipe
from streams.model_keeper import Sources
from streams.registry.book import Release
from streams.registry.shelf import Shelf
from streams.settings import Settings

if TYPE_CHECKING:
    from models.artifact import Artifact
    from models.engines import Engine


MEMORY_PER_BYTE = 4  # of a model's files: weights, their compiled form, and what a batch takes


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What `lineside worker` was asked for."""

    model_dirs: Sequence[Path]
    use_default_recipe: bool = False
    device: str = "auto"
    precision: Precision = Precision.UNKNOWN
    alone_module: str = CHILD_MODULE  # what tries pictures alone


def serving_model(artifact: Artifact, options: WorkerOptions, max_batch: int) -> ServingModel:
    """A verified model with its engine; the golden vectors have been run."""
    from models.engines import open_engine  # torch is seconds of start-up that a gateway need not pay

    return _serving(artifact, open_engine(artifact, options.device, options.precision, _buckets(max_batch)))


def model_beside(artifact: Artifact, directory: Path, options: WorkerOptions, max_batch: int) -> ServingModel:
    """The same while others serve: nearly all of the work is done by another process, at a low priority."""
    from models.engines import open_engine
    from models.engines.rehearsal import rehearse

    buckets = _buckets(max_batch)
    found = rehearse(directory, options.device, options.precision, buckets)
    engine = open_engine(artifact, found.device, found.precision, buckets, graph=found.graph, briefly=True)
    return _serving(artifact, engine)


def _buckets(max_batch: int) -> tuple[int, ...]:
    return tuple(size for size in (1, 2, 4, 8, 16, 32, 64, 128) if size <= max_batch) or (1,)


def _serving(artifact: Artifact, engine: Engine) -> ServingModel:
    defects = frozenset(c.name for c in artifact.classes if c.role == "defect")
    novel_above = artifact.novelty.threshold if artifact.novelty and engine.gives_novelty else None
    return ServingModel(
        model_id=artifact.model_id,
        sha256=artifact.sha256,
        preprocessing=artifact.preprocessing,
        roles=ClassRoles(tuple(c.name for c in artifact.classes), defects, novel_above),
        engine=engine,
        thresholds=_thresholds(artifact),
        unsure_band=artifact.unsure_band,
    )


def _thresholds(artifact: Artifact) -> tuple[tuple[str, float], ...]:
    own = {c.name: c.threshold for c in artifact.classes} | {ANY_DEFECT: artifact.any_defect_threshold}
    return tuple((name, limit) for name, limit in own.items() if limit is not None)


def load_artifacts(options: WorkerOptions) -> list[Artifact]:
    """Every model of the worker, verified; ModelError or CallerError for what can't be trusted."""
    from models.artifact import load_artifact

    if options.use_default_recipe and len(options.model_dirs) != 1:
        raise CallerError(f"--default-recipe needs exactly one --model; came {len(options.model_dirs)}")
    return [load_artifact(directory) for directory in options.model_dirs]


def open_models(settings: Settings, options: WorkerOptions, artifacts: Sequence[Artifact]) -> list[ServingModel]:
    """Every model with an engine that has given its golden scores."""
    return [serving_model(artifact, options, settings.max_batch) for artifact in artifacts]


def released_models(settings: Settings, options: WorkerOptions) -> Sources:
    """The store of released models, as a worker opens them: with its own device and precision."""
    shelf = Shelf(settings.model_store_dir)

    def open_beside(release: Release) -> ServingModel:
        uri = release.first.uri
        return model_beside(shelf.get(uri), shelf.place(uri), options, settings.max_batch)

    return Sources(
        nbytes=lambda release: MEMORY_PER_BYTE * shelf.nbytes(release.first.uri),
        open=lambda release: serving_model(shelf.get(release.first.uri), options, settings.max_batch),
        open_beside=open_beside,
        directory=lambda release: shelf.place(release.first.uri),
    )


def own_recipe(models: Sequence[ServingModel], options: WorkerOptions) -> Recipe | None:
    if not options.use_default_recipe:
        return None
    return default_recipe(models[0].model_id, models[0].thresholds, models[0].unsure_band, datetime.now(UTC))
