"""A replay from what was asked to what its workers need: models, recipes, range, coverage, topic. The shell.

Everything that can be refused is refused here, before the first frame is judged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa

from models.errors import ModelError
from schemas.records import Precision, Recipe
from streams.archive.catalogue import where_there
from streams.archive.log import TopicLog
from streams.bus.admin import ensure_topics
from streams.bus.landmarks import Landmarks
from streams.bus.present import present
from streams.bus.registry_client import codec_for
from streams.errors import CallerError
from streams.inspection.engine_room import ServingModel
from streams.inspection.model_variants import ModelVariant, asked_by
from streams.inspection.recipes import RecipeBook, default_recipe, variants
from streams.replay.coverage import readable
from streams.replay.planning import Range, frames_of, narrowed, range_of
from streams.replay.recipes_of import AS_OF, GIVEN, MODEL, ReplayRecipes, check_fit, given_recipe
from streams.replay.selection import Selection
from streams.replay.topics import replay_topic, spec_of
from streams.serving import WorkerOptions, load_artifacts, variant_model
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import RECIPES, VERDICTS, frames_topic

log = logging.getLogger(__name__)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Planned:
    """A range and its frames (`coverage.FRAMES`)."""

    reach: Range
    frames: pa.Table


async def plan(settings: Settings, selection: Selection, progress: Callable[[int], None]) -> Planned:
    """Where the frames of a selection are; CallerError for a range with nothing in it."""
    codec, topic = codec_for(settings), frames_topic(settings)
    async with (
        Landmarks(settings.bootstrap, topic) as landmarks,
        TopicLog(settings, codec, VERDICTS) as verdicts,
    ):
        reach = await range_of(landmarks, selection)
        with where_there(settings.archive_dir) as archive:
            store = FrameStore(settings.frame_store_url)
            frames = await frames_of(selection, reach, verdicts, topic, archive, store, progress)
    reach = narrowed(reach, frames, selection)
    unread = sum(high - reach.lows[p] for p, high in reach.highs.items())
    if readable(frames) == 0 and (unread == 0 or selection.is_sparse or len(frames)):
        lost = (
            f"; verdicts tell of {len(frames)} frames, which have expired and were not archived" if len(frames) else ""
        )
        raise CallerError(
            f"there is no frame in this range ({described(selection)}){lost}: see with `lineside archive --show` and "
            "`lineside tail frames --from earliest --count 1` how far back frames reach"
        )
    return Planned(reach, frames)


def described(selection: Selection) -> str:
    """A selection in words."""
    asked = selection.to_json()
    words = [f"{name} {asked[name]}" for name in ("since", "until", "plant", "line", "station", "sku") if asked[name]]
    words += [f"{len(asked[name])} {name.replace('_', ' ')}" for name in ("part_ids", "frame_ids") if asked[name]]
    words += ["offsets " + ", ".join(f"{p}:{a}-{b - 1}" for p, (a, b) in (selection.offsets or {}).items())]
    return ", ".join(word for word in words if word != "offsets ") or "everything"


async def recipe_book(settings: Settings, own: Recipe | None) -> RecipeBook:
    """All recipes ever published; `own` judges where none was in force."""
    book = RecipeBook(own)
    async for event in present(settings, RECIPES):
        book.add(event.record, event.timestamp)
    return book


async def recipes_for(
    settings: Settings, asked: str | dict[str, Any], use_default: bool, models: Sequence[ServingModel]
) -> ReplayRecipes:
    """`asked`: `as-of`, `model`, or the thresholds themselves."""
    first = models[0]
    override = first.model_id if len(models) == 1 else None
    own = default_recipe(first.model_id, first.thresholds, first.unsure_band, LONG_AGO) if override else None
    if asked == MODEL and own is None:
        raise CallerError("--recipe model needs exactly one --model: each has limits of its own")
    given = None
    if isinstance(asked, dict):
        if own is None:
            raise CallerError("a given recipe needs exactly one --model: its limits are those of one model's classes")
        given = given_recipe(own, asked)
    mode = GIVEN if given else str(asked)
    book = await recipe_book(settings, own if use_default else None)
    return ReplayRecipes(mode, book, own, given, override)


def check_recipes(recipes: ReplayRecipes, models: Sequence[ServingModel], frames: pa.Table) -> list[Recipe]:
    """The recipes that will judge.

    CallerError where a model's classes don't fit one that was in force, or where none was for any frame.
    """
    if recipes.mode != AS_OF:
        one = [r for r in (recipes.given, recipes.own) if r][:1]
        check_fit(models[0].roles, models[0].model_id, one)
        return one
    found = ever_in_force(recipes.book, frames)
    if frames.num_rows and not found:
        raise CallerError(
            "no recipe was in force for any frame of this range: with --default-recipe the model's own limits judge, "
            "as in a worker with the same option, or give --recipe model"
        )
    roles = {model.model_id: model.roles for model in models}
    deciding = found if recipes.override else [variant for recipe in found for variant in variants(recipe)]
    for recipe in deciding:
        model_id = recipes.override or recipe.model_id
        if model_id not in roles:
            raise CallerError(
                f"recipe version {recipe.version} of {recipe.plant}/{recipe.line} names the model {model_id}: give its "
                "directory with --model too, or one --model alone, which then judges every frame"
            )
        check_fit(roles[model_id], model_id, [recipe])
    return found


def ever_in_force(book: RecipeBook, frames: pa.Table) -> list[Recipe]:
    """The recipes that were in force for some of these frames (`coverage.FRAMES`)."""
    found: list[Recipe] = []
    scopes = frames.group_by(["plant", "line", "sku"]).aggregate([("appended_at", "min"), ("appended_at", "max")])
    for scope in scopes.to_pylist():
        span = (scope["appended_at_min"], scope["appended_at_max"])
        found += book.ever_in_force(scope["plant"], scope["line"], scope["sku"], *span)
    return found


def asked_beyond(recipes: ReplayRecipes, judging: Sequence[Recipe]) -> list[list[str]]:
    """What recipes asked for beyond a model, as a run's description keeps it; nothing of other models than the one that
    judges in their place.
    """
    asked = {variant for recipe in judging for variant in asked_by(recipe) if not variant.is_plain}
    ours = sorted(variant for variant in asked if recipes.override in (None, variant.model_id))
    return [[v.model_id, v.device, v.precision.value] for v in ours]


def also_asked(settings: Settings, info: dict[str, Any]) -> dict[str, ServingModel]:
    """By name, the models of a run as recipes asked for them, as far as they can be had so on this machine."""
    asked = [ModelVariant(model, device, Precision(name)) for model, device, name in info.get("variants", ())]
    if not asked:
        return {}
    options, found = WorkerOptions([Path(directory) for directory in info["model_dirs"]]), dict[str, ServingModel]()
    artifacts = {artifact.model_id: artifact for artifact in load_artifacts(options)}
    for variant in asked:
        try:
            found[str(variant)] = variant_model(artifacts[variant.model_id], variant, options, settings.max_batch)
        except ModelError as error:
            log.warning("%s can't be had here, its frames are judged by the model as it can be: %s", variant, error)
    return found


async def make_topic(settings: Settings, run: str, partitions: int) -> None:
    """The run's topic, where it is not there yet."""
    spec = spec_of(
        replay_topic(run), settings.topic_prefix, partitions, settings.replication, settings.min_insync_replicas
    )
    await ensure_topics(settings.bootstrap, [spec])
