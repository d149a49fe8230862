"""Images a second that each engine computes, by device, precision and batch, with its lanes kept busy.

    .venv/bin/python infra/benchmarks/engines.py [--arch resnet18] [--device torch:cuda] [--batch 32] [--seconds 3]

Random weights on random pictures of 224 x 224: a speed does not depend on them. Each engine has given the golden scores
before it is timed, by `open_engine`. Pictures go in as uint8 from ordinary memory and scores come back to it, as in
inspection; decoding is not in it. Devices and precisions that are not to be had here are said and left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product

import numpy as np

from models.engines import DEVICES, open_engine
from models.errors import ModelError
from models.speed import speeds
from models.untrained import TOLERANCE, untrained

SIDE = 224


def rows(options: argparse.Namespace) -> Iterator[str]:
    for arch in options.arch:
        artifact = untrained(arch, SIDE, SIDE)
        for device, precision, batch in product(options.device, TOLERANCE, options.batch):
            what = f"{arch:<10}{device:<14}{precision:<6}{batch:>6}"
            try:
                engine = open_engine(artifact, device, precision, buckets=(batch,))
            except ModelError as error:
                yield f"{what}  {error}"
                continue
            pictures = np.random.default_rng(1).integers(0, 256, (batch, SIDE, SIDE, 3), dtype=np.uint8)
            (speed,) = speeds([engine], pictures, options.seconds, 1)
            engine.close()
            yield f"{what}{speed.images_per_s:>10.0f}/s{speed.batch_ms:>10.2f} ms a batch alone"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", nargs="+", default=["resnet18", "resnet50"])
    parser.add_argument("--device", nargs="+", default=DEVICES[1:], choices=DEVICES[1:])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8, 32, 64])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each row")
    print(f"{'model':<10}{'device':<14}{'':<6}{'batch':>6}{'images':>10}")
    for row in rows(parser.parse_args()):
        print(row, flush=True)
