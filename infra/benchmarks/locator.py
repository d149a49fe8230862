"""What a locator finds and costs: five kinds of defects on synthetic parts, whose masks are known exactly.

    .venv/bin/python infra/benchmarks/locator.py [--parts 600] [--minutes 20] [--body-minutes 0] [--json]

Draws parts of 640 x 480 pixels (synthetic, seeded), a sixth of them good; a defect's mask is where the part differs
from the same one without it. Trains a Mask R-CNN with the body of a ResNet-18 on inputs of 320 x 240 for so many
minutes, from nothing, from the weights of --start, or from a classifier that --body-minutes train on the same parts
first; then looks at a third as many parts that it has not seen.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import simplejpeg
from rich.progress import Progress, track
from scipy.ndimage import binary_closing

from models.dataset import Example
from models.dataset_rows import Box
from models.fit import FitSpec
from models.locating.artifact import LocatorArtifact
from models.locating.fit import LocatorFitSpec
from models.locating.measures import Located, measured
from models.locating.outlines import outlines_of
from models.locating.start import Start, of_classifier, read_start
from models.locating.train import LocatorProgress, LocatorSpec, looked_at, train_locator
from models.locator import Locator
from models.preprocess import EncodedImage, Preprocessing
from models.train import TrainSpec, train
from schemas.records import Encoding
from streams.capture.surface import DEFECTS, GOOD, Part, draw

WIDTH, HEIGHT, SKU = 640, 480, "plate-12"
SIDES = (240, 320)
SEED = 7_000_000
VISIBLE = 3  # grey levels by which a defect's pixels differ at least
SEVERITY = (0.4, 1.0)
KINDS = (*DEFECTS, GOOD)
SPLITS = ("train",) * 7 + ("validation",)


def examples(parts: int, seed: int, split: str | None = None) -> Iterator[Example]:
    """Parts with each defect in turn and good ones, a sixth each; the good twin tells a defect's mask."""
    for number in range(parts):
        kind, rng = KINDS[number % len(KINDS)], np.random.default_rng(seed + number)
        good = Part(SKU, seed + number)
        pixels, boxes = draw(good, WIDTH, HEIGHT), ()
        if kind != GOOD:
            bad = draw(replace(good, defect=kind, severity=float(rng.uniform(*SEVERITY))), WIDTH, HEIGHT)
            pixels, boxes = bad, marked(kind, pixels, bad)
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=92, colorspace="RGB")
        its = split or SPLITS[number // len(KINDS) % len(SPLITS)]
        label = kind if boxes else GOOD  # a defect may lie wholly where nothing shows it
        yield Example(EncodedImage(data, Encoding.JPEG), label, f"{seed + number}", its, boxes=boxes)


def marked(label: str, before: np.ndarray, after: np.ndarray) -> tuple[Box, ...]:
    """The box and the outlines of what differs by more than grain; none for nothing."""
    mask = np.abs(before.astype(np.int16) - after).max(axis=2) > VISIBLE
    mask = binary_closing(np.pad(mask, 3), iterations=2)[3:-3, 3:-3]
    rows, columns = np.nonzero(mask)
    if not rows.size:
        return ()
    x, y = int(columns.min()), int(rows.min())
    width, height = int(columns.max()) - x + 1, int(rows.max()) - y + 1
    return (Box(label, 1, x, y, width, height, outlines_of(mask)),)


def classifier(known: list[Example], minutes: float) -> Start:
    """The body of a classifier that has seen the same parts for so many minutes, made-up marks first."""
    fit = FitSpec(practice=2_560, epochs=40, budget_s=60 * minutes, balance="oversample")
    spec = TrainSpec(model_id="body", preprocessing=Preprocessing(width=SIDES[1], height=SIDES[0]), fit=fit)
    tested = [replace(example, split="test", part_id=f"test {example.part_id}") for example in known[: 4 * len(KINDS)]]
    return of_classifier(train([*known, *tested], spec))


def trained(known: list[Example], minutes: float, epochs: int, start: Start | None) -> LocatorArtifact:
    fit = LocatorFitSpec(epochs=epochs, budget_s=60 * minutes)
    spec = LocatorSpec(model_id="synthetic-locator", arch="maskrcnn_resnet18_fpn", sides=SIDES, fit=fit)
    with Progress(disable=not sys.stderr.isatty()) as bars:
        tasks = {}

        def show(progress: LocatorProgress) -> None:
            if progress.stage not in tasks:
                tasks[progress.stage] = bars.add_task(progress.stage)
            bars.update(tasks[progress.stage], completed=progress.done, total=progress.total)

        return train_locator(known, spec, show, start=start)


def figures(artifact: LocatorArtifact, found: Located, seconds: float) -> dict[str, object]:
    return {
        "held_out": found.to_json(),
        "min_score": artifact.min_score,
        "steps": artifact.metrics["steps"],
        "pictures_shown": artifact.metrics["pictures_shown"],
        "fit_s": artifact.metrics["fit_s"],
        "pictures_a_second": round(artifact.metrics["pictures_shown"] / max(1e-9, artifact.metrics["fit_s"]), 2),
        "loss_by_epoch": artifact.metrics["loss_by_epoch"],
        "seconds": round(seconds, 1),
    }


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=600, help="to train on; a third as many are held out")
    parser.add_argument("--minutes", type=float, default=20, help="of training")
    parser.add_argument("--epochs", type=int, default=100, help="at most")
    parser.add_argument("--start", type=Path, help="weights, as `lineside locator train --start` takes them")
    parser.add_argument("--body-minutes", type=float, default=0, help="of a classifier's training, as a start")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    began = time.monotonic()
    known = list(track(examples(options.parts, SEED), "drawing", options.parts, disable=not sys.stderr.isatty()))
    start = read_start(options.start) if options.start else None
    if options.body_minutes:
        start = classifier(known, options.body_minutes)
    artifact = trained(known, options.minutes, options.epochs, start)
    locator = Locator(artifact)
    held_out = list(examples(options.parts // 3, SEED + 1_000_000, "test"))
    found = measured([looked_at(locator, example) for example in track(held_out, disable=not sys.stderr.isatty())])
    told = figures(artifact, found, time.monotonic() - began)
    print(json.dumps(told, indent=2) if options.json else _table(told, found))


def _table(told: dict[str, object], found: Located) -> str:
    rows = [(f"marks found, overlap {overlap}", str(its)) for overlap, its in found.found.items()]
    rows += [
        ("places that cover a mark", str(found.rightly)),
        ("good parts with places", str(found.good_with_places)),
        ("places a good part", str(found.places_a_good_picture.value)),
        ("overlap of masks, median", f"{found.mask_overlap.value} of {found.masks}"),
        ("ms a picture, median", str(found.ms.value)),
    ]
    rows += [(name.replace("_", " "), str(told[name])) for name in ("steps", "fit_s", "pictures_a_second", "min_score")]
    return "\n".join(f"{name:28}{value}" for name, value in rows)


if __name__ == "__main__":
    main()
