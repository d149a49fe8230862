"""`lineside models ensemble`: several models as one, each of them proven first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from models.artifact import load_artifact, save_artifact
from models.engines import open_engine
from models.ensembles import ensemble_of
from schemas.records import Precision
from streams.commands.ui import Ui


def make_ensemble(members: Sequence[Path], out: Path, name: str, as_json: bool) -> None:
    """Prove the members and the whole on the CPU in float32, write, say. Nothing is written where one fails."""
    artifacts = [load_artifact(directory) for directory in members]
    made = ensemble_of(artifacts, name, datetime.now(UTC))
    for artifact in (*artifacts, made):
        open_engine(artifact, "openvino:CPU", Precision.FP32).close()
    save_artifact(made, out)
    kept = load_artifact(out)
    if as_json:
        said = {"model": str(out), "model_id": kept.model_id, "sha256": kept.sha256, "arch": kept.arch}
        print(json.dumps(said | dict(kept.metrics), indent=2))
        return
    ui = Ui()
    ui.say(
        f"{kept.model_id}, the mean of {len(artifacts)} models ({kept.arch}), is kept in {out}. Its thresholds are the"
    )
    ui.say("mean of theirs: `lineside calibrate` sets them by pictures, `lineside evaluate` shows what it is worth")
