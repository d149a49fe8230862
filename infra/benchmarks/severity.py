"""How faint a defect may be: detection by severity on synthetic surfaces that the model has not seen.

    .venv/bin/python infra/benchmarks/severity.py [--minutes 10] [--parts 4000] [--held-out 2000] [--seed 0] [--json]

Trains a ResNet-18 that looks at tiles, from scratch or from another one (`--start`), on drawn parts with marked defects
of severity 0.15 to 1, chooses the threshold that rejects at most `--overkill` of good validation parts, and judges
parts of seeds that were never drawn before, half of them with a defect of any severity. Severity 0 lies in the
texture's own noise, 1 is plain to see.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.progress import track
from tiles import marked

from models.artifact import Artifact, load_artifact, save_artifact
from models.calibrate import OverkillRule
from models.dataset import Example, Split, load
from models.engines import open_engine
from models.evaluate import rate, rejected
from models.fit import FitSpec
from models.preprocess import EncodedImage, Preprocessing
from models.recalibrate import Plan, recalibrate
from models.scoring import scores_by
from models.train import Progress, TrainSpec, train
from schemas.records import Encoding
from streams.capture.surface import DEFECTS, Part, draw
from streams.capture.synthetic import SyntheticOptions, take

SKUS = ("flange-40", "plate-12", "bracket-7")
TRAINED, HELD_OUT = 20_000_000, 30_000_000  # far from each other and from every camera's seeds
BINS = 10
OTHERS: dict[int, Split] = dict.fromkeys(range(31, 39), "validation") | {39: "test"}  # of each forty pairs of parts
LOOK = SyntheticOptions()


def part(number: int, first: int, faintest: float) -> Part:
    """Good and bad in turn; kind, SKU and severity by the number alone."""
    rng = np.random.default_rng([first, number])
    sku = SKUS[int(rng.integers(len(SKUS)))]
    defect = DEFECTS[int(rng.integers(len(DEFECTS)))] if number % 2 else None
    return Part(sku, first + number, 1, defect, round(float(rng.uniform(faintest, 1)), 4))


def examples(parts: Sequence[Part], splits: Sequence[Split]) -> Iterator[Example]:
    """Drawn as the synthetic cameras do, with the boxes of their defects."""
    for drawn, split in zip(parts, splits, strict=True):
        boxes = ()
        if drawn.defect is not None:
            boxes = marked(drawn.defect, draw(replace(drawn, defect=None)), draw(drawn))
        image = EncodedImage(take(LOOK, drawn), Encoding.JPEG)
        if split != "train" or drawn.defect is None or boxes:  # nothing to learn from what changes nothing
            yield Example(image, drawn.label, str(drawn.seed), split, boxes=boxes)


def curve(parts: Sequence[Part], ng: np.ndarray) -> dict[str, object]:
    """Of judged parts: overkill, detection by severity, and the severity above which nothing escaped."""
    bad = np.array([p.defect is not None for p in parts])
    severity = np.array([p.severity for p in parts])
    escaped = bad & ~ng
    found = []
    for place in range(BINS):
        its = bad & (severity >= place / BINS) & (severity < (place + 1) / BINS if place < BINS - 1 else True)
        found.append(
            {"from": place / BINS, "to": (place + 1) / BINS} | rate(int((its & ng).sum()), int(its.sum())).to_json()
        )
    kinds = {kind: np.array([p.defect == kind for p in parts]) for kind in DEFECTS}
    return {
        "parts": len(parts),
        "overkill": rate(int((~bad & ng).sum()), int((~bad).sum())).to_json(),
        "detected": rate(int((bad & ng).sum()), int(bad.sum())).to_json(),
        "by_severity": found,
        "none_escapes_above": float(severity[escaped].max()) if escaped.any() else 0.0,
        "worst_escape_by_kind": {
            k: float(severity[escaped & m].max()) if (escaped & m).any() else 0.0 for k, m in kinds.items()
        },
        "above": {
            f"{s:.2f}": rate(int((escaped & (severity >= s)).sum()), int((bad & (severity >= s)).sum())).to_json()
            for s in (0.3, 0.4, 0.5, 0.6, 0.7)
        },
    }


def trained(options: argparse.Namespace) -> Artifact:
    """The model, its threshold by the share of good parts that may be rejected."""
    first = TRAINED + options.seed * 1_000_000
    parts = [part(number, first, 0.15) for number in range(options.parts)]
    splits = [OTHERS.get(number // 2 % 40, "train") for number in range(options.parts)]
    drawn = list(track(examples(parts, splits), "drawing", len(parts), disable=not sys.stderr.isatty()))
    fit = FitSpec(
        practice=0,
        epochs=options.epochs,
        batch=32,
        trunk_rate=options.rate,
        head_rate=3 * options.rate,
        budget_s=60 * options.minutes,
        average=0.998,
        balance="oversample",
        symmetries=(),  # these parts lie one way only: mirrored, a hole is where none belongs
    )
    spec = TrainSpec(
        model_id=f"severity-{options.seed}",
        preprocessing=Preprocessing(width=options.input, height=options.input, tile=options.tile, overview=True),
        fit=fit,
        seed=options.seed,
    )

    def told(progress: Progress) -> None:
        if progress.stage == "fit" and progress.done % 50 == 0:
            print(
                f"epoch {progress.epoch} step {progress.done}/{progress.total} loss {progress.loss:.3f}",
                file=sys.stderr,
                flush=True,
            )

    start = load_artifact(options.start).weights if options.start else None
    artifact = train(drawn, spec, told, start=start)
    validation = [example for example in drawn if example.split == "validation"]
    scores, labels = scored(artifact, validation)
    plan = Plan(rule=OverkillRule(options.overkill), prevalence=0.5, reviewed=0.0)
    return recalibrate(artifact, scores, labels, plan, datetime.now(UTC)).artifact


def scored(artifact: Artifact, drawn: Sequence[Example]) -> tuple[np.ndarray, np.ndarray]:
    engine = open_engine(artifact)
    try:
        pictures = load(drawn, [item.name for item in artifact.classes], artifact.preprocessing, lambda: None)
        return scores_by(engine, pictures, artifact.defects), pictures.labels
    finally:
        engine.close()


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10, help="of training")
    parser.add_argument("--epochs", type=int, default=20, help="at most; the schedule fits into the minutes")
    parser.add_argument("--parts", type=int, default=4_000, help="to train on, validation and test included")
    parser.add_argument("--held-out", type=int, default=2_000, help="to judge")
    parser.add_argument("--tile", type=int, default=160, help="pixels of a picture of 640 x 480")
    parser.add_argument("--input", type=int, default=128, help="pixels of the network's input, which a tile becomes")
    parser.add_argument("--start", type=Path, help="directory of a model to begin with")
    parser.add_argument(
        "--rate", type=float, default=1e-3, help="peak learning rate of the trunk; the head's is thrice"
    )
    parser.add_argument(
        "--overkill", type=float, default=0.0025, help="share of good validation parts to reject at most"
    )
    parser.add_argument("--seed", type=int, default=0, help="of drawn parts and weights")
    parser.add_argument("--out", type=Path, help="directory to keep the model in")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    artifact = trained(options)
    if options.out:
        save_artifact(artifact, options.out)
    parts = [part(number, HELD_OUT + options.seed * 1_000_000, 0.0) for number in range(options.held_out)]
    scores, _ = scored(artifact, list(examples(parts, ["test"] * len(parts))))
    found = curve(parts, rejected(scores, artifact.classes, artifact.any_defect_threshold))
    found |= {"threshold": artifact.any_defect_threshold, "fit_s": artifact.metrics["fit_s"]}
    print(json.dumps(found, indent=2) if options.json else _table(found))


def _table(found: dict[str, object]) -> str:
    lines = [f"{'severity':12}{'detected':>9}"]
    rows: list[dict[str, float]] = found["by_severity"]  # type: ignore[assignment]
    lines += [f"{r['from']:.1f} to {r['to']:.1f}  {r['count']:>4} of {r['total']}" for r in rows]
    over: dict[str, int] = found["overkill"]  # type: ignore[assignment]
    lines.append(
        f"overkill {over['count']} of {over['total']}; above severity {found['none_escapes_above']} none escapes"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
