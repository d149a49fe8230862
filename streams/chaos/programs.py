"""Real programs of a run, each a process that ends with us: supervised ones, and ones that end by themselves.

Knows how they are started and stopped; nothing of faults.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from streams.commands.children import CLI, Child, leashed, run_module
from streams.settings import Settings, to_environment

STOP_S = 1.0


class Programs:
    """Everything that one run started; `close` ends it all, frozen ones too."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logs = settings.data_dir / "logs"
        self._children: list[Child] = []
        self._once: list[OneShot] = []

    async def child(self, name: str, arguments: Sequence[str], module: str = CLI) -> Child:
        """A supervised `lineside ARGUMENTS`, ready; OperatorError with its last words where it ends before."""
        environment = to_environment(self._settings)
        files = self._logs / f"{name}.log", self._logs / f"{name}.ready"
        child = Child(arguments, environment, *files, program=run_module(module))
        self._children.append(child)
        await child.start()
        return child

    def once(
        self,
        name: str,
        arguments: Sequence[str],
        data_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> OneShot:
        """`lineside ARGUMENTS` as a process that is not started again; `environment` beside the settings."""
        environment = to_environment(self._settings) | dict(environment or {})
        if data_dir:
            environment["LINESIDE_DATA_DIR"] = str(data_dir)
        program = OneShot(arguments, environment, self._logs / f"{name}.log")
        self._once.append(program)
        return program

    async def close(self) -> None:
        """All is read by now, or was given up: nothing is waited for, least of all a Kafka that is away."""
        for child in self._children:
            child.send_signal(signal.SIGCONT)
        children = (child.stop(STOP_S) for child in self._children)
        others = (program.stop() for program in self._once)
        await asyncio.gather(*children, *others)


class OneShot:
    """A process that ends by itself, or when told to."""

    def __init__(self, arguments: Sequence[str], environment: dict[str, str], log_file: Path) -> None:
        self._log_file = log_file
        log_file.parent.mkdir(parents=True, exist_ok=True)
        with log_file.open("ab") as output:
            self._process = subprocess.Popen(
                leashed([*run_module(CLI), *arguments]),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def output(self) -> str:
        """All that it has said."""
        return self._log_file.read_text(errors="replace")

    async def wait(self) -> int:
        """Its exit status."""
        while (status := self._process.poll()) is None:  # noqa: ASYNC110  # a process has no event
            await asyncio.sleep(0.05)
        return status

    async def stop(self, number: int = signal.SIGTERM, timeout_s: float = STOP_S) -> int:
        """Send it a signal and wait until it ends; killed after `timeout_s`. Its exit status."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(timeout_s):
                await self.wait()
        except TimeoutError:
            self._process.kill()
        status = self._process.wait()
        if self._process.stdin:
            self._process.stdin.close()
        return status
