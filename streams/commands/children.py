"""Processes under `lineside up`: started on a leash, started again when they end, stopped gently.

An agent that can't go on ends its process; Kafka delivers again what it had under way. A process that ends before it
was ready for the first time was started wrongly, and whoever starts it is told; one that was ready once is started
again whatever its exit status says: its command line was right, so the world around it has changed (Kafka is away, a
topic was altered), and may change back. Knows nothing of what they do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.bus import leash
from streams.errors import OperatorError

log = logging.getLogger(__name__)
LEASH_GRACE_S = 60
LAST_WORDS_BYTES = 4096
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0  # the longest is a part of the time that a line stands after an outage
STEADY_S = 60.0  # a process that lived this long starts with the first pause again
POLL_S = 0.05  # not a waiting thread each: a process has more children than its pool has threads
CLI = "streams.cli"


def leashed(command: Sequence[str]) -> list[str]:
    """`command` as one that ends when this process does; it needs a pipe as standard input."""
    return [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), str(LEASH_GRACE_S), *command]


class Child:
    """`lineside ARGUMENTS` (or another module's) as a supervised process. Its output goes to `log_file`."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        ready_file: Path,
        module: str = CLI,
    ) -> None:
        self._module = module
        self._arguments = (*arguments, "--ready-file", str(ready_file))
        self._environment = {**os.environ, **environment}
        self._log_file = log_file
        self._ready_file = ready_file
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self.restarts = 0

    def __str__(self) -> str:
        return f"`lineside {self._arguments[0]}`"

    @property
    def address(self) -> str:
        """What it said when it was ready: the address of its page; empty for a program without one."""
        return self._ready_file.read_text().strip() if self._ready_file.exists() else ""

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_ready(self) -> bool:
        """Whether the present process has said that it is at work."""
        return self.is_running and self._ready_file.exists()

    def send_signal(self, number: int) -> None:
        """Send a signal, such as SIGKILL, to the present process; nothing where it has ended."""
        if self._process:
            self._process.send_signal(number)

    async def start(self, timeout_s: float = 180.0) -> None:
        """Start, and return when it says that it is ready; OperatorError where it ends or stays silent instead."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._spawn()
        deadline = time.monotonic() + timeout_s
        while not self._ready_file.exists():
            if self._process and (status := self._process.poll()) is not None:
                self._let_go()
                raise OperatorError(f"{self} ended with status {status} before it was ready: {self._last_words()}")
            if time.monotonic() > deadline:
                await self.stop()
                raise OperatorError(f"{self} was not ready within {timeout_s:.0f} s; see {self._log_file}")
            await asyncio.sleep(POLL_S)
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self, timeout_s: float = LEASH_GRACE_S) -> None:
        """Ask it to drain and end; kill it where that takes longer than `timeout_s`."""
        if self._supervisor:
            self._supervisor.cancel()
        if self._process is None:
            return
        self._process.terminate()  # nothing where it has ended
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended(self._process)
        except TimeoutError:
            self._process.kill()
            self._process.wait()
        self._let_go()

    def _let_go(self) -> None:
        """Close the leash of a process that has ended."""
        if self._process and self._process.stdin:
            self._process.stdin.close()

    def _spawn(self) -> None:
        self._ready_file.unlink(missing_ok=True)
        self._let_go()
        command = [sys.executable, "-P", "-m", self._module, *self._arguments]
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                leashed(command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,  # a Ctrl-C on the terminal is ours to handle: the gateway ends first
            )

    async def _supervise(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._process:
            started = time.monotonic()
            status = await self._ended(self._process)
            if time.monotonic() - started > STEADY_S:
                pause_s = FIRST_PAUSE_S
            said = self._last_words()
            log.warning("%s ended with status %s; starting it again in %.1f s: %s", self, status, pause_s, said)
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            self.restarts += 1
            try:
                self._spawn()
            except OSError as error:  # such as a full disk: the old one has ended, so it is tried again
                log.error("%s can't be started: %s", self, error)

    async def _ended(self, process: subprocess.Popen[bytes]) -> int:
        while (status := process.poll()) is None:  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(POLL_S)
        return status

    def _last_words(self) -> str:
        lines: list[str] = []
        with contextlib.suppress(OSError), self._log_file.open("rb") as file:
            file.seek(max(0, self._log_file.stat().st_size - LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1][:300] if lines else 'it said nothing'} (log: {self._log_file})"
