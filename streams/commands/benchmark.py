"""`lineside benchmark`: how fast, and how good, each model is on each engine of this machine, and which to take."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table

from models import labelled_set
from models.artifact import Artifact, load_artifact
from models.dataset import Pictures
from models.engines import DEVICES, open_engine, preferences
from models.errors import ModelError
from models.evaluate import Evaluation
from models.examination import rule_of
from models.parity import Parity, parity, refuse_worse
from models.scoring import scores_by
from models.speed import Speed, speeds
from models.untrained import untrained
from schemas.records import Precision
from streams.commands.evaluate import chosen, decoded
from streams.commands.ui import MakeBar, Ui

if TYPE_CHECKING:
    from models.artifact import F32
    from models.engines import Engine

PRECISIONS = (Precision.FP32, Precision.BF16, Precision.FP16, Precision.INT8)


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkOptions:
    """What `lineside benchmark` was asked for. `archs`: of random weights, for speed alone, with inputs of `size`."""

    models: Sequence[Path]
    archs: Sequence[str]
    size: tuple[int, int]
    data: Path | None
    batch: int
    seconds: float
    rounds: int
    most_flips: float
    give: float
    as_json: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One model on one engine. `ratio` is to the slowest of the same model; `quality` None: no pictures were given.

    `worse` says why this form is not to be taken in place of its float32 parent.
    """

    model: str
    device: str
    precision: Precision
    speed: Speed
    ratio: float
    quality: Parity | None
    worse: str | None

    @property
    def form(self) -> Evaluation | None:
        return self.quality.form if self.quality else None

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "device": self.device,
            "precision": self.precision.value,
            "images_per_s": round(self.speed.images_per_s, 1),
            "batch_ms": round(self.speed.batch_ms, 3),
            "ratio": round(self.ratio, 3),
            "quality": self.quality.to_json() if self.quality else None,
            "worse": self.worse,
        }


def benchmark_command(options: BenchmarkOptions) -> None:
    """Open, prove, time in turn, compare, recommend. Not for a running event loop."""
    ui, found = Ui(), list[Row]()
    trained = [load_artifact(directory) for directory in options.models]
    with ui.bars() as make:
        for artifact in trained:
            found += _of_model(artifact, _test_split(artifact, options.data, make), options, ui, make)
        for arch in options.archs:
            found += _of_model(untrained(arch, *options.size), None, options, ui, make)
    best = recommended(found, options.give)
    if options.as_json:
        said = {"batch": options.batch, "rows": [row.to_json() for row in found]}
        print(json.dumps(said | {"recommended": found.index(best) if best else None}, indent=2, allow_nan=False))
        return
    ui.show(table(found, best, options.batch))
    ui.say(sentence(best))


def recommended(rows: Sequence[Row], give: float) -> Row | None:
    """The fastest of those that decide as their parent does and whose balanced accuracy is within `give` of the best.

    Where no pictures were given, speed alone says nothing about which model to take: None.
    """
    sound = [row for row in rows if row.form and row.worse is None and row.form.balanced_accuracy is not None]
    if not sound:
        return None
    best = max(_accuracy(row) for row in sound)
    return max((row for row in sound if _accuracy(row) >= best - give), key=lambda row: row.speed.images_per_s)


def sentence(best: Row | None) -> str:
    """What to do."""
    if best is None:
        return "none is recommended: give --model and --data with good and bad pictures, so that quality can be seen"
    return (
        f"recommended: {best.model} on {best.device} {best.precision}, the fastest among the best; "
        f"put its precision into the recipe, or start workers with --device {best.device} "
        f"--precision {best.precision.lower()}"
    )


def table(rows: Sequence[Row], best: Row | None, batch: int) -> Table:
    """One line a row."""
    made = Table(title=f"pictures a second, in batches of {batch}", title_justify="left")
    for name in ("model", "engine", "precision"):
        made.add_column(name)
    for name in ("images/s", "ratio", "batch alone", "escape", "overkill", "decide otherwise"):
        made.add_column(name, justify="right")
    made.add_column("")
    for row in rows:
        form = row.form
        made.add_row(
            *(row.model, row.device, row.precision.value),
            *(f"{row.speed.images_per_s:.0f}", f"{row.ratio:.2f}x", f"{row.speed.batch_ms:.1f} ms"),
            *(_short(form.escape.value if form else None), _short(form.overkill.value if form else None)),
            _short(row.quality.flips.value if row.quality else None),
            "recommended" if row is best else "worse than float32" if row.worse else "",
        )
    return made


def _short(share: float | None) -> str:
    return "n/a" if share is None else f"{share:.2%}"


def _accuracy(row: Row) -> float:
    return row.form.balanced_accuracy or 0.0 if row.form else 0.0


def _test_split(artifact: Artifact, data: Path | None, make: MakeBar) -> Pictures | None:
    if data is None:
        return None
    examples = chosen(labelled_set.examples(data), artifact, "test")
    return decoded(examples, artifact, make, f"decoding for {artifact.model_id}")


def _of_model(artifact: Artifact, test: Pictures | None, options: BenchmarkOptions, ui: Ui, make: MakeBar) -> list[Row]:
    """Every engine of a model, opened side by side and timed in turn."""
    spec = artifact.preprocessing
    noise = np.random.default_rng(1).integers(0, 256, (options.batch, spec.height, spec.width, 3), dtype=np.uint8)
    with ExitStack() as stack:
        engines = list(_engines(artifact, options.batch, ui, stack))
        bar = make(f"timing {artifact.model_id}", len(engines) * options.rounds)
        timed = speeds(engines, noise, options.seconds, options.rounds, bar)
        scores = [_scores(engine, test, make, artifact) for engine in engines]
    slowest = min(speed.images_per_s for speed in timed)
    return [
        Row(
            artifact.model_id,
            engine.device,
            engine.precision,
            speed,
            speed.images_per_s / slowest,
            *_quality(scores[0], own, test, artifact, options.most_flips),
        )
        for engine, speed, own in zip(engines, timed, scores, strict=True)
    ]


def _engines(artifact: Artifact, batch: int, ui: Ui, stack: ExitStack) -> Iterator[Engine]:
    """All that can be had and is computed natively here, FP32 first; what can't be opened is said and left out."""
    for precision, device in product(PRECISIONS, DEVICES[1:]):
        if precision not in artifact.tolerance or precision not in preferences(device):
            continue
        try:
            engine = open_engine(artifact, device, precision, (batch,))
        except ModelError as error:
            ui.say(f"left out: {error}")
            continue
        stack.callback(engine.close)
        yield engine


def _scores(engine: Engine, test: Pictures | None, make: MakeBar, artifact: Artifact) -> F32 | None:
    if test is None:
        return None
    name = f"{artifact.model_id} {engine.device} {engine.precision}"
    return scores_by(engine, test, artifact.defects, make(name, len(test.pictures)))


def _quality(
    parent: F32 | None, own: F32 | None, test: Pictures | None, artifact: Artifact, most_flips: float
) -> tuple[Parity | None, str | None]:
    if parent is None or own is None or test is None:
        return None, None
    found = parity(parent, own, test.truths(artifact.head), rule_of(artifact))
    try:
        refuse_worse(found, most_flips)
    except ModelError as error:
        return found, str(error)
    return found, None
