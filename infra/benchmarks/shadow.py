"""What a shadow costs the line: latencies at 90 % load with and without it, on one machine.

    .venv/bin/python infra/benchmarks/shadow.py [--pairs 5] [--seconds 30] [--load 0.9] [--json]

A Kafka of its own, one worker, eight lines, two released ResNet-18s (random weights, 128 x 128): one in force, one its
shadow. First the worker's capacity: a flood, frames over time. Then stretches at `--load` of it, without and with
`lineside shadow` running beside it, in turn; the first of each pair changes places from pair to pair. Latency is from
the frame's append to its verdict's, both by the broker's clock. The first five seconds of a stretch don't count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from kafka_overhead import bench_frame, drawn_pictures, send_frame
from many_models import made
from recipe_changes import change, release, until_decided

from schemas.records import ShadowCompared, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.commands.children import Child
from streams.settings import Settings, to_environment
from streams.topics import RECIPES, SHADOW, VERDICTS, topic_specs

LINES, WARM_UP_S = 8, 5.0


class Bench:
    """One line under one broker; counts what it sent."""

    def __init__(self, settings: Settings, publisher: Publisher) -> None:
        self._settings, self._publisher = settings, publisher
        self._pictures, self.sent = drawn_pictures(), 0

    async def put_in_force(self) -> None:
        """m1 on each line, m0 its shadow; returns when it holds."""
        for number in range(LINES):
            made_one = replace(change(number), shadow_model_id="m0", model_id="m1")
            await (await self._publisher.send(RECIPES, made_one, key=b"recipe", partition=0))
        await asyncio.sleep(8)

    async def capacity(self, frames: int) -> float:
        """Frames a second of a flood, from its first append to its last verdict."""
        await self._pour(frames // 4, 0)
        began = time.monotonic()
        await self._pour(frames, 0)
        return frames / (time.monotonic() - began)

    async def stretch(self, rate: float, seconds: float) -> dict[str, float]:
        """Latencies in ms at so many frames a second."""
        starts = await end_offsets(self._settings.bootstrap, self._settings.topic_prefix + VERDICTS.name)
        began = datetime.now(UTC)
        await self._pour(round(rate * seconds), rate)
        subscription: Subscription[VerdictIssued] = Subscription(
            VERDICTS, starts, settings=self._settings, follow=False
        )
        found = [
            (received.timestamp - received.record.source_timestamp).total_seconds() * 1000
            async for received in subscription
            if received.record.source_timestamp - began > timedelta(seconds=WARM_UP_S)
        ]
        return {"frames": len(found), **{f"p{q}": float(np.percentile(found, q)) for q in (50, 95, 99)}}

    async def _pour(self, frames: int, rate: float) -> None:
        """Returns when all have a verdict. Rate 0: as fast as they are taken."""
        began, sends = time.monotonic(), list[Any]()
        for number in range(frames):
            frame = bench_frame(self._pictures[self.sent % len(self._pictures)], self.sent, LINES)
            sends.append(await send_frame(self._publisher, frame))
            self.sent += 1
            if rate:
                await asyncio.sleep(max(0.0, began + (number + 1) / rate - time.monotonic()))
        await until_decided(self._settings, VERDICTS, self.sent)


async def pairs_published(settings: Settings) -> int:
    return sum((await end_offsets(settings.bootstrap, settings.topic_prefix + SHADOW.name)).values())


async def measured(settings: Settings, options: argparse.Namespace, shadow: Child, bench: Bench) -> dict[str, Any]:
    await bench.put_in_force()
    capacity = await bench.capacity(options.flood)
    rate, rounds, compared = options.load * capacity, list[dict[str, Any]](), 0
    for number in range(options.pairs):
        found: dict[str, Any] = {}
        for is_on in (False, True) if number % 2 else (True, False):
            before = await pairs_published(settings)
            if is_on:
                await shadow.start()
                await asyncio.sleep(6)  # its group has its partitions
            found["on" if is_on else "off"] = await bench.stretch(rate, options.seconds)
            if is_on:
                await shadow.stop()
                compared += await pairs_published(settings) - before
        rounds.append(found)
    rises = [pair["on"]["p99"] / pair["off"]["p99"] - 1 for pair in rounds]
    poured = round(rate * options.seconds) * options.pairs
    return {
        "capacity_per_s": round(capacity, 1),
        "rate_per_s": round(rate, 1),
        "pairs": rounds,
        "p99_rise_median": statistics.median(rises),
        "p99_rises": rises,
        "p50_rise_median": statistics.median(pair["on"]["p50"] / pair["off"]["p50"] - 1 for pair in rounds),
        "compared": compared,
        "shed": poured - compared,
        "shadow_models": sorted({p.shadow.model_id for p in await all_pairs(settings)}, key=str),
    }


async def all_pairs(settings: Settings) -> list[ShadowCompared]:
    subscription: Subscription[ShadowCompared] = Subscription(SHADOW, "earliest", settings=settings, follow=False)
    return [received.record async for received in subscription]


async def main(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerConfig(Path(folder) / "broker")) as broker:
        home = Path(folder)
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=home, model_store=str(home / "store"))
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        for model in await asyncio.to_thread(made, 2, home / "made"):
            model.engine.close()
            await release(settings, home / "made" / model.model_id)
        children = []
        for name in ("worker", "shadow"):
            (home / name).mkdir()
            environment = to_environment(replace(settings, data_dir=home / name))
            children.append(Child([name], environment, home / f"{name}.log", home / f"{name}.ready"))
        worker, shadow = children
        async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
            await worker.start()
            try:
                return await measured(settings, options, shadow, Bench(settings, publisher))
            finally:
                await asyncio.gather(*(child.stop() for child in children))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=30.0, help="of one stretch")
    parser.add_argument("--load", type=float, default=0.9, help="share of the worker's capacity")
    parser.add_argument("--flood", type=int, default=2000, help="frames by which the capacity is measured")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    told = asyncio.run(main(asked))
    print(json.dumps(told, indent=2) if asked.json else "\n".join(f"{name:18} {value}" for name, value in told.items()))
