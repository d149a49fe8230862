"""Runs programs and learns whom they contact: from Python by an audit hook, from native code by the kernel's tables."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

import psutil

ROOT = Path(__file__).parents[1]
WATCHED = Path(__file__).parent / "watched"
LOOK_S = 0.02
OWN = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"}


class Watch:
    """A context in which started programs are watched; `contacts` are (host, port) or (host, "name") for a look-up."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._written = folder / "contacts.txt"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LINESIDE_")},
            **environment,
            "PYTHONPATH": f"{WATCHED}{os.pathsep}{ROOT}",
            "LINESIDE_TEST_CONTACTS": str(self._written),
        }
        self._seen: set[tuple[str, str]] = set()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stopped = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Self:
        self._sampler.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        for process in self._running.values():
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._stopped.set()
        self._sampler.join()

    def start(self, name: str, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Its output goes to NAME.log."""
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, env=self.environment)
        self._running[name] = process
        return process

    def run(self, name: str, command: Sequence[str], timeout_s: float = 120.0) -> None:
        assert self.start(name, command).wait(timeout_s) == 0, self.log(name)

    def is_running(self, name: str) -> bool:
        return self._running[name].poll() is None

    def log(self, name: str) -> str:
        return (self._folder / f"{name}.log").read_text()[-3000:]

    @property
    def contacts(self) -> set[tuple[str, str]]:
        lines = self._written.read_text().splitlines() if self._written.exists() else []
        pairs = (line.rpartition(" ") for line in lines)
        return self._seen | {(host, port) for host, _, port in pairs}

    def _sample(self) -> None:
        while not self._stopped.wait(LOOK_S):
            for process in tuple(self._running.values()):
                with suppress(psutil.Error):
                    self._look(psutil.Process(process.pid))

    def _look(self, parent: psutil.Process) -> None:
        for process in (parent, *parent.children(recursive=True)):
            with suppress(psutil.Error):
                sockets = process.net_connections(kind="inet")
                served = {s.laddr.port for s in sockets if s.status == psutil.CONN_LISTEN}
                ours = (s for s in sockets if s.raddr and s.laddr.port not in served)
                self._seen |= {(s.raddr.ip, str(s.raddr.port)) for s in ours}
