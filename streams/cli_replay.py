"""`lineside replay`: history judged again. Parse and delegate only."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from streams.cli_options import Device, Json, PrecisionText, ReadyFile, announcer, parse_precision
from streams.commands.options import ensure_data_dir, with_settings
from streams.errors import CallerError
from streams.settings import Settings

app = typer.Typer()
Where = Annotated[str | None, typer.Option(help="Frames of this one alone. Default: all.")]


@app.command()
@with_settings()
def replay(
    settings: Settings,
    since: Annotated[
        str | None, typer.Option("--from", help="First append time: ISO 8601 with its zone, or a time ago such as 8h.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="End of the append times, exclusive. Default: now.")] = None,
    plant: Where = None,
    line: Where = None,
    station: Where = None,
    sku: Where = None,
    offsets: Annotated[
        list[str] | None, typer.Option(help="PARTITION:FIRST-LAST of the frames topic; may be given again.")
    ] = None,
    part: Annotated[list[str] | None, typer.Option(help="Frames of this part; may be given again.")] = None,
    chosen: Annotated[
        Path | None, typer.Option("--set", help="A saved set: Parquet, CSV or text with frame_id or part_id.")
    ] = None,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Directory of the model that judges; again: by recipe. Default: as in force."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="as-of (in force then), model (its own limits), or a JSON file with thresholds.")
    ] = "as-of",
    default_recipe: Annotated[
        bool, typer.Option("--default-recipe", help="The model's own limits where no recipe was in force.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="Name of the run. Default: the model and the time.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="Times real time. Default: as fast as the engine goes.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the run.")] = 1,
    device: Device = "auto",
    precision: PrecisionText = "auto",
    yields: Annotated[
        bool, typer.Option("--yield/--no-yield", help="Leave the processor to everything else on this machine.")
    ] = True,
    dry_run: Annotated[bool, typer.Option(help="Show the coverage and stop.")] = False,
    resume: Annotated[str | None, typer.Option(help="Go on with this run, as it was asked for.")] = None,
    join: Annotated[str | None, typer.Option(help="One more worker for a run that is under way.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the runs kept here.")] = False,
    as_json: Json = False,
    ready_file: ReadyFile = None,
) -> None:
    """Judge frames of the past again, by any model, without any effect on a line.

    The range is read from the topic and the archive as one history, up to what lies there now; verdicts go to
    replay.<run>.verdicts with simulated=true. It opens with the coverage: which frames and pictures are still to be
    had. Killed or stopped it is gone on with by --resume. Examples:
    `lineside replay --from 8h --line L1 --model models/candidate`, `lineside replay --from 8h` (as it was decided),
    `lineside replay --from 2026-03-01T06:00Z --to 2026-03-01T14:00Z --model models/c --recipe model --run trial-7`,
    `lineside replay --set suspects.parquet --model models/candidate --dry-run`.
    """
    from streams.commands.yielding import in_a_session_of_its_own

    if yields and not (list_ or dry_run):
        in_a_session_of_its_own()  # before anything starts a thread
    from streams.commands import replay as command
    from streams.commands.replay_report import list_runs
    from streams.commands.sampler import parse_time
    from streams.replay.saved_set import read_set
    from streams.replay.selection import Selection, parse_offsets

    if list_:
        list_runs(settings, as_json)
        return
    ensure_data_dir(settings)
    frame_ids, part_ids = read_set(chosen) if chosen else (frozenset(), frozenset())
    options = command.ReplayOptions(
        selection=Selection(
            since=parse_time("--from", since),
            until=parse_time("--to", until),
            plant=plant,
            line=line,
            station=station,
            sku=sku,
            offsets=parse_offsets(offsets or []),
            part_ids=part_ids | frozenset(part or []),
            frame_ids=frame_ids,
        ),
        model_dirs=model or [],
        recipe=_recipe(recipe),
        default_recipe=default_recipe,
        run=run,
        speed=speed,
        workers=workers,
        device=device,
        precision=parse_precision(precision),
        yields=yields,
        as_json=as_json,
        dry_run=dry_run,
    )
    if join:
        ready = announcer(f"working on {join}; Ctrl-C stops", ready_file)
        asyncio.run(command.join(settings, join, options, ready, stay=ready_file is not None))
        return
    work = command.resume(settings, resume, options) if resume else command.start_replay(settings, options)
    raise typer.Exit(0 if asyncio.run(work) else 1)


def _recipe(text: str) -> str | dict[str, Any]:
    if text in ("as-of", "model"):
        return text
    try:
        asked = json.loads(Path(text).read_text())
    except (OSError, ValueError) as error:
        raise CallerError(
            f"--recipe must be as-of, model, or a JSON file such as `lineside whatif` prints; {text!r:.80}: {error}"
        ) from error
    if not isinstance(asked, dict):
        raise CallerError(f"{text} must hold one JSON object with thresholds; came {type(asked).__name__}")
    return asked
