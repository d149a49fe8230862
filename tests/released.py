"""Released models and recipes for tests: put on the shelf and published, without an evaluation."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from models.artifact import Artifact, load_artifact, save_artifact
from schemas.records import ModelReleased, Recipe
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.commands.models import publish, record_of
from streams.registry.shelf import Shelf
from streams.settings import Settings
from streams.topics import RECIPES


async def release(settings: Settings, artifact: Artifact, scratch: Path) -> ModelReleased:
    """Put a model on the shelf and say so."""
    directory = scratch / artifact.model_id
    save_artifact(artifact, directory)
    kept = Shelf(settings.model_store_dir).put(directory, load_artifact(directory).sha256)
    record = record_of(kept, "ana")
    await publish(settings, record, "model.release", None)
    return record


async def put_in_force(settings: Settings, *recipes: Recipe) -> None:
    """Publish recipes as they are."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for made in recipes:
            await (await publisher.send(RECIPES, made, key=b"recipe", partition=0))


def in_s(seconds: float) -> datetime:
    """So many seconds from now, to the millisecond."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    return at.replace(microsecond=at.microsecond // 1000 * 1000)
