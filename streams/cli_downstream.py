"""`lineside parts|statistics|sampler|locate|shadow|guard`: what works on verdicts. Parse and delegate only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Device, Json, PrecisionText, ReadyFile, announcer, parse_precision
from streams.commands.options import ensure_data_dir, with_settings
from streams.heap import stay_small
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

    ensure_data_dir(settings)
    stay_small()
    asyncio.run(run_parts(settings, announcer("deciding parts; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def statistics(settings: Settings, ready_file: ReadyFile = None) -> None:
    """Count verdicts and parts into windows of line statistics, until SIGTERM or Ctrl-C.

    Example: `LINESIDE_WINDOW_S=60 LINESIDE_LATENESS_S=120 lineside statistics`.
    """
    from streams.commands.statistics import run_statistics

    ensure_data_dir(settings)
    stay_small()
    asyncio.run(run_statistics(settings, announcer("counting; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def sampler(
    settings: Settings,
    model: Annotated[
        Path | None, typer.Option(help="Compare pictures by what this model sees. Default: by their mean colours.")
    ] = None,
    once: Annotated[bool, typer.Option(help="Sample what is over and stop, instead of following the line.")] = False,
    since: Annotated[
        str | None,
        typer.Option(help="Time, or time ago such as 2d. Default: the day of the newest sample, else today."),
    ] = None,
    until: Annotated[str | None, typer.Option(help="With --once: time, or time ago such as 12h. Default: now.")] = None,
    dry_run: Annotated[
        bool, typer.Option(help="With --once: show what would be chosen; publish and keep nothing.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Same seed, same samples. Default: LINESIDE_SAMPLE_SEED.")] = None,
    as_json: Json = False,
    ready_file: ReadyFile = None,
) -> None:
    """Choose frames that people shall look at and models learn from, until SIGTERM or Ctrl-C.

    Every line and day has a budget (LINESIDE_SAMPLE_BUDGET_PER_LINE, pictures), shared among random audits of passes,
    frames near the limit, disagreement, rare classes, drifted cameras and corrections (LINESIDE_SAMPLE_SHARES). No
    picture is chosen twice; each is pinned in the frame store before it is published. Run one for an installation.
    Examples: `lineside sampler --model models/flange-40`, `lineside sampler --once --since 7d --dry-run`.
    """
    from streams.commands.sampler import SamplerOptions, run_sampler

    ensure_data_dir(settings)
    options = SamplerOptions(
        once=once, since=since, until=until, dry_run=dry_run, as_json=as_json, seed=seed, model_dir=model
    )
    stay_small()
    asyncio.run(run_sampler(settings, options, announcer("sampling; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def locate(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Directory of a model of `lineside locator train`.")],
    max_age: Annotated[
        float, typer.Option(min=1, help="Seconds: a defect that is older is passed by, where this falls behind.")
    ] = 3600.0,
    ready_file: ReadyFile = None,
) -> None:
    """Say where the defects of rejected frames lie, until SIGTERM or Ctrl-C: boxes and outlines for people.

    A second stage, off the verdict's path: it decides nothing, and no verdict waits for it. Its events go to the topic
    `locations`, and rework stations draw them. Run more of them to share the work. Example:
    `lineside locate --model models/where-1`.
    """
    from streams.commands.locate import run_locate

    ensure_data_dir(settings)
    stay_small()
    asyncio.run(run_locate(settings, model, max_age, announcer("locating defects; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def shadow(
    settings: Settings,
    max_behind: Annotated[
        float, typer.Option(min=0.1, help="Seconds: a frame that is older is left out, so that the newest are judged.")
    ] = 5.0,
    device: Device = "auto",
    precision: PrecisionText = "auto",
    ready_file: ReadyFile = None,
) -> None:
    """Judge the line's frames by the shadow models of its recipes too, until SIGTERM or Ctrl-C.

    A shadow acts on nothing: both verdicts of each frame go to the topic `shadow`, and `lineside recipe compare` tells
    what differs. It takes the processor time that the line leaves over, and leaves frames out where that is too little;
    workers know nothing of it. On a GPU machine give it --device openvino:CPU, or run it elsewhere. Run more of them to
    share the work. Example: `lineside recipe set … --shadow flange-42`, then `lineside shadow`.
    """
    from streams.commands.shadow import run_shadow
    from streams.serving import WorkerOptions

    ensure_data_dir(settings)
    stay_small()
    options = WorkerOptions(model_dirs=(), device=device, precision=parse_precision(precision))
    asyncio.run(run_shadow(settings, options, max_behind, announcer("shadowing; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def guard(
    settings: Settings,
    since: Annotated[str, typer.Option(help="How far back verdicts are read at the start, such as 24h.")] = "24h",
    ready_file: ReadyFile = None,
) -> None:
    """Take models that are new on a line back where they do badly, until SIGTERM or Ctrl-C.

    A canary is compared with the model beside it, a model newly in force, for its first 2,000 frames, with the one
    before it: frames rejected, unsure, and not judged, looked at after 50, 100, 200 … frames. Where it is worse beyond
    chance, a recipe without it is published (author: guard, with the figures as its reason) and an alarm raised. Run
    one for an installation. Example: `lineside guard`.
    """
    from streams.commands.guard import run_guard
    from streams.tail import parse_ago

    ensure_data_dir(settings)
    stay_small()
    asyncio.run(run_guard(settings, parse_ago("--since", since), announcer("guarding; Ctrl-C stops", ready_file)))
