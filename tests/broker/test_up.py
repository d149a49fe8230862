"""`lineside up` as a newcomer runs it, with a model that is there already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from models.artifact import save_artifact
from tests.models_fixture import tiny_artifact


def test_every_frame_gets_its_verdict_and_nothing_is_left_running(tmp_path: Path) -> None:
    save_artifact(tiny_artifact(), tmp_path / "model")
    command = [sys.executable, "-P", "-m", "streams.cli", "up", "--frames", "60", "--rate", "0", "--json"]
    command += ["--model", str(tmp_path / "model"), "--data-dir", str(tmp_path / "data")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LINESIDE_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, env=environment)

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert {k: figures[k] for k in ("frames", "verdicts", "lost", "duplicates", "dead_letters")} == {
        "frames": 60,
        "verdicts": 60,
        "lost": 0,
        "duplicates": 0,
        "dead_letters": 0,
    }
    assert figures["quality"]["labelled"] == 60
    assert sum(int(size) * times for size, times in figures["batches"].items()) == 60
    processes = (Path(p) for p in Path("/proc").glob("[0-9]*/cmdline"))
    assert not [p for p in processes if str(tmp_path).encode() in _read(p)]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # ended meanwhile
        return b""
