"""Training killed with SIGKILL at any moment and started again: the same weights, bit for bit.

Each state is 200 MB on the disk: what `tests/unit/test_training_goes_on.py` shows with a few of them.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = """
import sys
from dataclasses import replace
from pathlib import Path
from models.artifact import save_artifact
from models.dataset import Example
from models.keeping import Keeping
from models.train import train
from tests.unit.test_train import spot
from tests.unit.test_training_goes_on import EVERYTHING, LABELS, SPEC

examples = [Example(spot(LABELS[n % 5], n), LABELS[n % 5], f"P{n}") for n in range(80)]
spec = replace(SPEC, fit=replace(EVERYTHING, patience=0, epochs=8))
out = Path(sys.argv[1])
said = lambda p: print(p.stage, p.done, flush=True)
save_artifact(train(examples, spec, said, keeping=Keeping(Path(sys.argv[2]), 0.5)), out)
"""


def started(out: Path, state: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", PROGRAM, str(out), str(state)], stdout=subprocess.PIPE, text=True)


def weights(out: Path) -> str:
    return hashlib.sha256((out / "weights.safetensors").read_bytes()).hexdigest()


def test_the_weights_are_those_of_a_training_that_nobody_killed(tmp_path: Path) -> None:
    whole = started(tmp_path / "whole", tmp_path / "whole-state")
    whole.communicate(timeout=300)
    assert whole.returncode == 0
    dice, kills = random.Random(4), 0
    while not (tmp_path / "killed" / "model.json").exists():
        program = started(tmp_path / "killed", tmp_path / "state")
        assert program.stdout is not None
        for line in program.stdout:
            if line.startswith("fit") and kills < 4:
                time.sleep(dice.uniform(0, 0.4))
                program.kill()
                kills += 1
                break
        program.communicate(timeout=300)
        assert program.returncode in (0, -9)
    assert kills == 4
    assert weights(tmp_path / "killed") == weights(tmp_path / "whole")
