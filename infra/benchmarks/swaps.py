"""Another model twenty times under load: what it costs the frames, beside as long a stretch without a change.

    .venv/bin/python infra/benchmarks/swaps.py [--swaps 20] [--every 30] [--load 0.9] [--deadline-ms 1000]
        [--quiet 120] [--json]

A Kafka of its own, one worker, eight lines at `--load` of what the worker can do at a pace. Every so many seconds a
model is released that the worker has never seen (ResNet-18, random weights, 128 x 128), to be loaded and warmed beside
the serving one, and the model that was released the time before is put in force on all lines. Stretches without swaps
before and after say what is late anyway.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from many_models import saved
from paced import LINES, Paced, Verdict, latencies_ms, plant, programs, quantiles, recipe

from schemas.records import ModelReleased, Reason
from streams.recipes.publishing import history


async def swapped(paced: Paced, models: Iterable[ModelReleased], every_s: float) -> list[datetime]:
    """Each model released, and told to begin AHEAD from then on all lines when the next one is; when that was."""
    loop, released = asyncio.get_running_loop(), list[datetime]()
    due, warm = loop.time(), ""
    for number, model in enumerate([*models, None], start=1):
        if model:
            released.append(datetime.now(UTC))
            await paced.release(model)
        for line in range(LINES) if warm else ():
            await paced.recipe(recipe(line, number, warm))
        warm, due = model.model_id if model else "", due + every_s
        await asyncio.sleep(max(0.0, due - loop.time()))
    return released


async def measured(options: argparse.Namespace, paced: Paced, models: Sequence[ModelReleased]) -> dict[str, Any]:
    await paced.release(models[0])
    await paced.in_force(recipe(line, 1, models[0].model_id) for line in range(LINES))
    capacity = await paced.capacity()
    rate, seconds = options.load * capacity, options.every * (options.swaps + 1) + 10
    found: dict[str, list[Verdict]] = {}
    found["before"] = await paced.stretch(rate, options.quiet, options.deadline_ms)
    swapping = asyncio.create_task(swapped(paced, models[1:], options.every))
    found["swaps"] = await paced.stretch(rate, seconds, options.deadline_ms)
    released = await swapping
    found["after"] = await paced.stretch(rate, options.quiet, options.deadline_ms)
    frames = [got.record.frame_id for got in await paced.verdicts("earliest")]
    return {
        "capacity_per_s": round(capacity, 1),
        "rate_per_s": round(rate, 1),
        "lost": paced.sent - len(set(frames)),
        "copies": len(frames) - len(set(frames)),
        **{name: quantiles(verdicts) | _slowest(verdicts) for name, verdicts in found.items()},
        "by_seconds_since_release": since(released, found["swaps"]),
        **await judged_rightly(paced, found["swaps"]),
    }


def since(released: Sequence[datetime], verdicts: Sequence[Verdict]) -> dict[int, dict[str, float]]:
    """Latencies of the frames that were appended so many seconds after the release before them, in fives."""
    found = defaultdict[int, list[Verdict]](list)
    for got in verdicts:
        place = bisect(released, got.record.source_timestamp) - 1
        if place >= 0:
            found[int((got.record.source_timestamp - released[place]).total_seconds()) // 5 * 5].append(got)
    return {seconds: quantiles(its) | _slowest(its) for seconds, its in sorted(found.items())}


async def judged_rightly(paced: Paced, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Whether each verdict is of the model in force at its frame's append, and no batch of two models."""
    book = (await history(paced.settings)).book
    wrong, batches = Counter[str](), defaultdict[tuple[float, int], list[str | None]](list)
    for v in (got.record for got in verdicts):
        ruling = book.in_force(v.plant, v.line, v.sku, v.source_timestamp)
        if v.reason is Reason.UNQUALIFIED:
            wrong["unqualified"] += 1
        elif v.deadline_met and v.model_id != (ruling and ruling.model_id):
            wrong["other_model"] += 1
        if v.batch_size:
            batches[v.infer_ms, v.batch_size].append(v.model_id)  # measured once a batch, in billionths of a second
    return {
        "models": len({got.record.model_id for got in verdicts}),
        "wrong": dict(wrong),
        "batches": len(batches),
        "mixed_batches": sum(  # two batches that took equally long are more frames than one holds
            len(set(models)) > 1 and len(models) <= size for (_, size), models in batches.items()
        ),
    }


def _slowest(verdicts: Sequence[Verdict]) -> dict[str, float]:
    late = sum(not got.record.deadline_met for got in verdicts)
    return {"slowest_ms": max(latencies_ms(verdicts)), "late": late}


async def main(options: argparse.Namespace) -> dict[str, Any]:
    async with plant() as paced, programs(paced.settings, ("worker",)) as (worker,):
        made = saved(options.swaps + 1, paced.settings.data_dir / "made")
        models = [paced.shelve(directory) for directory in made]
        await worker.start()
        return await measured(options, paced, models)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=20)
    parser.add_argument("--every", type=float, default=30.0, help="seconds from one swap to the next")
    parser.add_argument("--quiet", type=float, default=120.0, help="seconds of each stretch without swaps")
    parser.add_argument("--load", type=float, default=0.9, help="share of what the worker can do at a pace")
    parser.add_argument("--deadline-ms", type=int, default=1000, help="of each frame, from its trigger")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    told = asyncio.run(main(asked))
    print(json.dumps(told, indent=2) if asked.json else "\n".join(f"{name:16} {value}" for name, value in told.items()))
