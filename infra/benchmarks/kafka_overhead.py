"""What Kafka and Faust cost: verdicts a second through the whole stream over the same work without a broker.

    .venv/bin/python infra/benchmarks/kafka_overhead.py [--frames 8000] [--pairs 3] [--arch resnet18] [--precision bf16]

Both sides decode and classify the same 640x480 JPEGs with the same pool and engine on this machine while the broker
runs. In-process: frames are handed to the engine room at its best batch size (tried first). Streamed: the frames lie
on the topic, a worker process starts, and its rate is taken between the first and the last verdict's append time.
Pairs alternate, so that a machine that changes its speed changes both; the ratio is the median over pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from models.artifact import ModelClass, make_artifact, save_artifact
from models.preprocess import EncodedImage, Preprocessing
from models.resnet import build
from schemas.records import Encoding, FrameCaptured, Precision, VerdictIssued
from streams.app import WorkerOptions, load_models
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.capture.synthetic import SyntheticOptions, take, trigger
from streams.commands.children import Child
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits
from streams.settings import Settings, to_environment
from streams.topics import FRAMES, VERDICTS, station_key, topic_specs

DISTINCT = 64
LINES = 8
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """Frames a second, and CPU seconds by process."""

    rate: float
    cpu_s: dict[str, float]


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class NoWatcher:
    def batch_left(self, size: int, why: str) -> None: ...

    def batch_done(self, size: int, seconds: float) -> None: ...


async def in_process(settings: Settings, model_dir: Path, pictures: Sequence[bytes], frames: int) -> Measured:
    """The same engine room, fed without a broker; the engine is opened anew, as in a worker."""
    options = WorkerOptions([model_dir], precision=Precision[PRECISION])
    (model,) = await asyncio.to_thread(load_models, settings, options)
    pool = DecodePool(settings.decode_threads or os.cpu_count() or 1)
    room = EngineRoom(model, pool, RoomLimits(settings.max_batch, settings.linger_ms / 1000, 60.0), NoWatcher(), sys.exit)
    images = [EncodedImage(p, Encoding.JPEG, 640, 480, sha256=hashlib.sha256(p).hexdigest()) for p in pictures]
    gate = asyncio.Semaphore(8 * settings.max_batch)

    async def one(number: int) -> None:
        async with gate:
            await room.score(images[number % len(images)], float("inf"))

    await asyncio.gather(*(one(i) for i in range(4 * settings.max_batch)))
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.gather(*(one(i) for i in range(frames)))
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    room.close()
    pool.close()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(frames / seconds, {"in-process": used})


async def preload(settings: Settings, pictures: Sequence[bytes], frames: int) -> None:
    await ensure_topics(settings.bootstrap, topic_specs(settings))
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        sent = []
        for number in range(frames):
            image, line = pictures[number % len(pictures)], f"line-{number % LINES}"
            frame = FrameCaptured(
                frame_id=uuid.uuid4(),
                plant="bench",
                line=line,
                station="s",
                camera="c",
                sku="k",
                trigger_seq=number // LINES + 1,
                captured_at=datetime.now(UTC),
                gateway_ms=0,
                encoding=Encoding.JPEG,
                width=640,
                height=480,
                image=image,
                image_sha256=hashlib.sha256(image).hexdigest(),
            )
            sent.append(await publisher.send(FRAMES, frame, key=station_key("bench", line, "s")))
        await asyncio.gather(*sent)


async def streamed(settings: Settings, model_dir: Path, broker_pid: int, frames: int) -> Measured:
    """A worker process over the preloaded topic."""
    arguments = ["worker", "--model", str(model_dir), "--default-recipe", "--precision", PRECISION.lower()]
    worker = Child(
        arguments, to_environment(settings), settings.data_dir / "worker.log", settings.data_dir / "worker.ready"
    )
    times, broker_before = [], cpu_seconds(broker_pid)
    await worker.start()
    assert worker.pid is not None
    cpu_at_start = cpu_seconds(worker.pid)
    subscription: Subscription[VerdictIssued] = Subscription(VERDICTS, "earliest", settings=settings)
    last = 0
    while len(times) < frames:  # count only now and then: a busy reader would take CPU from what is measured
        await asyncio.sleep(2)
        subscription = Subscription(VERDICTS, "earliest", settings=settings, follow=False)
        if (ends := sum((await end_counts(settings)).values())) < frames:
            last = ends
            continue
        times = [event.timestamp async for event in subscription]
    used = {"worker": cpu_seconds(worker.pid) - cpu_at_start, "broker": cpu_seconds(broker_pid) - broker_before}
    await worker.stop()
    assert last < frames
    return Measured((frames - 1) / (max(times) - min(times)).total_seconds(), used)


async def end_counts(settings: Settings) -> dict[int, int]:
    from streams.bus.offsets import end_offsets

    return await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)
