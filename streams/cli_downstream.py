"""`lineside parts|statistics|sampler|dataset`: what works on verdicts. Parse and delegate only."""

from __future__ import annotations

import asyncio

import typer

from streams.cli_options import ReadyFile, announcer
from streams.commands.options import with_settings
from streams.settings import Settings

app = typer.Typer()


@app.command()
@with_settings()
def parts(settings: Settings, ready_file: ReadyFile = None) -> None:
    """Decide every part from the verdicts of its views, until SIGTERM or Ctrl-C.

    A part with a view that is missing, late or unreadable is never OK. Gaps in a camera's trigger numbers and
    uninspected parts become alarms. Example: `LINESIDE_PART_TIMEOUT_MS=3000 lineside parts`.
    """
    from streams.commands.parts import run_parts

    asyncio.run(run_parts(settings, announcer("deciding parts; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def statistics(settings: Settings, ready_file: ReadyFile = None) -> None:
    """Count verdicts and parts into windows of line statistics, until SIGTERM or Ctrl-C.

    Example: `LINESIDE_WINDOW_S=60 LINESIDE_LATENESS_S=120 lineside statistics`.
    """
    from streams.commands.statistics import run_statistics

    asyncio.run(run_statistics(settings, announcer("counting; Ctrl-C stops", ready_file)))
