"""What a replay costs and disturbs: its rate over the same work in-process, by workers, and a live line beside it.

    .venv/bin/python infra/benchmarks/replay.py rate [--frames 1500] [--pairs 5]
    .venv/bin/python infra/benchmarks/replay.py growth [--frames 1500] [--pairs 3]
    .venv/bin/python infra/benchmarks/replay.py beside [--seconds 40] [--pairs 5]

`rate`: the same 640x480 JPEGs decoded and classified (ResNet-18, random weights) by the engine room alone, and as a
replay from the topic of 12 partitions, in pairs. `growth`: one worker and two, each held to a core of its own, over 1,
2 and 12 partitions. `beside`: a worker takes frames at half of its measured capacity; latency from append to verdict
with and without a replay beside it, in interleaved pairs. Rates are those between the first and the last verdict.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from kafka_overhead import Bench, bench_frame, drawn_pictures, in_process, preload, random_artifact, send_frame

from models.artifact import save_artifact
from schemas.records import VerdictIssued
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.commands.children import Child
from streams.replay.runs import folder_of
from streams.replay.topics import replay_topic
from streams.settings import Settings, to_environment
from streams.topics import VERDICTS

BATCH = 32
PARTITIONS = (1, 2, 12)
LINES = 48  # so that they spread evenly over partitions
SETTLED_S = 15.0  # a replay has loaded its model and is at work


def command(settings: Settings, arguments: Sequence[str], cores: set[int] | None = None) -> subprocess.Popen[bytes]:
    """A `lineside replay` process, held to some cores or to none."""
    with (settings.data_dir / "replay.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "replay", *arguments],
            env=to_environment(settings),
            stdout=log,
            stderr=log,
            preexec_fn=None if cores is None else lambda: os.sched_setaffinity(0, cores),
        )


def begin(settings: Settings, run: Bench, name: str, cores: set[int] | None = None) -> subprocess.Popen[bytes]:
    arguments = ["--model", str(run.model_dir), "--recipe", "model", "--run", name, "--precision", run.precision]
    return command(settings, arguments, cores)


async def appended(settings: Settings, name: str) -> list[datetime]:
    """When each verdict of a run was appended, in order."""
    subscription: Subscription[VerdictIssued] = Subscription(
        replay_topic(name), "earliest", settings=settings, follow=False
    )
    return sorted([event.timestamp async for event in subscription])


def per_second(times: Sequence[datetime]) -> float:
    return (len(times) - 1) / (times[-1] - times[0]).total_seconds()


async def replayed(settings: Settings, run: Bench, frames: int) -> float:
    """Verdicts a second of a run by one worker."""
    name = f"r{uuid.uuid4().hex[:8]}"
    assert await asyncio.to_thread(begin(settings, run, name).wait) == 0
    times = await appended(settings, name)
    assert len(times) == frames, (len(times), frames)
    return per_second(times)


async def rate(settings: Settings, run: Bench, options: argparse.Namespace) -> None:
    at = dataclasses.replace(settings, topic_prefix="rate.")
    await preload(at, run.pictures, options.frames)
    ratios = []
    for pair in range(options.pairs):
        alone = (await in_process(settings, run, BATCH, options.frames)).rate
        again = await replayed(at, run, options.frames)
        ratios.append(again / alone)
        print(f"pair {pair + 1}: in-process {alone:.1f}/s, replay {again:.1f}/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")


async def shared(settings: Settings, run: Bench, workers: int) -> float:
    """Verdicts a second by so many workers of a core each, once all are at work: over the last third of them."""
    name = f"r{uuid.uuid4().hex[:8]}"
    processes = [begin(settings, run, name, {0})]
    while not folder_of(settings, name).exists:
        await asyncio.sleep(0.1)
    processes += [command(settings, ["--join", name], {core}) for core in range(1, workers)]
    for process in processes:
        assert await asyncio.to_thread(process.wait) == 0
    times = await appended(settings, name)
    return per_second(times[2 * len(times) // 3 :])


async def growth(settings: Settings, run: Bench, options: argparse.Namespace) -> None:
    at = {p: dataclasses.replace(settings, topic_prefix=f"p{p}.", partitions=p) for p in PARTITIONS}
    for there in at.values():
        await preload(there, run.pictures, options.frames, LINES)
    for partitions, there in at.items():
        pairs = [(await shared(there, run, 1), await shared(there, run, 2)) for _ in range(options.pairs)]
        print(f"{partitions} partitions: one worker {statistics.median(one for one, _ in pairs):.1f}/s, "
              f"two {statistics.median(two for _, two in pairs):.1f}/s, "
              f"ratio {statistics.median(two / one for one, two in pairs):.2f}", flush=True)  # fmt: skip


async def p99(settings: Settings, run: Bench, per_s: float, seconds: float) -> float:
    """Offers frames at a steady rate; milliseconds from a frame's append to its verdict's, 99th of a hundred."""
    ends, sent = await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name), 0
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        started = time.monotonic()
        while (due := sent / per_s) < seconds:
            await asyncio.sleep(max(0.0, started + due - time.monotonic()))
            await send_frame(publisher, bench_frame(run.pictures[sent % len(run.pictures)], sent))
            sent += 1
    subscription: Subscription[VerdictIssued] = Subscription(VERDICTS, ends, settings=settings)
    latencies: list[float] = []
    async for event in subscription:
        latencies.append((event.timestamp - event.record.source_timestamp).total_seconds() * 1000)
        if len(latencies) >= sent:
            break
    return statistics.quantiles(latencies, n=100)[98]


async def beside(settings: Settings, run: Bench, options: argparse.Namespace) -> None:
    at = dataclasses.replace(settings, topic_prefix="live.")
    await preload(at, run.pictures, options.frames)
    arguments = ["worker", "--model", str(run.model_dir), "--default-recipe", "--precision", run.precision]
    worker = Child(arguments, to_environment(at), at.data_dir / "worker.log", at.data_dir / "worker.ready")
    await worker.start()
    while sum((await end_offsets(at.bootstrap, at.topic_prefix + VERDICTS.name)).values()) < options.frames:
        await asyncio.sleep(1)
    verdicts: Subscription[VerdictIssued] = Subscription(VERDICTS, "earliest", settings=at, follow=False)
    half = per_second(sorted([event.timestamp async for event in verdicts])) / 2
    print(f"capacity {2 * half:.1f}/s; offered {half:.1f}/s", flush=True)
    await p99(at, run, half, 10)
    rises = []
    for pair in range(options.pairs):
        quiet = await p99(at, run, half, options.seconds)
        replay = begin(at, run, f"b{uuid.uuid4().hex[:8]}")
        await asyncio.sleep(SETTLED_S)
        busy = await p99(at, run, half, options.seconds)
        assert replay.poll() is None, "the replay had ended: more --frames"
        replay.terminate()
        replay.wait()
        rises.append(busy / quiet - 1)
        print(f"pair {pair + 1}: p99 {quiet:.0f} ms alone, {busy:.0f} ms beside a replay, {rises[-1]:+.1%}", flush=True)
    print(f"median rise {statistics.median(rises):+.1%}")
    await worker.stop()


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerConfig(Path(folder) / "broker")) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=Path(folder))
        run = Bench(options.precision, Path(folder) / "model", drawn_pictures())
        save_artifact(random_artifact("resnet18"), run.model_dir)
        await {"rate": rate, "growth": growth, "beside": beside}[options.what](settings, run, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "growth", "beside"])
    parser.add_argument("--frames", type=int, default=1500)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    chosen = parser.parse_args()
    chosen.pairs = chosen.pairs or {"rate": 5, "growth": 3, "beside": 5}[chosen.what]
    asyncio.run(main(chosen))
