"""Real worker processes for the fault tests: started through the command line, killed, stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from streams.settings import Settings, to_environment


class WorkerProcess:
    """`lineside worker` with a model and the default recipe; its log is `worker.log` in the data directory."""

    def __init__(self, settings: Settings, model_dir: Path, name: str = "worker", module: str = "streams.cli") -> None:
        self._settings = settings
        self._module = module
        self._model_dir = model_dir
        self.log = settings.data_dir / f"{name}.log"
        self._ready = settings.data_dir / f"{name}.ready"
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, timeout_s: float = 90.0) -> None:
        self._ready.unlink(missing_ok=True)
        command = [sys.executable, "-P", "-m", self._module, "worker", "--default-recipe"]
        command += ["--model", str(self._model_dir), "--ready-file", str(self._ready)]
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **to_environment(self._settings)}
            )
        async with asyncio.timeout(timeout_s):
            while not self._ready.exists():
                assert self._process.poll() is None, self.log.read_text()[-2000:]
                await asyncio.sleep(0.05)

    @property
    def status(self) -> int | None:
        return self._process.poll() if self._process else None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as the kernel's out-of-memory killer or a power cut would."""
        assert self._process is not None
        self._process.kill()
        assert self._process.wait(10) == -signal.SIGKILL

    async def stop(self, timeout_s: float = 60.0) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        return await asyncio.to_thread(self._process.wait, timeout_s)


def killed_when(settings: Settings, arguments: list[str], is_due: Callable[[], bool]) -> None:
    """Runs a command and kills it as soon as it is due; fails if it ends before that."""
    with (settings.data_dir / "killed.log").open("ab") as log:
        environment = {**os.environ, **to_environment(settings)}
        process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
    try:
        until = time.monotonic() + 120
        while not is_due():
            assert process.poll() is None, f"it ended before it was due to die: {process.returncode}"
            assert time.monotonic() < until, "it was to get further within 120 s"
            time.sleep(0.002)
    finally:
        process.kill()
        status = process.wait()
    assert status == -signal.SIGKILL, "it ended before the kill came"


def killed_until_done(settings: Settings, arguments: list[str], delays: list[float]) -> int:
    """Runs a command, kills it after each delay, then lets it end; how often it was really killed."""
    kills = 0
    with (settings.data_dir / "killed.log").open("ab") as log:
        for delay in [*delays, None]:
            environment = {**os.environ, **to_environment(settings)}
            process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
            try:
                status = process.wait(delay or 120)
            except subprocess.TimeoutExpired:
                process.kill()
                assert process.wait() == -signal.SIGKILL
                assert delay is not None, "it was to end, and went on for 120 s"
                kills += 1
                continue
            assert status == 0, (settings.data_dir / "killed.log").read_text()[-3000:]
    return kills
