"""`lineside models import`: a network from elsewhere, proven by its golden vectors, as a model's directory."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from models.artifact import load_artifact, save_artifact
from models.engines import open_engine
from models.importing import imported
from schemas.records import Precision
from streams.commands.ui import Ui


def import_model(weights: Path, description: Path, golden: Path, out: Path, as_json: bool) -> None:
    """Check, prove on the CPU in float32, write, say. Nothing is written where golden vectors come out otherwise."""
    artifact = imported(weights, description, golden, datetime.now(UTC))
    open_engine(artifact, "openvino:CPU", Precision.FP32).close()
    save_artifact(artifact, out)
    kept = load_artifact(out)
    names = [item.name for item in kept.classes]
    if as_json:
        said = {"model": str(out), "model_id": kept.model_id, "sha256": kept.sha256, "arch": kept.arch}
        print(json.dumps(said | {"classes": names, "golden": len(kept.golden.scores)}, indent=2))
        return
    ui = Ui()
    ui.say(f"{kept.model_id}, a {kept.arch} of the classes {', '.join(names)}, gives its {len(kept.golden.scores)}")
    ui.say(f"golden vectors here too; kept in {out}. `lineside evaluate` shows what it is worth on your pictures")
