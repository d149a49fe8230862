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
import dataclasses
import hashlib
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

import numpy as np
import torch

from models.artifact import Artifact, Golden, ModelClass, save_artifact
from models.preprocess import EncodedImage, Preprocessing
from models.resnet import Classifier, build_network
from schemas.records import Encoding, FrameCaptured, Precision, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Delivery, Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.capture.synthetic import SyntheticOptions, take, trigger
from streams.commands.children import Child
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, Unwatched
from streams.serving import WorkerOptions, load_artifacts, open_models
from streams.settings import Settings, to_environment
from streams.topics import FRAMES, VERDICTS, station_key, topic_specs

BATCHES = (8, 16, 32)
DISTINCT = 64
LINES = 8
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Measured:
    """Frames a second, and CPU seconds by process."""

    rate: float
    cpu_s: dict[str, float]

    @property
    def cpu_text(self) -> str:
        return "(CPU " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.cpu_s.items()) + ")"


@dataclass(frozen=True, slots=True)
class Bench:
    """What is measured."""

    precision: str
    model_dir: Path
    pictures: Sequence[bytes]

    @property
    def options(self) -> WorkerOptions:
        return WorkerOptions([self.model_dir], precision=Precision[self.precision.upper()])


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def random_artifact(arch: str) -> Artifact:
    """A model of random weights at 224 x 224: speed does not depend on what it has learnt."""
    torch.manual_seed(0)
    spec = Preprocessing()
    network = build_network(arch, 6)
    classifier = Classifier(network, spec.mean, spec.std, 1.0).eval()
    pictures = np.random.default_rng(0).integers(0, 256, (8, spec.height, spec.width, 3), dtype=np.uint8)
    with torch.inference_mode():
        scores = classifier(torch.from_numpy(pictures)).numpy()
    return Artifact(
        model_id=f"random-{arch}",
        arch=arch,
        classes=tuple(ModelClass(f"c{i}", "defect" if i else "good", 0.9 if i else None) for i in range(6)),
        preprocessing=spec,
        unsure_band=0.0,
        tolerance={Precision.FP32: 0.01, Precision.BF16: 0.2},
        weights={name: value.detach().clone() for name, value in network.state_dict().items()},
        golden=Golden(pictures, scores),
        created_at=datetime.now(UTC),
    )


async def in_process(settings: Settings, run: Bench, max_batch: int, frames: int) -> Measured:
    """The same engine room, fed without a broker; the engine is opened anew, as in a worker."""
    settings = dataclasses.replace(settings, max_batch=max_batch)
    (model,) = await asyncio.to_thread(open_models, settings, run.options, load_artifacts(run.options))
    pool = DecodePool(settings.decode_threads or os.cpu_count() or 1)
    limits = RoomLimits(max_batch, settings.linger_ms / 1000, 60.0)
    room = EngineRoom(model, pool, limits, Unwatched(), sys.exit)
    images = [EncodedImage(p, Encoding.JPEG, 640, 480, sha256=hashlib.sha256(p).hexdigest()) for p in run.pictures]
    gate = asyncio.Semaphore(8 * max_batch)

    async def one(number: int) -> None:
        async with gate:
            await room.score(images[number % len(images)], float("inf"))

    await asyncio.gather(*(one(i) for i in range(2 * max_batch)))
    before, started = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    await asyncio.gather(*(one(i) for i in range(frames)))
    seconds, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_SELF)
    room.close()
    pool.close()
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Measured(frames / seconds, {"in-process": used})


def bench_frame(image: bytes, number: int, lines: int = LINES) -> FrameCaptured:
    """A frame of one of so many lines, in turn."""
    return FrameCaptured(
        frame_id=uuid.uuid4(),
        plant="bench",
        line=f"line-{number % lines}",
        station="s",
        camera="c",
        sku="k",
        trigger_seq=number // lines + 1,
        captured_at=datetime.now(UTC),
        gateway_ms=0,
        encoding=Encoding.JPEG,
        width=640,
        height=480,
        image=image,
        image_sha256=hashlib.sha256(image).hexdigest(),
    )


async def send_frame(publisher: Publisher, frame: FrameCaptured) -> asyncio.Future[Delivery]:
    return await publisher.send(FRAMES, frame, key=station_key(frame.plant, frame.line, frame.station))


async def preload(settings: Settings, pictures: Sequence[bytes], frames: int, lines: int = LINES) -> None:
    await ensure_topics(settings.bootstrap, topic_specs(settings))
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        made = (bench_frame(pictures[number % len(pictures)], number, lines) for number in range(frames))
        await asyncio.gather(*[await send_frame(publisher, frame) for frame in made])


async def streamed(settings: Settings, run: Bench, broker_pid: int, frames: int) -> Measured:
    """A worker process over the preloaded topic; its verdicts are read only when all are there."""
    arguments = ["worker", "--model", str(run.model_dir), "--default-recipe", "--precision", run.precision]
    logs = settings.data_dir
    worker = Child(arguments, to_environment(settings), logs / "worker.log", logs / "worker.ready")
    await worker.start()
    assert worker.pid is not None
    before = {"worker": cpu_seconds(worker.pid), "broker": cpu_seconds(broker_pid)}
    while sum((await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)).values()) < frames:
        await asyncio.sleep(1)
    used = {"worker": cpu_seconds(worker.pid) - before["worker"], "broker": cpu_seconds(broker_pid) - before["broker"]}
    await worker.stop()
    subscription: Subscription[VerdictIssued] = Subscription(VERDICTS, "earliest", settings=settings, follow=False)
    times = sorted([event.timestamp async for event in subscription])
    return Measured((frames - 1) / (times[-1] - times[0]).total_seconds(), used)


async def main(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, EmbeddedBroker(BrokerConfig(Path(folder) / "broker")) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=Path(folder))
        run = Bench(options.precision, Path(folder) / "model", drawn_pictures())
        save_artifact(random_artifact(options.arch), run.model_dir)
        tried = {size: (await in_process(settings, run, size, options.frames // 8)).rate for size in BATCHES}
        best = max(tried, key=lambda size: tried[size])
        print(f"in-process by batch size: { {size: round(rate) for size, rate in tried.items()} }, best {best}")
        ratios = []
        for pair in range(options.pairs):
            at = dataclasses.replace(settings, topic_prefix=f"pair{pair}.")
            await preload(at, run.pictures, options.frames)
            alone = await in_process(settings, run, best, options.frames)
            through = await streamed(at, run, broker.pid, options.frames)
            ratios.append(through.rate / alone.rate)
            print(
                f"pair {pair + 1}: in-process {alone.rate:.1f}/s {alone.cpu_text}, "
                f"through Kafka and Faust {through.rate:.1f}/s {through.cpu_text}, ratio {ratios[-1]:.3f}",
                flush=True,
            )
        print(f"median ratio {statistics.median(ratios):.3f} over {len(ratios)} pairs of {options.frames} frames")


def drawn_pictures() -> list[bytes]:
    drawn = SyntheticOptions(frames=DISTINCT)
    return [take(drawn, trigger(drawn, number).part) for number in range(DISTINCT)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=8000)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--arch", default="resnet18")
    parser.add_argument("--precision", default="bf16")
    asyncio.run(main(parser.parse_args()))
