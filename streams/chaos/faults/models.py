"""A worker whose model can't be trusted."""

from __future__ import annotations

import shutil

from streams.chaos.fault import Size, fault
from streams.chaos.stage import Stage
from streams.errors import OperatorError


@fault("damaged-model", "a worker with a damaged model refuses in one sentence; the others go on", size=Size.QUICK)
async def damaged_model(stage: Stage) -> None:
    damaged = stage.settings.data_dir / "damaged"
    shutil.copytree(stage.model_dir, damaged)
    weights = max(damaged.iterdir(), key=lambda file: file.stat().st_size)
    data = bytearray(weights.read_bytes())
    data[len(data) // 2] ^= 0xFF
    weights.write_bytes(data)
    said = "it started"
    try:
        await stage.programs.child("damaged", ["worker", "--model", str(damaged), "--default-recipe"])
    except OperatorError as error:
        said = str(error)
    stage.expect("lineside:" in said and weights.name in said, f"a worker with damaged weights did not refuse: {said}")
    stage.cause_ended()
    await stage.load_on()
