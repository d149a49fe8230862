"""A whole inspection worker on the real broker with a fake engine, inside the test's own process."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from prometheus_client import CollectorRegistry

from schemas.records import FrameCaptured, Recipe
from streams.app import InspectionWorker
from streams.bus.admin import ensure_topics
from streams.bus.offsets import committed_offsets, end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.ledger import Results
from streams.chaos.reading import results
from streams.model_keeper import Sources
from streams.settings import Settings
from streams.topics import FRAMES, frames_topic, inspection_group, own, station_key, topic_specs
from tests.builders import Deaths, FakeEngine, recipe, serving_model

DEFAULT = recipe(plant="*", line="*")


async def prepared(bootstrap: str, prefix: str, data_dir: Path) -> Settings:
    """Settings whose topics exist."""
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=prefix, data_dir=data_dir, partitions=4)
    await ensure_topics(bootstrap, topic_specs(settings))
    return settings


@asynccontextmanager
async def running_worker(
    settings: Settings,
    engine: FakeEngine | None = None,
    default: Recipe | None = DEFAULT,
    sources: Sources | None = None,
) -> AsyncIterator[InspectionWorker]:
    """A worker that drains and stops at the end; fails where it would have ended its process.

    With `sources` it serves released models alone.
    """
    deaths = Deaths()
    models = [] if sources else [serving_model(engine or FakeEngine())]
    worker = InspectionWorker(settings, models, default, CollectorRegistry(), die=deaths, sources=sources)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(worker.run(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield worker
    finally:
        stop.set()
        await task
        assert deaths == []


async def publish(settings: Settings, frames: Iterable[FrameCaptured]) -> None:
    """Send frames as a gateway does and wait for the confirmation of all."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        sent = [
            await publisher.send(own(FRAMES, settings), f, key=station_key(f.plant, f.line, f.station)) for f in frames
        ]
        await asyncio.gather(*sent)


async def until_lag_is_zero(settings: Settings, timeout_s: float = 120.0) -> dict[int, int]:
    """Wait until the group has committed everything on `frames`; gives the committed offsets."""
    topic, group = frames_topic(settings), settings.topic_prefix + inspection_group(settings.pool)
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                ends = {p: end for p, end in (await end_offsets(settings.bootstrap, topic)).items() if end}
                committed = await committed_offsets(admin, group, topic)
                if ends and all(committed.get(p, 0) >= end for p, end in ends.items()):
                    return committed
                await asyncio.sleep(0.1)
    finally:
        await admin.close()


async def inspected(settings: Settings, frames: Iterable[FrameCaptured], engine: FakeEngine | None = None) -> Results:
    """Publish, inspect everything, and read what came out."""
    await publish(settings, frames)
    async with running_worker(settings, engine):
        await until_lag_is_zero(settings)
    return await results(settings)


def renamed(frame: FrameCaptured, **changes: object) -> FrameCaptured:
    return dataclasses.replace(frame, **changes)  # type: ignore[arg-type]
