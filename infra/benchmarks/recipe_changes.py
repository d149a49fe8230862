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
import time
from collections import Counter
from typing import Any

from many_models import saved
from paced import LINES, Paced, plant, programs, recipe, until_there

from schemas.records import Recipe, VerdictIssued
from streams.bus.subscriber import Subscription
from streams.recipes.publishing import history
from streams.replay.topics import replay_topic
from streams.settings import Settings, to_environment
from streams.topics import VERDICTS, Topic

WORKERS, RUN = 2, "as-of"
AFTER_S = 10  # of frames behind the last change


def change(number: int) -> Recipe:
    """The `number`-th of all changes: lines in turn, models in turn."""
    version = number // LINES + 1
    limits = {f"c{n}": 0.3 + 0.05 * (version % 10) for n in range(1, 6)}
    return recipe(number % LINES, version, f"m{version % 2}", thresholds=limits)


async def poured(paced: Paced, options: argparse.Namespace) -> float:
    """Frames and changes side by side; how many frames a second that were."""
    started = time.monotonic()
    for number in range(options.changes + AFTER_S):
        if number < options.changes:
            await paced.recipe(change(number))
        await paced.send(options.rate, options.rate, options.deadline_ms)
    return paced.sent / (time.monotonic() - started)


async def all_of(settings: Settings, topic: Topic) -> list[VerdictIssued]:
    subscription: Subscription[VerdictIssued] = Subscription(topic, "earliest", settings=settings, follow=False)
    return [received.record async for received in subscription]


async def compared(settings: Settings, frames: int) -> dict[str, Any]:
    """What came out, against the recipe of each frame's append time."""
    live, again = await all_of(settings, VERDICTS), await all_of(settings, replay_topic(RUN))
    book = (await history(settings)).book
    wrong = Counter[str]()
    for name, verdicts in (("live", live), ("replay", again)):
        for v in verdicts:
            ruling = book.in_force(v.plant, v.line, v.sku, v.source_timestamp)
            wrong[f"{name}_version"] += v.recipe_version != (ruling and ruling.version)
            wrong[f"{name}_model"] += v.model_id not in (ruling and ruling.model_id, None)
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
    async with plant() as paced, programs(paced.settings, ("worker",) * WORKERS) as workers:
        settings, directories = paced.settings, list(saved(2, paced.settings.data_dir / "made"))
        for directory in directories:
            await paced.release(paced.shelve(directory))
        await asyncio.gather(*(worker.start() for worker in workers))
        rate = await poured(paced, options)
        await until_there(settings, VERDICTS, paced.sent)
        await asyncio.gather(*(worker.stop() for worker in workers))
        models = [part for directory in directories for part in ("--model", str(directory))]
        command = [sys.executable, "-P", "-m", "streams.cli", "replay", "--run", RUN, "--no-yield", *models]
        replay = await asyncio.create_subprocess_exec(*command, env=to_environment(settings))
        assert await replay.wait() == 0, "the replay failed"
        return {"changes": options.changes, "frames_per_s": round(rate, 1)} | await compared(settings, paced.sent)


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
