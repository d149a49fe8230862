"""What a shadow costs the line: latencies at 90 % load with and without it, on one machine.

    .venv/bin/python infra/benchmarks/shadow.py [--pairs 5] [--seconds 60] [--load 0.9] [--json]

A Kafka of its own, one worker, eight lines, two released ResNet-18s (random weights, 128 x 128): one in force, one its
shadow. First the worker's capacity at a pace. Then stretches at `--load` of it, without and with `lineside shadow`
running beside it, in turn; the first of each pair changes places from pair to pair.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
from typing import Any

from many_models import saved
from paced import LINES, Paced, count_of, plant, programs, quantiles, recipe

from schemas.records import ShadowCompared
from streams.bus.subscriber import Subscription
from streams.commands.children import Child
from streams.settings import Settings
from streams.topics import SHADOW


async def measured(options: argparse.Namespace, shadow: Child, paced: Paced) -> dict[str, Any]:
    await paced.in_force(recipe(line, 1, "m1", shadow_model_id="m0") for line in range(LINES))
    capacity = await paced.capacity()
    rate, rounds, compared = options.load * capacity, list[dict[str, Any]](), 0
    for number in range(options.pairs):
        found: dict[str, Any] = {}
        for is_on in (False, True) if number % 2 else (True, False):
            before = await count_of(paced.settings, SHADOW)
            if is_on:
                await shadow.start()
                await asyncio.sleep(6)  # its group has its partitions
            found["on" if is_on else "off"] = quantiles(await paced.stretch(rate, options.seconds))
            if is_on:
                await shadow.stop()
                compared += await count_of(paced.settings, SHADOW) - before
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
        "shadow_models": sorted({p.shadow.model_id for p in await all_pairs(paced.settings)}, key=str),
    }


async def all_pairs(settings: Settings) -> list[ShadowCompared]:
    subscription: Subscription[ShadowCompared] = Subscription(SHADOW, "earliest", settings=settings, follow=False)
    return [received.record async for received in subscription]


async def main(options: argparse.Namespace) -> dict[str, Any]:
    async with plant() as paced, programs(paced.settings, ("worker", "shadow")) as (worker, shadow):
        for directory in saved(2, paced.settings.data_dir / "made"):
            await paced.release(paced.shelve(directory))
        await worker.start()
        return await measured(options, shadow, paced)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="of one stretch")
    parser.add_argument("--load", type=float, default=0.9, help="share of the worker's capacity")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    told = asyncio.run(main(asked))
    print(json.dumps(told, indent=2) if asked.json else "\n".join(f"{name:18} {value}" for name, value in told.items()))
