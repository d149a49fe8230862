"""`lineside calibrate`: another temperature, threshold and unsure band for a trained model, by a rule."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from models import labelled_set
from models.artifact import Artifact, load_artifact, save_artifact
from models.dataset import Example, Pictures
from models.engines import open_engine
from models.recalibrate import Calibrated, Plan, measured, recalibrate
from models.scoring import scores_by
from schemas.records import Precision
from streams.commands.evaluate import chosen, decoded
from streams.commands.ui import MakeBar, Ui
from streams.evaluation.answer import shown

if TYPE_CHECKING:
    from models.artifact import F32
    from models.engines import Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrateOptions:
    """What `lineside calibrate` was asked for. `out` may be `model` itself."""

    model: Path
    data: Path
    out: Path
    plan: Plan
    device: str
    precision: Precision
    as_json: bool


def calibrate_command(options: CalibrateOptions) -> None:
    """Score, choose, write, say. Not for a running event loop: Ctrl-C shall end it between two batches."""
    ui, artifact = Ui(), load_artifact(options.model)
    with ui.bars() as make:
        found, pictures = calibrated_into(options, artifact, make)
    kept = load_artifact(options.out)
    if options.as_json:
        said = {"model": str(options.out), "sha256": kept.sha256, **found.to_json(), "test": kept.metrics["test"]}
        print(json.dumps(said, indent=2, allow_nan=False))
        return
    ui.table(f"{kept.model_id} · calibrated on {pictures} pictures", rows(found, artifact))
    if found.too_many:
        ui.say("caution: rejects alone are more than people can look at; nothing is asked about")
    ui.say(f"kept in {options.out}")


def calibrated_into(options: CalibrateOptions, artifact: Artifact, make: MakeBar) -> tuple[Calibrated, int]:
    """Write the calibrated model; what came out, and on how many pictures it rests."""
    examples = labelled_set.examples(options.data)
    engine = open_engine(artifact, options.device, options.precision)
    try:
        validation = _scored(chosen(examples, artifact, "validation"), artifact, engine, make, "validation")
        test = _scored(chosen(examples, artifact, "test"), artifact, engine, make, "test")
    finally:
        engine.close()
    known, unseen = (pictures.truths(artifact.head) for pictures, _ in (validation, test))
    found = recalibrate(artifact, validation[1], known, options.plan, datetime.now(UTC))
    save_artifact(measured(found, artifact, test[1], unseen), options.out)
    return found, len(validation[0].labels)


def rows(found: Calibrated, before: Artifact) -> list[tuple[str, str]]:
    """The table's lines."""
    old = "none" if before.any_defect_threshold is None else f"{before.any_defect_threshold:.4f}"
    ece = [
        f"{figure.value:.4f}" if figure.value is not None else "n/a" for figure in (found.before.ece, found.after.ece)
    ]
    return [
        ("threshold", f"{old} → {found.threshold:.4f}"),
        ("unsure band", f"{before.unsure_band:.4f} → {found.artifact.unsure_band:.4f}"),
        ("temperature", f"{before.temperature:.3f} → {found.artifact.temperature:.3f}"),
        ("escape", shown(found.escape)),
        ("overkill", shown(found.overkill)),
        ("rejected on the line", f"{found.rejected:.2%} of parts"),
        ("asked about on the line", f"{found.asked:.2%} of parts"),
        ("calibration error (ECE)", " → ".join(ece)),
    ]


def _scored(
    examples: list[Example], artifact: Artifact, engine: Engine, make: MakeBar, name: str
) -> tuple[Pictures, F32]:
    pictures = decoded(examples, artifact, make, f"decoding {name}")
    return pictures, scores_by(engine, pictures, artifact.defects, make(f"scoring {name}", len(pictures.pictures)))
