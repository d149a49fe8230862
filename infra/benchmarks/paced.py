"""Workers under a Kafka of their own, and frames at a pace: what benchmarks of lines that run share.

Eight lines send drawn parts in turn. Latency is from a frame's append to its verdict's, both by the broker's clock.
Capacity is found at a pace: a flood fills larger batches than frames that come one by one ever do.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np
from kafka_overhead import bench_frame, drawn_pictures, send_frame

from models.artifact import load_artifact
from schemas.records import Mode, ModelReleased, Recipe, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.commands.children import Child
from streams.commands.models import publish, record_of
from streams.registry.shelf import Shelf
from streams.settings import Settings, to_environment
from streams.topics import RECIPES, VERDICTS, Topic, topic_specs

LINES = 8
AHEAD = timedelta(seconds=7)
WARM_UP_S = 5.0  # of a stretch, which don't count
STEADY_P99_MS = 300.0  # a worker that is behind by more is not at a pace that it can go on with
SEARCHED_S, SEARCHES = 15.0, 6

Verdict = Received[VerdictIssued]


class Paced:
    """Lines under one broker; counts what it sent."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self.settings, self._publisher = settings, publisher
        self._pictures, self.sent = drawn_pictures(), 0

    def shelve(self, directory: Path) -> ModelReleased:
        """A model put on the shelf, and what makes it known: a second of work here that would delay frames to send."""
        artifact = Shelf(self.settings.model_store_dir).put(directory, load_artifact(directory).sha256)
        return record_of(artifact, "benchmark")

    async def release(self, shelved: ModelReleased) -> None:
        """Known to all."""
        await publish(self.settings, shelved, "model.release", None)

    async def recipe(self, made: Recipe) -> None:
        await (await self._publisher.send(RECIPES, made, key=b"recipe", partition=0))

    async def in_force(self, made: Iterable[Recipe]) -> None:
        """Returns when they hold."""
        for one in made:
            await self.recipe(one)
        await asyncio.sleep(AHEAD.total_seconds() + 1)

    async def capacity(self) -> float:
        """Frames a second that come one by one and are decided within STEADY_P99_MS, by halving what a flood gives."""
        low, high = 0.0, await self._flood()
        for _ in range(SEARCHES):
            middle = (low + high) / 2 if low else 0.7 * high
            found = latencies_ms(await self.stretch(middle, SEARCHED_S))
            low, high = (middle, high) if np.percentile(found, 99) <= STEADY_P99_MS else (low, middle)
        return low

    async def _flood(self, frames: int = 2000) -> float:
        await self.pour(frames // 4, 0)
        began = time.monotonic()
        await self.pour(frames, 0)
        return frames / (time.monotonic() - began)

    async def stretch(self, rate: float, seconds: float, deadline_ms: int | None = None) -> list[Verdict]:
        """The verdicts of so many frames a second, those of the warm-up left out."""
        starts = await end_offsets(self.settings.bootstrap, self.settings.topic_prefix + VERDICTS.name)
        began = datetime.now(UTC)
        await self.pour(round(rate * seconds), rate, deadline_ms)
        warm = began + timedelta(seconds=WARM_UP_S)
        return [got for got in await self.verdicts(starts) if got.record.source_timestamp > warm]

    async def verdicts(self, starts: Mapping[int, int] | Literal["earliest"]) -> list[Verdict]:
        subscription: Subscription[VerdictIssued] = Subscription(VERDICTS, starts, settings=self.settings, follow=False)
        return [got async for got in subscription]

    async def pour(self, frames: int, rate: float, deadline_ms: int | None = None) -> None:
        """Returns when all have a verdict."""
        await self.send(frames, rate, deadline_ms)
        await until_there(self.settings, VERDICTS, self.sent)

    async def send(self, frames: int, rate: float, deadline_ms: int | None = None) -> None:
        """Returns when Kafka has all. Rate 0: as fast as they are taken."""
        began, sends = time.monotonic(), list[Any]()
        for _ in range(frames):
            frame = bench_frame(self._pictures[self.sent % len(self._pictures)], self.sent, LINES)
            sends.append(await send_frame(self._publisher, replace(frame, deadline_ms=deadline_ms)))
            self.sent += 1
            if rate:
                await asyncio.sleep(max(0.0, began + len(sends) / rate - time.monotonic()))
        await asyncio.gather(*sends)


def latencies_ms(verdicts: Iterable[Verdict]) -> list[float]:
    return [(got.timestamp - got.record.source_timestamp).total_seconds() * 1000 for got in verdicts]


def quantiles(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """How many, and their latencies in ms."""
    found = latencies_ms(verdicts)
    return {"frames": len(found), **{f"p{q}": float(np.percentile(found, q)) for q in (50, 95, 99)}}


def recipe(line: int, version: int, model_id: str, **fields: Any) -> Recipe:
    """Of one of the lines, in force AHEAD from now."""
    now = datetime.now(UTC).replace(microsecond=0)
    made = Recipe(
        plant="bench",
        line=f"line-{line}",
        sku="*",
        version=version,
        mode=Mode.ADVISE,
        model_id=model_id,
        thresholds={f"c{n}": 0.5 for n in range(1, 6)},
        unsure_band=0.0,
        author="benchmark",
        reason="a change",
        created_at=now,
        effective_at=now + AHEAD,
    )
    return replace(made, **fields)


async def until_there(settings: Settings, topic: Topic, records: int) -> None:
    """TimeoutError after five minutes."""
    async with asyncio.timeout(300):
        while await count_of(settings, topic) < records:
            await asyncio.sleep(0.5)


async def count_of(settings: Settings, topic: Topic) -> int:
    return sum((await end_offsets(settings.bootstrap, settings.topic_prefix + topic.name)).values())


@asynccontextmanager
async def plant() -> AsyncIterator[Paced]:
    """A broker with its topics in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerConfig(Path(folder) / "broker")) as broker:
        home = Path(folder)
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=home, model_store=str(home / "store"))
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
            yield Paced(settings, publisher)


@asynccontextmanager
async def programs(settings: Settings, names: Sequence[str]) -> AsyncIterator[list[Child]]:
    """Programs with a data directory each, not started; those that run are stopped at the end."""
    children = []
    for number, name in enumerate(names):
        home = settings.data_dir / f"{name}-{number}"
        home.mkdir()
        environment = to_environment(replace(settings, data_dir=home))
        children.append(Child([name], environment, home / "log", home / "ready"))
    try:
        yield children
    finally:
        await asyncio.gather(*(child.stop() for child in children))
