"""`lineside models export`: a model as one ONNX file, proven by its golden vectors."""

from __future__ import annotations

import json
import os
from pathlib import Path

from models.artifact import load_artifact
from streams.commands.ui import Ui


def export_model(model: Path, out: Path, as_json: bool) -> None:
    """Export, prove, write, say. The file is there whole or not at all."""
    from models.onnx_export import INPUT, OUTPUT, exported

    ui, artifact = Ui(), load_artifact(model)
    with ui.step("exporting"):
        made = exported(artifact)
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        beside.write_bytes(made.data)
        beside.replace(out)
    finally:
        beside.unlink(missing_ok=True)
    if as_json:
        said = {"file": str(out), "bytes": len(made.data), "model_id": artifact.model_id, "sha256": artifact.sha256}
        proven = {"golden": made.golden, "largest_difference": made.difference, "flips": made.flips}
        print(json.dumps(said | proven | {"input": INPUT, "output": OUTPUT}, indent=2))
        return
    ui.say(f"{artifact.model_id} is in {out} ({len(made.data) / 1e6:.1f} MB): `{INPUT}` uint8 to `{OUTPUT}` float32;")
    ui.say(f"its {made.golden} golden vectors differ by {made.difference:.1e} at most, {made.flips} decided otherwise")
