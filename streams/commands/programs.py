"""The programs of a whole installation on one machine, as supervised processes of `lineside up`.

Each is what its own command would run, with the same settings, and is stopped (drained) when the stack closes. The
pages show the first line and station; more stations are started by hand. Decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from streams.commands.children import Child
from streams.commands.patience import PatienceLimits
from streams.commands.secure import as_program
from streams.commands.ui import Ui
from streams.settings import Settings, to_environment

LINE, STATION = "line-1", "station-1"  # there is always one: see capture's sources


class Programs:
    """Starts programs that live as long as `stack`."""

    def __init__(self, settings: Settings, ui: Ui, stack: contextlib.AsyncExitStack) -> None:
        self._settings = settings
        self._ui = ui
        self._stack = stack

    async def worker(self, model_dir: Path, device: str, precision: str) -> Child:
        """Inspection."""
        chosen = ["--model", str(model_dir), "--default-recipe", "--device", device, "--precision", precision]
        return await self._start("Worker", ["worker", *chosen])

    async def downstream(self, model_dir: Path, locator_dir: Path | None) -> None:
        """Parts, line statistics, drift, the sampler, the archive and, if there is one, the locator: without people."""
        where = [self._start("Locator", ["locate", "--model", str(locator_dir)])] if locator_dir else []
        await asyncio.gather(
            *where,
            self._start("Parts", ["parts"]),
            self._start("Statistics", ["statistics"]),
            self._start("Drift", ["drift", "--model", str(model_dir)]),
            self._start("Sampler", ["sampler", "--model", str(model_dir)]),
            self._start("Archive", ["archive"]),
        )

    async def pages(self, model_dir: Path, dashboard_port: int, station_port: int) -> dict[str, str]:
        """Dashboard and rework station; their addresses by name."""
        scope = ["--line", LINE, "--station", STATION, "--model", str(model_dir)]
        dashboard, station = await asyncio.gather(
            self._start("Dashboard", ["dashboard", "--port", str(dashboard_port)]),
            self._start("Rework station", ["station", *scope, "--port", str(station_port)]),
        )
        return {"Dashboard": dashboard.address, f"Rework station of {LINE}/{STATION}": station.address}

    async def _start(self, title: str, arguments: Sequence[str]) -> Child:
        logs = self._settings.data_dir / "logs"
        files = (logs / f"{arguments[0]}.log", logs / f"{arguments[0]}.ready")
        environment = to_environment(as_program(self._settings, arguments[0]))
        child = Child(arguments, environment, *files, limits=PatienceLimits())
        self._stack.push_async_callback(child.stop)
        with self._ui.step(title):
            await child.start()
        return child
