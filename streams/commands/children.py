"""Processes under `lineside up`: started on a leash, started again when they end or are lost, stopped gently.

An agent that can't go on ends its process; one that hangs is ended here. Kafka delivers again what it had under way. A
process that ends before it was ready for the first time was started wrongly, and whoever starts it is told; one that
was ready once is started again whatever its exit status says: its command line was right, so the world around it has
changed (Kafka is away, a topic was altered), and may change back. Knows nothing of what they do.
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

from prometheus_client import Counter

from streams.bus import leash
from streams.commands.asking import free_port, sign_of
from streams.commands.patience import Patience, PatienceLimits, Sign
from streams.errors import OperatorError

log = logging.getLogger(__name__)
CLI = "streams.cli"
LEASH_GRACE_S = 60
OUTAGE_S = 150.0  # one that is started again waits so long for Kafka, and works as soon as that is back
END_GRACE_S = 10.0  # for one that is lost: there is nothing to drain that would still move
LAST_WORDS_BYTES = 4096
CALLERS_MISTAKE = 2  # exit status: starting again would not help
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 4.0  # short: what ended for an outage must be back soon after it
STEADY_S = 60.0  # a process that lived this long starts with the first pause again
LOOK_S = 2.0
POLL_S = 0.05  # not a waiting thread each: a process has more children than its pool has threads
RESTARTS = Counter("lineside_restarts", "Starts after an end that nobody asked for.", ["program"])


def leashed(command: Sequence[str]) -> list[str]:
    """`command` as one that ends when this process does; it needs a pipe as standard input."""
    return [sys.executable, "-I", "-S", str(leash.__file__), str(os.getpid()), str(LEASH_GRACE_S), *command]


def run_module(name: str) -> tuple[str, ...]:
    """The command that runs a module by this interpreter."""
    return sys.executable, "-P", "-m", name


class Child:
    """`lineside ARGUMENTS` (or another program's) as a supervised process. Its output goes to `log_file`.

    With `limits` it is asked how it is, at a metrics_port of its own, and ended where it is lost.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log_file: Path,
        ready_file: Path,
        *,
        limits: PatienceLimits | None = None,
        program: Sequence[str] = run_module(CLI),
    ) -> None:
        self._log_file = log_file
        self._ready_file = ready_file
        self._command = (*program, *arguments, "--ready-file", str(self._ready_file))
        self._name = arguments[0]
        self._environment = {**os.environ, **environment}
        self._limits = limits or PatienceLimits()
        self._is_asked = limits is not None
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._patience = Patience(0.0, self._limits)
        self.health_port = 0  # another one at every start; 0: it is not asked
        self.restarts = 0

    def __str__(self) -> str:
        return f"`lineside {self._name}`"

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

    async def start(self) -> None:
        """Start, and return when it says that it is ready; OperatorError where it ends or stays silent instead."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._spawn()
        deadline = time.monotonic() + self._limits.start_s
        while not self._ready_file.exists():
            if self._process and (status := self._process.poll()) is not None:
                await self.stop()
                raise OperatorError(f"{self} ended with status {status} before it was ready: {self._last_words()}")
            if time.monotonic() > deadline:
                await self.stop()
                raise OperatorError(f"{self} was not ready within {self._limits.start_s:.0f} s; see {self._log_file}")
            await asyncio.sleep(POLL_S)
        self._supervisor = asyncio.create_task(self._supervise())

    async def stop(self, timeout_s: float = LEASH_GRACE_S) -> None:
        """Ask it to drain and end; kill it where that takes longer than `timeout_s`."""
        if self._supervisor:
            self._supervisor.cancel()
        if self._process is not None:
            await _end(self._process, timeout_s)
        self._ready_file.with_suffix(".port").unlink(missing_ok=True)

    def _spawn(self, again: bool = False) -> None:
        self._ready_file.unlink(missing_ok=True)
        self._patience = Patience(time.monotonic(), self._limits)
        self.health_port = free_port() if self._is_asked else 0
        own = {"LINESIDE_METRICS_PORT": str(self.health_port)} if self._is_asked else {}
        if again:
            own["LINESIDE_KAFKA_WAIT_S"] = str(OUTAGE_S)
        if self._is_asked:
            self._ready_file.with_suffix(".port").write_text(str(self.health_port))  # for `lineside health`
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                leashed(self._command),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment | own,
                start_new_session=True,  # a Ctrl-C on the terminal is ours to handle: the gateway ends first
            )

    async def _supervise(self) -> None:
        pause_s = FIRST_PAUSE_S
        while self._process:
            started, was_ready = time.monotonic(), await self._until_it_ends(self._process)
            status = self._process.poll()
            if time.monotonic() - started > STEADY_S:
                pause_s = FIRST_PAUSE_S
            if status == CALLERS_MISTAKE and not was_ready:
                log.error("%s refuses to start; it is tried again, but needs a person", self)
                pause_s = LONGEST_PAUSE_S
            self.restarts += 1
            RESTARTS.labels(self._name).inc()
            what = f"{self} ended with status {status}, restart {self.restarts} in {pause_s:.1f} s"
            log.warning("%s; it said last: %s", what, self._last_words())
            await asyncio.sleep(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            try:
                self._spawn(again=True)
            except OSError as error:  # such as a full disk: the old one has ended, so it is tried again
                log.error("%s can't be started: %s", self, error)

    async def _until_it_ends(self, process: subprocess.Popen[bytes]) -> bool:
        """Waits until it ends, or ends it where it is lost; whether it had been ready."""
        is_ready = False
        while process.poll() is None:
            await _ended_within(process, LOOK_S)
            is_ready = is_ready or self._ready_file.exists()
            sign = await asyncio.to_thread(sign_of, self.health_port) if self._is_asked else Sign.WELL
            if process.poll() is None and (why := self._patience.lost(time.monotonic(), is_ready, sign)):
                log.error("%s is ended: %s", self, why)
                await _end(process, END_GRACE_S)
        await _end(process, 0)
        return is_ready

    def _last_words(self) -> str:
        lines: list[str] = []
        with contextlib.suppress(OSError), self._log_file.open("rb") as file:
            file.seek(max(0, self._log_file.stat().st_size - LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return f"{lines[-1][:300] if lines else 'it said nothing'} (log: {self._log_file})"


async def _ended_within(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while process.poll() is None and time.monotonic() < deadline:  # noqa: ASYNC110  # a process has no event
        await asyncio.sleep(POLL_S)


async def _end(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """SIGTERM, and SIGKILL where that does not end it within `grace_s`; nothing is left of it."""
    if process.poll() is None:
        process.terminate()
        await _ended_within(process, grace_s)
    if process.poll() is None:
        process.kill()
        process.wait()
    if process.stdin:
        process.stdin.close()  # the leash's
