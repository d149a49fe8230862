"""Images a second that each engine computes, by device, precision and batch, with its lanes kept busy.

    .venv/bin/python infra/benchmarks/engines.py [--arch resnet18] [--device torch:cuda] [--batch 32] [--seconds 3]

Random weights on random pictures of 224 x 224: a speed does not depend on them. Each engine has given the golden scores
before it is timed, by `open_engine`. Pictures go in as uint8 from ordinary memory and scores come back to it, as in
inspection; decoding is not in it. Devices and precisions that are not to be had here are said and left out.
"""

from __future__ import annotations

import argparse
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import product

import numpy as np
import torch

from models.artifact import Artifact, Golden, ModelClass
from models.engines import DEVICES, Engine, open_engine
from models.errors import ModelError
from models.preprocess import Preprocessing
from models.resnet import Classifier, build_network
from schemas.records import Precision

SIDE, CLASSES = 224, ("good", "scratch", "dent")
TOLERANCE = {Precision.FP32: 1e-3, Precision.BF16: 0.1, Precision.FP16: 0.05}
IN_FLIGHT = 2  # batches a lane: one computes, one waits


def artifact_of(arch: str) -> Artifact:
    """Random weights with BatchNorm's statistics fitted, so that half precision does not overflow."""
    torch.manual_seed(0)
    network, spec = build_network(arch, len(CLASSES)), Preprocessing(width=SIDE, height=SIDE)
    pictures = np.random.default_rng(0).integers(0, 256, (16, SIDE, SIDE, 3), dtype=np.uint8)
    classifier = Classifier(network, spec.mean, spec.std, 1.0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.inference_mode():
        classifier.train()(torch.from_numpy(pictures))
        scores = classifier.eval()(torch.from_numpy(pictures[:8])).numpy()
    return Artifact(
        model_id=arch,
        arch=arch,
        classes=tuple(
            ModelClass(name, "defect" if n else "good", 0.5 if n else None) for n, name in enumerate(CLASSES)
        ),
        preprocessing=spec,
        unsure_band=0.1,
        tolerance=TOLERANCE,
        weights={name: value.detach().clone() for name, value in network.state_dict().items()},
        golden=Golden(pictures[:8], scores),
        created_at=datetime.now(UTC),
    )


def images_a_second(engine: Engine, batch: int, seconds: float) -> tuple[float, float]:
    """Sustained, and the median time of a batch alone in milliseconds."""
    pictures = np.random.default_rng(1).integers(0, 256, (batch, SIDE, SIDE, 3), dtype=np.uint8)
    alone = [_timed_ms(engine, pictures) for _ in range(10)]
    waiting = deque(engine.submit(pictures) for _ in range(engine.concurrency * IN_FLIGHT))
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        waiting.popleft().result()
        done += batch
        waiting.append(engine.submit(pictures))
    rate = done / (time.perf_counter() - started)
    for future in waiting:
        future.result()
    return rate, float(np.median(alone[3:]))


def _timed_ms(engine: Engine, pictures: np.ndarray) -> float:
    started = time.perf_counter()
    engine.submit(pictures).result()
    return (time.perf_counter() - started) * 1000


def rows(options: argparse.Namespace) -> Iterator[str]:
    for arch in options.arch:
        artifact = artifact_of(arch)
        for device, precision, batch in product(options.device, TOLERANCE, options.batch):
            what = f"{arch:<10}{device:<14}{precision:<6}{batch:>6}"
            try:
                engine = open_engine(artifact, device, precision, buckets=(batch,))
            except ModelError as error:
                yield f"{what}  {error}"
                continue
            rate, alone_ms = images_a_second(engine, batch, options.seconds)
            engine.close()
            yield f"{what}{rate:>10.0f}/s{alone_ms:>10.2f} ms a batch alone"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--device", nargs="+", default=DEVICES[1:], choices=DEVICES[1:])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row")
    print(f"{'model':<10}{'device':<14}{'':<6}{'batch':>6}{'images':>10}")
    for row in rows(parser.parse_args()):
        print(row, flush=True)
