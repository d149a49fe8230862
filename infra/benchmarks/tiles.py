"""What tiles find and cost: scratches 0.3 % of the width wide on parts of 5 megapixels.

    .venv/bin/python infra/benchmarks/tiles.py [--parts 400] [--minutes 8] [--json]

Draws good and scratched parts of 2560 x 1920 pixels (synthetic, seeded), marks the scratches, trains one model that
looks at tiles and one that looks at the whole picture for as many minutes each, and scores half as many parts that
neither has seen: escape and overkill at the models' own thresholds, AUROC, and the cost of a frame on this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import simplejpeg
from rich.progress import track

from models.artifact import Artifact
from models.dataset import Example, load
from models.dataset_rows import Box
from models.engines import open_engine
from models.evaluate import any_defect, evaluate
from models.fit import FitSpec
from models.measures import ranking
from models.preprocess import EncodedImage, Preprocessing, load_views
from models.scoring import scores_by
from models.train import TrainSpec, train
from schemas.records import Encoding
from streams.capture.surface import Part, draw

WIDTH, HEIGHT, SKU = 2560, 1920, "plate-12"
SEVERITY = 0.24  # a scratch of 1.93 pixels at 640, which is 0.3 % of the width
SEED = 9_000_000
TILE, INPUT = 640, 160
SPLITS = ("train", "train", "train", "validation")


def examples(parts: int, seed: int, split: str | None = None) -> Iterator[Example]:
    """Good and scratched parts in turn; a scratch's box is where the part differs from the same one without it."""
    for number in range(parts):
        good = Part(SKU, seed + number)
        pixels, boxes = draw(good, WIDTH, HEIGHT), ()
        if number % 2:
            bad = draw(replace(good, defect="scratch", severity=SEVERITY), WIDTH, HEIGHT)
            boxes = marked("scratch", pixels, bad)
            pixels = bad
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=92, colorspace="RGB")
        label, its = ("scratch" if number % 2 else "good"), split or SPLITS[number // 2 % 4]
        yield Example(EncodedImage(data, Encoding.JPEG), label, f"{seed + number}", its, boxes=boxes)


def marked(label: str, before: np.ndarray, after: np.ndarray) -> tuple[Box, ...]:
    """The box of what differs by more than grain between a part without and with its defect; none for nothing."""
    rows, columns = np.nonzero(np.abs(before.astype(np.int16) - after).max(axis=2) > 3)
    if not rows.size:
        return ()
    x, y = int(columns.min()), int(rows.min())
    return (Box(label, 1, x, y, int(columns.max()) - x + 1, int(rows.max()) - y + 1),)


def measured(artifact: Artifact, held_out: list[Example], seconds: float = 5.0) -> dict[str, object]:
    """Figures on parts that the model has not seen, and milliseconds a frame."""
    engine = open_engine(artifact)
    try:
        names = [item.name for item in artifact.classes]
        pictures = load(held_out, names, artifact.preprocessing, lambda: None)
        scores = scores_by(engine, pictures, artifact.defects)
        decided = evaluate(scores, pictures.labels, artifact.classes, artifact.any_defect_threshold)
        seen = load_views(held_out[0].image, artifact.preprocessing)
        decode_ms = _ms(lambda: load_views(held_out[0].image, artifact.preprocessing), seconds)
        infer_ms = _ms(
            lambda: [engine.submit(seen.pixels[i : i + 32]).result() for i in range(0, len(seen.pixels), 32)], seconds
        )
    finally:
        engine.close()
    return {
        "views": len(seen.views),
        "escape": decided.escape.to_json(),
        "overkill": decided.overkill.to_json(),
        "auroc": ranking(any_defect(scores, artifact.classes), pictures.labels != 0).auroc.value,
        "decode_ms": round(decode_ms, 1),
        "infer_ms": round(infer_ms, 1),
        "engine": f"{engine.device} {engine.precision}",
    }


def _ms(work: object, seconds: float) -> float:
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        work()  # type: ignore[operator]
        count += 1
    return 1000 * (time.perf_counter() - started) / count


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, default=400, help="to train on; half as many are held out")
    parser.add_argument("--minutes", type=float, default=8, help="of training, each")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    known = list(track(examples(options.parts, SEED), "drawing", options.parts, disable=not sys.stderr.isatty()))
    held_out = list(examples(options.parts // 2, SEED + 1_000_000, "test"))
    found = {}
    for name, views in (
        ("tiles", Preprocessing(width=INPUT, height=INPUT, tile=TILE)),
        ("whole", Preprocessing(width=224, height=168)),
    ):
        fit = FitSpec(practice=1_280, epochs=40, budget_s=60 * options.minutes, balance="oversample")
        spec = TrainSpec(model_id=f"scratch-{name}", preprocessing=views, fit=fit)
        artifact = train([*known, *held_out], spec)
        found[name] = measured(artifact, held_out) | {"fit_s": artifact.metrics["fit_s"]}
        print(name, json.dumps(found[name]), file=sys.stderr, flush=True)
    print(json.dumps(found, indent=2) if options.json else _table(found))


def _table(found: dict[str, dict[str, object]]) -> str:
    lines = [f"{'':8}{'views':>6}{'escape':>10}{'overkill':>10}{'AUROC':>8}{'decode ms':>11}{'infer ms':>10}"]
    for name, row in found.items():
        escape, overkill = (f"{row[key]['value']:.1%}" for key in ("escape", "overkill"))  # type: ignore[index]
        lines.append(
            f"{name:8}{row['views']:>6}{escape:>10}{overkill:>10}{row['auroc']:>8.3f}{row['decode_ms']:>11}{row['infer_ms']:>10}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
