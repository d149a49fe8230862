"""What a replay costs and disturbs: its rate over the same work in-process, by workers, and a live line beside it.

    .venv/bin/python infra/benchmarks/replay.py rate [--frames 4000] [--pairs 3]
    .venv/bin/python infra/benchmarks/replay.py beside [--seconds 40] [--pairs 5]

`rate`: the same 640x480 JPEGs decoded and classified (ResNet-18, random weights) by the engine room alone, and as a
replay from the topic, in pairs; then with two workers and fewer partitions. `beside`: a worker takes frames at half
of its measured capacity; latency from append to verdict with and without a replay beside it, in interleaved pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

from kafka_overhead import BATCHES, Bench, drawn_pictures, in_process, preload, random_artifact

from models.artifact import save_artifact
from schemas.records import FrameCaptured, VerdictIssued
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.commands.children import Child
from streams.replay.topics import replay_topic
from streams.settings import Settings, to_environment
from streams.topics import FRAMES, VERDICTS, station_key


async def replayed(settings: Settings, run: Bench, frames: int, workers: int = 1) -> float:
    """Verdicts a second between the first and the last of a run's topic; the processes are those of the command."""
    name = f"r{uuid.uuid4().hex[:8]}"
    process = await asyncio.to_thread(replay_process, settings, run, name, workers)
    assert await asyncio.to_thread(process.wait) == 0
    subscription: Subscription[VerdictIssued] = Subscription(
        replay_topic(name), "earliest", settings=settings, follow=False
    )
    times = sorted([event.timestamp async for event in subscription])
    assert len(times) == frames, (len(times), frames)
    return (frames - 1) / (times[-1] - times[0]).total_seconds()


def replay_process(settings: Settings, run: Bench, name: str, workers: int = 1) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "streams.cli", "replay", "--model", str(run.model_dir), "--recipe", "model"]
    command += ["--run", name, "--workers", str(workers), "--precision", run.precision]
    with (settings.data_dir / "replay.log").open("ab") as log:
        return subprocess.Popen(command, env=to_environment(settings), stdout=log, stderr=log)


async def rate(settings: Settings, run: Bench, options: argparse.Namespace) -> None:
    tried = {size: (await in_process(settings, run, size, options.frames // 8)).rate for size in BATCHES}
    best = max(tried, key=lambda size: tried[size])
    print(f"in-process by batch size: { {size: round(rate) for size, rate in tried.items()} }")
    at = dataclasses.replace(settings, topic_prefix="rate.")
    await preload(at, run.pictures, options.frames)
    ratios = []
    for pair in range(options.pairs):
        alone = (await in_process(settings, run, best, options.frames)).rate
        again = await replayed(at, run, options.frames)
        ratios.append(again / alone)
        print(f"pair {pair + 1}: in-process {alone:.1f}/s, replay {again:.1f}/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}")
    for workers in (2,):
        print(f"{workers} workers, 12 partitions: {await replayed(at, run, options.frames, workers):.1f}/s", flush=True)
    for partitions in (1, 3, 12):
        at = dataclasses.replace(settings, topic_prefix=f"p{partitions}.", partitions=partitions)
        await preload(at, run.pictures, options.frames // 2)
        print(f"{partitions} partitions: {await replayed(at, run, options.frames // 2):.1f}/s", flush=True)


async def offered(settings: Settings, run: Bench, per_s: float, seconds: float) -> tuple[int, int]:
    """Sends frames at a steady rate; the number of the first one and how many were sent."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        started, sent = time.monotonic(), 0
        while (due := sent / per_s) < seconds:
            await asyncio.sleep(max(0.0, started + due - time.monotonic()))
            image, line = run.pictures[sent % len(run.pictures)], f"line-{sent % 8}"
            frame = FrameCaptured(
                frame_id=uuid.uuid4(), plant="bench", line=line, station="s", camera="c", sku="k", trigger_seq=sent,
                captured_at=_now(), gateway_ms=0, encoding="JPEG", width=640, height=480, image=image,
                image_sha256=None,
            )  # type: ignore[arg-type]  # fmt: skip
            await publisher.send(FRAMES, frame, key=station_key("bench", line, "s"))
            sent += 1
    return 0, sent


def _now() -> object:
    from datetime import UTC, datetime

    return datetime.now(UTC)


async def p99(settings: Settings, run: Bench, per_s: float, seconds: float) -> float:
    """Milliseconds from a frame's append to its verdict's, 99th of a hundred."""
    ends = await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)
    _, sent = await offered(settings, run, per_s, seconds)
    subscription: Subscription[VerdictIssued] = Subscription(VERDICTS, ends, settings=settings)
    latencies: list[float] = []
    async for event in subscription:
        latencies.append((event.timestamp - event.record.source_timestamp).total_seconds() * 1000)
        if len(latencies) >= sent:
            break
    return statistics.quantiles(latencies, n=100)[98]


async def beside(settings: Settings, run: Bench, options: argparse.Namespace) -> None:
    at = dataclasses.replace(settings, topic_prefix="live.")
    past = dataclasses.replace(settings, topic_prefix="live.")
    capacity = (await in_process(settings, run, 32, 400)).rate * 0.9
    await preload(at, run.pictures, 2_000)
    arguments = ["worker", "--model", str(run.model_dir), "--default-recipe", "--precision", run.precision]
    folder = settings.data_dir
    worker = Child(arguments, to_environment(at), folder / "worker.log", folder / "worker.ready")
    await worker.start()
    while sum((await end_offsets(at.bootstrap, at.topic_prefix + VERDICTS.name)).values()) < 2_000:
        await asyncio.sleep(1)
    print(f"capacity about {capacity:.0f}/s; offered {capacity / 2:.0f}/s", flush=True)
    await p99(at, run, capacity / 2, 10)
    rises = []
    for pair in range(options.pairs):
        quiet = await p99(at, run, capacity / 2, options.seconds)
        process = replay_process(past, run, f"b{uuid.uuid4().hex[:8]}")
        await asyncio.sleep(15)  # it has loaded its model and is at work
        running = process.poll() is None
        busy = await p99(at, run, capacity / 2, options.seconds)
        running = running and process.poll() is None
        process.terminate()
        process.wait()
        rises.append(busy / quiet - 1)
        print(f"pair {pair + 1}: p99 {quiet:.0f} ms alone, {busy:.0f} ms beside a replay, {rises[-1]:+.1%}"
              f"{'' if running else ' (the replay had ended)'}", flush=True)  # fmt: skip
    print(f"median rise {statistics.median(rises):+.1%}")
    await worker.stop()


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerConfig(Path(folder) / "broker")) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=Path(folder))
        run = Bench(options.precision, Path(folder) / "model", drawn_pictures())
        save_artifact(random_artifact("resnet18"), run.model_dir)
        await (rate if options.what == "rate" else beside)(settings, run, options)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rate", "beside"])
    parser.add_argument("--frames", type=int, default=4000)
    parser.add_argument("--seconds", type=float, default=40)
    parser.add_argument("--pairs", type=int, default=0)
    parser.add_argument("--precision", default="fp32")
    chosen = parser.parse_args()
    chosen.pairs = chosen.pairs or {"rate": 3, "beside": 5}[chosen.what]
    asyncio.run(main(chosen))
