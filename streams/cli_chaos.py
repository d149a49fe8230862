"""`lineside chaos`: the fault suite. Parse and delegate only."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json
from streams.commands.options import ensure_data_dir, with_settings
from streams.errors import CallerError
from streams.settings import Settings

app = typer.Typer()
DURATION = re.compile(r"(\d+)([smh])")
TERMINATED = 143  # as a shell says of a program that SIGTERM ended
SECONDS = {"s": 1, "m": 60, "h": 3600}


@app.command()
@with_settings()
def chaos(
    settings: Settings,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAMES]...", help="Faults. Default: all.")] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Show the faults; run nothing.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="Seconds a fault, and the quick ones alone.")] = False,
    long: Annotated[bool, typer.Option("--long", help="Minutes a fault, and the long ones too.")] = False,
    rate: Annotated[float, typer.Option(min=1, help="Frames a second.")] = 150.0,
    workers: Annotated[
        int, typer.Option(min=0, help="Workers, where a fault does not need one alone. 0: as the fault says.")
    ] = 0,
    model: Annotated[
        Path | None, typer.Option("--model", help="Directory of a model. Default: a tiny one of random weights.")
    ] = None,
    soak: Annotated[
        str | None, typer.Option(help="Instead of faults, load for this long, such as 30m, and a SIGKILL a minute.")
    ] = None,
    as_json: Json = False,
    report: Annotated[Path | None, typer.Option(help="Write the report, as JSON, to this file too.")] = None,
) -> None:
    """Cause faults on a Kafka of its own with real workers under load, and measure every promise.

    Kills, outages, floods, poison, wrong clocks: each with its frames lost, copies, contradictions, breaks of order,
    commits ahead of results and the time until every partition goes on. Touches no other Kafka. Exits 1 where any fault
    fails. Examples: `lineside chaos --quick`, `lineside chaos kill-worker broker-stop-30`, `lineside chaos --soak 30m`.
    """
    from streams.chaos.fault import Size
    from streams.commands.chaos import ChaosOptions, list_faults, run_chaos

    if list_them:
        list_faults(as_json)
        return
    if quick and long:
        raise CallerError("--quick and --long exclude each other; give one")
    ensure_data_dir(settings)
    options = ChaosOptions(
        names=names or (),
        size=Size.QUICK if quick else Size.LONG if long else Size.NORMAL,
        rate_per_s=rate,
        workers=workers,
        model_dir=model,
        soak_s=_seconds(soak) if soak else None,
        as_json=as_json,
        report_file=report,
    )
    try:
        passed = asyncio.run(run_chaos(settings, options))
    except asyncio.CancelledError:  # SIGTERM; all is ended by now
        raise typer.Exit(TERMINATED) from None
    if not passed:
        raise typer.Exit(1)


def _seconds(text: str) -> int:
    match = DURATION.fullmatch(text)
    if match is None or not int(match[1]):
        raise CallerError(f"--soak must be a number with s, m or h, such as 30m; came {text!r:.40}")
    return int(match[1]) * SECONDS[match[2]]
