"""`lineside quantise`: a trained model with an int8 network beside its weights, if it decides as before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models import labelled_set
from models.artifact import Artifact, load_artifact, save_artifact
from models.dataset import Example, Pictures, spread
from models.engines import open_engine
from models.examination import rule_of
from models.parity import Parity, parity, refuse_worse
from models.scoring import answers_by, split
from schemas.records import Precision
from streams.commands.evaluate import chosen, decoded
from streams.commands.ui import MakeBar, Ui
from streams.evaluation.answer import shown

if TYPE_CHECKING:
    from models.artifact import F32

DEVICE = "openvino:CPU"
AUTOMATIC = "workers take int8 where they choose the precision themselves"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantiseOptions:
    """What `lineside quantise` was asked for. `out` may be `model` itself; shares are 0 to 1."""

    model: Path
    data: Path
    out: Path
    pictures: int
    most_difference: float
    most_flips: float
    as_json: bool


def quantise_command(options: QuantiseOptions) -> None:
    """Decode, quantise, compare, write, say. Nothing is written where the int8 network decides worse."""
    from models.quantise import quantised

    ui, artifact = Ui(), load_artifact(options.model)
    examples = labelled_set.examples(options.data)
    with ui.bars() as make:
        train = _spread(chosen(examples, artifact, "train"), options.pictures)
        ranges = decoded(train, artifact, make, "decoding")
        check, check_rows = _scored(chosen(examples, artifact, "validation"), artifact, make, "validation")
        test, test_rows = _scored(chosen(examples, artifact, "test"), artifact, make, "test")
    with ui.step("quantising; minutes for a large network"):
        made = quantised(
            artifact,
            ranges.pictures,
            (check.pictures, check_rows),
            options.most_difference,
            datetime.now(UTC),
        )
    with ui.bars() as make:
        before, after = (
            test.combined(rows, artifact.defects)
            for rows in (test_rows, _rows(made, Precision.INT8, test, make, "int8"))
        )
    found = parity(before, after, test.truths(artifact.head), rule_of(artifact))
    refuse_worse(found, options.most_flips)
    save_artifact(replace(made, metrics={**made.metrics, "int8": found.to_json()}), options.out)
    kept = load_artifact(options.out)
    if options.as_json:
        said = {"model": str(options.out), "sha256": kept.sha256, "tolerance": kept.tolerance[Precision.INT8]}
        print(json.dumps(said | found.to_json(), indent=2, allow_nan=False))
        return
    ui.table(f"{kept.model_id} · int8 beside float32 on {len(test.labels)} pictures", rows(found))
    ui.say(f"kept in {options.out}; {'--precision int8 asks for it' if kept.novelty else AUTOMATIC}")


def rows(found: Parity) -> list[tuple[str, str]]:
    """The table's lines."""
    return [
        ("decide otherwise", shown(found.flips)),
        ("escape", f"{shown(found.parent.escape)} → {shown(found.form.escape)}"),
        ("overkill", f"{shown(found.parent.overkill)} → {shown(found.form.overkill)}"),
        ("scores differ", f"{found.mean_difference:.4f} in the mean, {found.largest_difference:.4f} at most"),
    ]


def _spread(examples: Sequence[Example], most: int) -> list[Example]:
    return [examples[place] for place in spread([example.label for example in examples], most)]


def _scored(examples: Sequence[Example], artifact: Artifact, make: MakeBar, name: str) -> tuple[Pictures, F32]:
    pictures = decoded(examples, artifact, make, f"decoding {name}")
    return pictures, _rows(artifact, Precision.FP32, pictures, make, f"scoring {name}")


def _rows(artifact: Artifact, precision: Precision, pictures: Pictures, make: MakeBar, name: str) -> F32:
    """Probabilities of what the network sees, float32 [m, classes]."""
    engine = open_engine(artifact, DEVICE, precision)
    try:
        return split(answers_by(engine, pictures.pictures, make(name, len(pictures.pictures))), engine)[0]
    finally:
        engine.close()
