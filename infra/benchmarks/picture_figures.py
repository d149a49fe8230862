"""What it costs a worker to measure how each picture was taken: beside decoding, and of all that a frame takes.

    .venv/bin/python infra/benchmarks/picture_figures.py [--frames 400] [--rounds 9] [--json]

Processor time, so that what else runs on the machine has little say: of the figures and of decoding and preparing the
same picture; and of a frame that goes through a worker's decode pool and engine room (ResNet-18 of random weights at
128 x 128, 640 x 480 JPEGs), with the figures and without them in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from many_models import IN_HAND, made, rate

from models import preprocess
from models.figures import figures_of
from models.preprocess import EncodedImage, Preprocessing, load_views
from schemas.records import Encoding
from streams.capture.surface import Part, draw
from streams.capture.synthetic import SyntheticOptions, take
from streams.inspection.turns import Turns

PICTURES = 64


def beside_decoding() -> list[dict[str, float]]:
    """Microseconds, in turn, of a small picture and of a large one."""
    torch.set_num_threads(1)
    found, spec, small = [], Preprocessing(), draw(Part("flange-40", 1))
    for pixels in (small, np.kron(small, np.ones((4, 4, 1), np.uint8))):
        height, width, _ = pixels.shape
        options = replace(SyntheticOptions(), width=width, height=height)
        image = EncodedImage(take(options, Part("flange-40", 1)), Encoding.JPEG)
        took: dict[str, list[float]] = {"figures_us": [], "with_decoding_us": []}
        for _ in range(100):
            for name, call in zip(took, (partial(figures_of, pixels), partial(load_views, image, spec)), strict=True):
                began = time.thread_time()
                call()
                took[name].append((time.thread_time() - began) * 1e6)
        medians = {name: statistics.median(times) for name, times in took.items()}
        found.append({"megapixels": width * height / 1e6} | medians)
    return found


def of_a_frame(frames: int, rounds: int) -> dict[str, float]:
    """Milliseconds of processor time a frame, all threads together, and how they compare."""
    with TemporaryDirectory() as folder:
        models = made(1, Path(folder))
        drawn = [take(SyntheticOptions(), Part("flange-40", seed)) for seed in range(PICTURES)]
        images = [EncodedImage(data, Encoding.JPEG, 640, 480) for data in drawn]
        nothing = figures_of(draw(Part("flange-40", 1)))
        found: dict[str, list[float]] = {"with_ms": [], "without_ms": []}
        for _ in range(rounds):
            for name, call in zip(found, (figures_of, lambda _: nothing), strict=True):
                preprocess.figures_of = call
                turns, began = Turns(models[0].engine.concurrency), time.process_time()
                asyncio.run(rate(models, turns, 1, frames, images))
                found[name].append((time.process_time() - began) / (frames + IN_HAND) * 1000)
        preprocess.figures_of = figures_of
    ratios = [without / beside for beside, without in zip(*found.values(), strict=True)]
    medians = {name: statistics.median(times) for name, times in found.items()}
    return medians | {"throughput_ratio": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=400, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {"beside_decoding": beside_decoding(), "frame": of_a_frame(options.frames, options.rounds)}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for one in found["beside_decoding"]:
        took = f"figures {one['figures_us']:.0f} us of {one['with_decoding_us']:.0f} us with decoding and preparing"
        print(f"{one['megapixels']:.1f} MP: {took}")
    frame = found["frame"]
    ratio = f"{frame['throughput_ratio']:.3f} ({frame['least']:.3f} to {frame['most']:.3f} by round)"
    print(f"a frame: {frame['with_ms']:.3f} ms with, {frame['without_ms']:.3f} ms without: ratio {ratio}")


if __name__ == "__main__":
    main()
