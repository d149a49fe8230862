"""Forty lines and twelve models on one worker: what changing between models costs, beside one model alone.

    .venv/bin/python infra/benchmarks/many_models.py [--frames 1500] [--lines 40] [--models 12] [--rounds 3] [--json]

ResNet-18s of random weights on 128 x 128 pixels look at drawn parts, through the engine rooms of a worker and without a
broker: one model for all lines; so many models that take turns at the device, the most urgent first; and as many that
don't (each takes the device as it likes). Forms alternate, each figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import hashlib
import json
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from kafka_overhead import random_artifact
from rich.console import Console
from rich.table import Table

from models.artifact import Golden, load_artifact, save_artifact
from models.golden import scores_of
from models.preprocess import EncodedImage, Preprocessing
from models.resnet import Classifier, network_of
from schemas.records import Encoding
from streams.capture.surface import Part
from streams.capture.synthetic import SyntheticOptions, take
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel, Unwatched
from streams.inspection.turns import Turns
from streams.serving import WorkerOptions, serving_model
from streams.settings import Settings

SIDE, PICTURES, IN_HAND = 128, 64, 256


def made(count: int, folder: Path) -> list[ServingModel]:
    """Models of the same architecture and other weights, opened as a worker does."""
    options, largest = WorkerOptions(model_dirs=()), Settings().max_batch
    return [serving_model(load_artifact(directory), options, largest) for directory in saved(count, folder)]


def saved(count: int, folder: Path) -> Iterator[Path]:
    """Directories `m0`, `m1` … of such models, each written when it is asked for."""
    spec = Preprocessing(width=SIDE, height=SIDE)
    for number in range(count):
        artifact = random_artifact("resnet18")
        weights = {
            name: value * (1 + 0.01 * number) if value.ndim > 1 else value for name, value in artifact.weights.items()
        }
        pictures = np.ascontiguousarray(artifact.golden.pictures[:, :SIDE, :SIDE])
        classifier = Classifier(network_of(artifact.arch, 6, weights), spec.mean, spec.std, 1.0).eval()
        golden = Golden(pictures, scores_of(classifier, pictures))
        other = dataclasses.replace(artifact, model_id=f"m{number}", preprocessing=spec, weights=weights, golden=golden)
        save_artifact(other, folder / other.model_id)
        yield folder / other.model_id


async def rate(
    models: list[ServingModel], turns: Turns | None, lines: int, frames: int, images: list[EncodedImage]
) -> float:
    """Frames a second; each line's go to the model of its number."""
    settings, pool = Settings(), DecodePool(os.cpu_count() or 1)
    limits = RoomLimits(settings.max_batch, settings.linger_ms / 1000, 60.0)
    rooms = [EngineRoom(model, pool, limits, Unwatched(), sys.exit, turns) for model in models]
    gate = asyncio.Semaphore(IN_HAND)

    async def one(number: int) -> None:
        async with gate:
            await rooms[number % lines % len(rooms)].score(images[number % len(images)], float("inf"))

    await asyncio.gather(*(one(number) for number in range(IN_HAND)))
    started = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(frames)))
    took_s = time.monotonic() - started
    for room in rooms:
        if turns:
            turns.leave(room)
    pool.close()
    return frames / took_s


async def measured(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    drawn = [take(SyntheticOptions(), Part("flange-40", seed)) for seed in range(PICTURES)]
    images = [EncodedImage(d, Encoding.JPEG, 640, 480, sha256=hashlib.sha256(d).hexdigest()) for d in drawn]
    models = await asyncio.to_thread(made, options.models, folder)
    places = models[0].engine.concurrency
    found: dict[str, list[float]] = {"one model": [], "models in turn": [], "models as they like": []}
    for _ in range(options.rounds):
        forms = ((models[:1], Turns(places)), (models, Turns(places)), (models, None))
        for name, (those, turns) in zip(found, forms, strict=True):
            found[name].append(await rate(those, turns, options.lines, options.frames, images))
    return {name: statistics.median(rates) for name, rates in found.items()}


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1500, help="of each measurement")
    parser.add_argument("--lines", type=int, default=40)
    parser.add_argument("--models", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        found = asyncio.run(measured(options, Path(folder)))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    table = Table(title=f"{options.lines} lines, {options.models} models, {options.frames} frames")
    for name in ("", "frames/s", "of one model"):
        table.add_column(name)
    for name, value in found.items():
        table.add_row(name, f"{value:.0f}", f"{value / found['one model']:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
