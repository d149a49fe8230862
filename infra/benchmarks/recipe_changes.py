"""A hundred recipe changes under load: each verdict by the version in force, on two workers and in a replay alike.

    .venv/bin/python infra/benchmarks/recipe_changes.py [--changes 100] [--rate 60] [--deadline-ms 3000] [--json]

A Kafka of its own, two released ResNet-18s (random weights, 128 x 128), two workers that know no model at their start,
eight lines at `--rate` frames a second. A change a second puts the other model, with other limits, in force on one
line. Afterwards the verdicts are compared with the recipe of each frame's append time, and a replay judges all of it
again by the recipes as of then.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kafka_overhead import bench_frame, drawn_pictures, send_frame
from many_models import made

from models.artifact import load_artifact
from schemas.records import Mode, Recipe, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.commands.children import Child
from streams.commands.models import publish, record_of
from streams.recipes.publishing import history
from streams.registry.shelf import Shelf
from streams.replay.topics import replay_topic
from streams.settings import Settings, to_environment
from streams.topics import RECIPES, VERDICTS, Topic, topic_specs

LINES, WORKERS, RUN = 8, 2, "as-of"
AHEAD = timedelta(seconds=7)
AFTER_S = 10  # of frames behind the last change


async def release(settings: Settings, directory: Path) -> None:
    artifact = Shelf(settings.model_store_dir).put(directory, load_artifact(directory).sha256)
    record = record_of(artifact, "benchmark")
    await publish(settings, record, "model.release", None)


def change(number: int) -> Recipe:
    """The `number`-th of all changes: lines in turn, models in turn."""
    now = datetime.now(UTC).replace(microsecond=0)
    version = number // LINES + 1
    limits = {f"c{n}": 0.3 + 0.05 * (version % 10) for n in range(1, 6)}
    return Recipe(
        plant="bench",
        line=f"line-{number % LINES}",
        sku="*",
        version=version,
        mode=Mode.ADVISE,
        model_id=f"m{version % 2}",
        thresholds=limits,
        unsure_band=0.0,
        author="benchmark",
        reason="a change",
        created_at=now,
        effective_at=now + AHEAD,
    )


async def pour(settings: Settings, options: argparse.Namespace) -> tuple[int, float]:
    """Frames and changes side by side; how many frames that were, and how many a second."""
    pictures, sent, started = drawn_pictures(), 0, time.monotonic()
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for number in range(options.changes + AFTER_S):
            if number < options.changes:
                await (await publisher.send(RECIPES, change(number), key=b"recipe", partition=0))
            for _ in range(options.rate):
                frame = replace(
                    bench_frame(pictures[sent % len(pictures)], sent, LINES), deadline_ms=options.deadline_ms
                )
                await send_frame(publisher, frame)
                sent += 1
                await asyncio.sleep(max(0.0, started + sent / options.rate - time.monotonic()))
    return sent, sent / (time.monotonic() - started)


async def all_of(settings: Settings, topic: Topic) -> list[VerdictIssued]:
    subscription: Subscription[VerdictIssued] = Subscription(topic, "earliest", settings=settings, follow=False)
    return [received.record async for received in subscription]


async def until_decided(settings: Settings, topic: Topic, frames: int) -> None:
    async with asyncio.timeout(300):
        while sum((await end_offsets(settings.bootstrap, settings.topic_prefix + topic.name)).values()) < frames:
            await asyncio.sleep(0.5)


async def compared(settings: Settings, frames: int) -> dict[str, Any]:
    """What came out, against the recipe of each frame's append time."""
    live, again = await all_of(settings, VERDICTS), await all_of(settings, replay_topic(RUN))
    book = (await history(settings)).book
    wrong = Counter[str]()
    for name, verdicts in (("live", live), ("replay", again)):
        for v in verdicts:
            recipe = book.in_force(v.plant, v.line, v.sku, v.source_timestamp)
            wrong[f"{name}_version"] += v.recipe_version != (recipe and recipe.version)
            wrong[f"{name}_model"] += v.model_id not in (recipe and recipe.model_id, None)
    by_frame = {v.frame_id: v for v in live}
    differ = [
        v
        for v in again
        if (v.outcome, v.recipe_version) != (by_frame[v.frame_id].outcome, by_frame[v.frame_id].recipe_version)
    ]
    return {
        "frames": frames,
        "lost": frames - len({v.frame_id for v in live}),
        "copies": len(live) - len({v.verdict_id for v in live}),
        "wrong": dict(wrong),
        "late": sum(not v.deadline_met for v in live),
        "replayed": len(again),
        "replay_differs": len(differ),
        "versions": len({(v.line, v.recipe_version) for v in live}),
        "by_model": dict(Counter(str(v.model_id) for v in live)),
        "batches_of_more_than_one": sum(v.batch_size > 1 for v in live),
    }


async def main(options: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerConfig(Path(folder) / "broker")) as broker:
        home = Path(folder)
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=home, model_store=str(home / "store"))
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        for model in await asyncio.to_thread(made, 2, home / "made"):
            model.engine.close()
            await release(settings, home / "made" / model.model_id)
        workers = []
        for number in range(WORKERS):
            environment = to_environment(replace(settings, data_dir=home / f"worker-{number}"))
            (home / f"worker-{number}").mkdir()
            workers.append(Child(["worker"], environment, home / f"{number}.log", home / f"{number}.ready"))
        try:
            await asyncio.gather(*(worker.start() for worker in workers))
            frames, rate = await pour(settings, options)
            await until_decided(settings, VERDICTS, frames)
        finally:
            await asyncio.gather(*(worker.stop() for worker in workers))
        models = [part for n in range(2) for part in ("--model", str(home / "made" / f"m{n}"))]
        command = [sys.executable, "-P", "-m", "streams.cli", "replay", "--run", RUN, "--no-yield", *models]
        replay = await asyncio.create_subprocess_exec(*command, env=to_environment(settings))
        assert await replay.wait() == 0, "the replay failed"
        return {"changes": options.changes, "frames_per_s": round(rate, 1)} | await compared(settings, frames)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--rate", type=int, default=60, help="frames a second over all lines")
    parser.add_argument("--deadline-ms", type=int, default=3000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = asyncio.run(main(asked))
    print(
        json.dumps(found, indent=2) if asked.json else "\n".join(f"{name:26} {value}" for name, value in found.items())
    )
