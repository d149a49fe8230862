"""`lineside up` while its parts die or hang: everything is started again, and every frame gets its verdict."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from models.artifact import save_artifact
from tests.models_fixture import tiny_artifact

FRAMES, RATE = 500, 20.0


async def until(condition: Callable[[], bool], timeout_s: float = 60.0) -> float:
    """How long it took, in seconds."""
    began = time.monotonic()
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.1)
    return time.monotonic() - began


async def test_no_frame_is_lost_while_kafka_and_the_worker_die_under_up(tmp_path: Path) -> None:
    """
    frames  ─────────────────────────────────────────────────────▶ 500
    kafka        ✝ kill -9  ── back
    worker       ends, back ✝ SIGSTOP: hangs ── ended, back
    """
    save_artifact(tiny_artifact(), tmp_path / "model")
    command = [sys.executable, "-P", "-m", "streams.cli", "up", "--frames", str(FRAMES), "--rate", str(RATE), "--json"]
    command += ["--model", str(tmp_path / "model"), "--data-dir", str(tmp_path / "data")]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LINESIDE_")}
    with (tmp_path / "up.log").open("wb") as log:
        up = await asyncio.create_subprocess_exec(*command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=log)
    ready = tmp_path / "data/logs/worker.ready"
    try:
        await until(ready.exists, 120.0)
        await asyncio.sleep(3)
        kafka = int((tmp_path / "data/broker/broker.lock").read_text())
        os.kill(kafka, signal.SIGKILL)
        await until(lambda: (tmp_path / "data/broker/broker.lock").read_text().strip() not in ("", str(kafka)))
        worker = _pid_of("worker", tmp_path)
        os.kill(worker, signal.SIGSTOP)
        await until(lambda: _pid_of("worker", tmp_path) not in (0, worker) and ready.exists(), 120.0)
        out, _ = await asyncio.wait_for(up.communicate(), 150.0)
    finally:
        if up.returncode is None:
            up.terminate()
            await up.wait()
    said = (tmp_path / "up.log").read_text()
    assert up.returncode == 0, f"status {up.returncode}\n{said}"
    figures = json.loads(out)
    assert {k: figures[k] for k in ("frames", "verdicts", "lost", "dead_letters")} == {
        "frames": FRAMES,
        "verdicts": FRAMES,
        "lost": 0,
        "dead_letters": 0,
    }, said
    assert "Kafka ended by itself: restart 1" in said
    assert re.search(r"`lineside worker` (is ended: it has not answered|ended with status)", said)


def _pid_of(program: str, folder: Path) -> int:
    """The process of a program under `up`; 0 where there is none just now."""
    wanted = [b"streams.cli", program.encode()]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if wanted[0] in words and wanted[1] in words and any(str(folder).encode() in word for word in words):
            return int(path.parent.name)
    return 0
