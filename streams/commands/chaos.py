"""`lineside chaos`: faults on a real Kafka with real workers, and what they cost."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from streams.chaos.fault import Fault, Size, all_faults, chosen
from streams.chaos.judgement import Outcome
from streams.chaos.report import show, show_soak, to_json
from streams.chaos.runner import forget, ground, logs_in, run_all
from streams.chaos.soak import SoakPlan, soak
from streams.commands.ui import Ui
from streams.settings import Settings

FILE_WIDTH = 110  # columns of a table that goes to a file


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    """What `lineside chaos` was asked for. With `soak_s` one long run takes the place of the faults."""

    names: Sequence[str] = ()
    size: Size = Size.NORMAL
    rate_per_s: float = 150.0
    workers: int = 0
    model_dir: Path | None = None
    soak_s: float | None = None
    as_json: bool = False
    report_file: Path | None = None


def list_faults(as_json: bool) -> None:
    """Every fault with its line of help, and the smallest run that has it."""
    rows = [(found.name, found.help, found.size.name.lower()) for found in all_faults().values()]
    if as_json:
        print(json.dumps([dict(zip(("fault", "help", "size"), row, strict=True)) for row in rows], indent=2))
        return
    Ui().table("Faults", [(name, f"{text} ({size})") for name, text, size in rows])


async def run_chaos(settings: Settings, options: ChaosOptions) -> bool:
    """Run the faults, or the soak, and report; True where all passed. SIGTERM ends it as Ctrl-C does."""
    faults = chosen(list(options.names), options.size)
    folder = settings.data_dir / "chaos" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    folder.mkdir(parents=True)
    ui, main = Ui(), asyncio.current_task()
    assert main is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, main.cancel)
    outcomes: list[Outcome] = []
    try:
        with logs_in(folder):
            report = await _run(folder, options, faults, ui, outcomes)
    except asyncio.CancelledError:
        if outcomes:
            _write(to_json(outcomes, [fault.name for fault in faults[len(outcomes) :]]), options)
        raise
    _write(report, options)
    if report["passed"]:
        forget(folder)
    else:
        ui.say(f"Logs and data are kept in {folder}")
    return bool(report["passed"])


def _write(report: dict[str, Any], options: ChaosOptions) -> None:
    text = json.dumps(report, indent=2)
    if options.report_file:
        options.report_file.write_text(text + "\n")
    if options.as_json:
        print(text)


async def _run(
    folder: Path, options: ChaosOptions, faults: Sequence[Fault], ui: Ui, outcomes: list[Outcome]
) -> dict[str, Any]:
    """The report as JSON; shown as a table on the way. `outcomes` are those of the faults that have ended."""
    console = Console(stderr=options.as_json)
    if not console.is_terminal:
        console.width = FILE_WIDTH
    soaks = options.soak_s is not None
    making = ground(folder, options.model_dir, options.size, options.rate_per_s, options.workers, few_rejects=soaks)
    async with making as shared:
        if options.soak_s is not None:
            soaked = await soak(shared, SoakPlan(options.soak_s, options.workers or 2), ui.say)
            show_soak(console, soaked)
            return soaked.to_json()
        try:
            await run_all(shared, faults, ui.say, outcomes)
        finally:
            if outcomes:
                show(console, outcomes)
    return to_json(outcomes)
