"""The models that a worker serves: artifacts verified, engines opened, and a recipe where nobody gave one.

Place in the flow: before a worker starts, and when a replay opens its model. Knows no Kafka.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models.devices import AUTO, fits, whole
from models.errors import ModelRefusedError
from schemas.records import Precision, Recipe
from streams.errors import CallerError
from streams.inspection.alone import CHILD_MODULE
from streams.inspection.decide import ANY_DEFECT, ClassRoles
from streams.inspection.engine_room import ServingModel
from streams.inspection.model_variants import ModelVariant
from streams.inspection.recipes import default_recipe
from streams.model_keeper import Sources
from streams.registry.book import Release
from streams.registry.shelf import Shelf, size_of
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
    device: str = AUTO
    precision: Precision = Precision.UNKNOWN
    alone_module: str = CHILD_MODULE  # what tries pictures alone


@dataclass(frozen=True, slots=True)
class Own:
    """A model that a worker was started with: where it lies, and the digest that it had."""

    directory: Path
    sha256: str


@dataclass(frozen=True, slots=True)
class Beside:
    """A model that is opened while others serve: where it lies, and what is set when there is no time for care."""

    directory: Path
    hurry: threading.Event


def serving_model(artifact: Artifact, options: WorkerOptions, max_batch: int) -> ServingModel:
    """A verified model with its engine; the golden vectors have been run."""
    from models.engines import open_engine  # torch is seconds of start-up that a gateway need not pay

    return _serving(artifact, open_engine(artifact, options.device, options.precision, _buckets(max_batch)))


def model_beside(artifact: Artifact, options: WorkerOptions, max_batch: int, beside: Beside) -> ServingModel:
    """The same while others serve: nearly all of the work is done by another process, at a low priority."""
    from models.engines import open_engine
    from models.engines.rehearsal import rehearse

    buckets = _buckets(max_batch)
    found = rehearse(beside.directory, options.device, options.precision, buckets, beside.hurry)
    if found is None:
        return serving_model(artifact, options, max_batch)
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


def released_models(settings: Settings, options: WorkerOptions, own: Mapping[str, Own] | None = None) -> Sources:
    """The store of released models, and the worker's `own` by id, as it opens them where recipes ask for no more."""
    files = _Files(Shelf(settings.model_store_dir), own or {})

    def opened(variant: ModelVariant, release: Release | None, hurry: threading.Event | None = None) -> ServingModel:
        beside = Beside(files.directory(variant, release), hurry) if hurry else None
        return variant_model(files.artifact(variant, release), variant, options, settings.max_batch, beside)

    return Sources(
        nbytes=files.nbytes,
        open=opened,
        open_beside=opened,
        directory=files.directory,
        own=frozenset(own or ()),
    )


def variant_model(
    artifact: Artifact, variant: ModelVariant, options: WorkerOptions, max_batch: int, beside: Beside | None = None
) -> ServingModel:
    """A verified model as a recipe asks for it, on the device and in the precision of `options` where it leaves that.

    `beside`: others serve meanwhile.
    ModelError where it can't be had so: then nothing else is opened in its place.
    """
    if variant.precision not in (Precision.UNKNOWN, *(had := whole(artifact.tolerance, artifact.novelty is not None))):
        raise ModelRefusedError(f"{artifact.model_id} can't be had as {variant.precision}, only as {', '.join(had)}")
    asked = options_for(variant, options)
    return model_beside(artifact, asked, max_batch, beside) if beside else serving_model(artifact, asked, max_batch)


def options_for(variant: ModelVariant, options: WorkerOptions) -> WorkerOptions:
    """What a recipe asks for wins; how the worker was started fills what it leaves open, as far as the two fit."""
    if variant.is_plain:
        return options
    _, device, precision = variant
    if device == AUTO and fits(options.device, precision):
        device = options.device
    if precision is Precision.UNKNOWN and fits(device, options.precision):
        precision = options.precision
    return replace(options, device=device, precision=precision)


class _Files:
    """Where models lie, those of the worker's own before those in the store."""

    def __init__(self, shelf: Shelf, own: Mapping[str, Own]) -> None:
        self._shelf, self._own = shelf, own

    def nbytes(self, variant: ModelVariant, release: Release | None) -> int:
        if own := self._own.get(variant.model_id):
            return MEMORY_PER_BYTE * size_of(own.directory)
        return MEMORY_PER_BYTE * self._shelf.nbytes(_uri(release))

    def artifact(self, variant: ModelVariant, release: Release | None) -> Artifact:
        from models.artifact import load_artifact

        if (own := self._own.get(variant.model_id)) is None:
            return self._shelf.get(_uri(release))
        artifact = load_artifact(own.directory)
        if artifact.sha256 != own.sha256:
            raise ModelRefusedError(f"{own.directory} holds another model than at the start: restart to serve that")
        return artifact

    def directory(self, variant: ModelVariant, release: Release | None) -> Path:
        own = self._own.get(variant.model_id)
        return own.directory if own else self._shelf.place(_uri(release))


def _uri(release: Release | None) -> str:
    assert release is not None, "what is not the worker's own was released"
    return release.first.uri


def own_recipe(models: Sequence[ServingModel], options: WorkerOptions) -> Recipe | None:
    if not options.use_default_recipe:
        return None
    return default_recipe(models[0].model_id, models[0].thresholds, models[0].unsure_band, datetime.now(UTC))
