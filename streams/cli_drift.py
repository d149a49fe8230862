"""`lineside drift …`: cameras whose pictures, or scores, have become others. Parse and delegate only."""

from __future__ import annotations

import asyncio
import getpass
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json, ReadyFile, announcer
from streams.commands.options import ensure_data_dir, with_settings
from streams.heap import stay_small
from streams.settings import Settings

app = typer.Typer()
drift = typer.Typer()
app.add_typer(drift, name="drift")


@drift.callback(invoke_without_command=True)
@with_settings()
def watch(
    context: typer.Context,
    settings: Settings,
    model: Annotated[
        list[Path] | None,
        typer.Option(help="Directory of a model that is not released; may be given again. Released ones are found."),
    ] = None,
    learn_frames: Annotated[
        int, typer.Option(min=100, max=100_000, help="Frames of a camera and SKU that its reference is learned from.")
    ] = 500,
    no_rejects_minutes: Annotated[
        float,
        typer.Option(min=1, help="Minutes without a reject, where some were usual, from which on it may be wrong."),
    ] = 60.0,
    ready_file: ReadyFile = None,
) -> None:
    """Watch how pictures are taken and scored, until SIGTERM or Ctrl-C; show it, or teach what is usual.

    Of each camera and SKU the first frames say what is usual: light, contrast, sharpness, clipped levels, where edges
    lie; of scores and novelty what the model's artifact says. Windows of 50 to 1,000 frames are held against it.
    What has moved, a camera that stands still or repeats itself, and rejects that stay away become alarms with
    pictures; the sampler takes frames of such cameras. Run one for an installation. Examples: `lineside drift`,
    `lineside drift --learn-frames 2000 --no-rejects-minutes 120`, `lineside drift show`,
    `lineside drift teach --plant plant-1 --line line-1 --station station-1 --why "new lamp"`.
    """
    if context.invoked_subcommand is not None:
        return
    from streams.commands.drift import run_drift
    from streams.downstream.drift.service import DriftOptions

    ensure_data_dir(settings)
    stay_small()
    options = DriftOptions(
        lesson=learn_frames, no_rejects=timedelta(minutes=no_rejects_minutes), models=tuple(model or ())
    )
    asyncio.run(run_drift(settings, options, announcer("watching cameras; Ctrl-C stops", ready_file)))


@drift.command("show")
@with_settings()
def show(settings: Settings, as_json: Json = False) -> None:
    """Show of each camera and SKU what is usual, the newest 200 frames against it, and the alarms that stand.

    Effect: 0 is as usual, 1 is wholly apart; chance: the probability that it is nothing but luck. Example:
    `lineside drift show --json`.
    """
    from streams.commands.drift import show_drift

    show_drift(settings, as_json)


@drift.command("teach")
@with_settings()
def teach(
    settings: Settings,
    plant: Annotated[str, typer.Option(help="Plant, as in the frames.")],
    line: Annotated[str, typer.Option(help="Line, as in the frames.")],
    station: Annotated[str, typer.Option(help="Station, as in the frames.")],
    camera: Annotated[str | None, typer.Option(help="This camera alone. Default: all of the station.")] = None,
    sku: Annotated[str | None, typer.Option(help="This product alone. Default: all that were seen.")] = None,
    frames: Annotated[
        int, typer.Option(min=100, max=50_000, help="Newest frames of each product to learn from.")
    ] = 500,
    since: Annotated[
        str | None, typer.Option(help="None older than this: a time, or a time ago such as 20m. Default: any.")
    ] = None,
    why: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
    by: Annotated[str | None, typer.Option(help="Who does it, for the audit log. Default: your login name.")] = None,
    as_json: Json = False,
) -> None:
    """Make the newest frames what is usual, such as after a new lamp or lens. It goes into the audit log first.

    Example: `lineside drift teach --plant plant-1 --line line-1 --station station-1 --since 20m --why "new lamp"`.
    """
    from streams.commands.drift import teach_drift
    from streams.commands.sampler import parse_time
    from streams.downstream.drift.teaching import Lesson

    lesson = Lesson(
        plant=plant,
        line=line,
        station=station,
        camera=camera,
        sku=sku,
        frames=frames,
        since=parse_time("--since", since),
        by=by or getpass.getuser(),
        why=why,
    )
    teach_drift(settings, lesson, as_json)
