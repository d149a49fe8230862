"""`lineside …`: parse and delegate only. Exit status: 0 done, 2 the caller's mistake, 1 anything else."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from streams import (
    cli_broker,
    cli_chaos,
    cli_compare,
    cli_dataset,
    cli_deadletters,
    cli_downstream,
    cli_drift,
    cli_forms,
    cli_health,
    cli_history,
    cli_locator,
    cli_models,
    cli_pages,
    cli_recipe,
    cli_registry,
    cli_replay,
    cli_retrain,
    cli_store,
    cli_topics,
    cli_train,
)
from streams.capture.folder import journal_of
from streams.capture.source import Camera
from streams.capture.synthetic import SyntheticOptions
from streams.cli_options import (
    Burst,
    Count,
    DeadlineMs,
    DefectShare,
    Device,
    Distinct,
    Folder,
    Frames,
    Json,
    Labels,
    ModelDir,
    Name,
    NamePattern,
    Port,
    PrecisionText,
    Rate,
    ReadyFile,
    Seed,
    Skip,
    Source,
    Views,
    Watch,
    announcer,
    parse_precision,
)
from streams.commands.options import ensure_data_dir, run, with_settings
from streams.commands.sources import SourceKind, SourceRequest
from streams.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Inspects parts on production lines as a stream: camera frames in, verdicts and defects out.",
)


@app.command()
@with_settings()
def up(
    settings: Settings,
    source: Source = SourceKind.SYNTHETIC,
    frames: Frames = None,
    folder: Folder = None,
    labels: Labels = "folders",
    rate: Rate = 25.0,
    lines: Count = 2,
    views: Views = 1,
    defect_share: DefectShare = 0.15,
    seed: Seed = 1,
    deadline_ms: DeadlineMs = None,
    model: ModelDir = None,
    locator: Annotated[
        Path | None, typer.Option(help="With --keep: directory of a model that says where defects lie.")
    ] = None,
    device: Device = "auto",
    precision: PrecisionText = "auto",
    broker_port: Port = 0,
    registry_port: Port = 0,
    dashboard_port: Port = 8080,
    station_port: Port = 8090,
    keep: Annotated[
        bool,
        typer.Option(help="Until Ctrl-C, with parts, statistics, drift, sampler, archive and pages."),
    ] = False,
    secure: Annotated[bool, typer.Option("--secure", help="TLS, and a user with its rights for each program.")] = False,
    as_json: Json = False,
) -> None:
    """Run the whole job on this machine: broker, topics, model, gateway, worker, then a report.

    With --keep it goes on, with everything that works on verdicts and the pages, and prints their addresses.
    Examples: `lineside up --frames 400`, `lineside up --keep`, `lineside up --source elpv --json`. Exits 1 when a
    frame was lost.
    """
    from streams.commands.ui import Ui
    from streams.commands.up import UpOptions
    from streams.commands.up import up as run_up

    ensure_data_dir(settings)
    synthetic = SyntheticOptions(
        frames=frames or (None if keep else 400),
        seed=seed,
        lines=lines,
        views=views,
        parts_per_s=rate,
        defect_share=defect_share,
        severity=(0.25, 1.0),
        deadline_ms=deadline_ms,
    )
    request = SourceRequest(
        kind=source, frames=frames, deadline_ms=deadline_ms, folder=folder, labels=labels, synthetic=synthetic
    )
    options = UpOptions(
        request=request,
        model_dir=model,
        locator_dir=locator,
        keep=keep,
        device=device,
        precision=precision,
        broker_port=broker_port,
        registry_port=registry_port,
        dashboard_port=dashboard_port,
        station_port=station_port,
        secure=secure,
    )
    ui = Ui()
    figures = asyncio.run(run_up(settings, options, ui))
    if as_json:
        print(json.dumps(figures.to_json(), indent=2))
    elif not keep:
        ui.report(figures)
    if figures.lost:
        raise typer.Exit(1)


@app.command()
@with_settings()
def gateway(
    settings: Settings,
    source: Source,
    frames: Frames = None,
    folder: Folder = None,
    watch: Watch = False,
    name_pattern: NamePattern = None,
    labels: Labels = None,
    skip_mismatches: Skip = False,
    plant: Name = "demo",
    line: Name = "line-1",
    station: Name = "station-1",
    camera: Name = "camera-1",
    sku: Name = "default",
    lines: Count = 1,
    stations: Count = 1,
    cameras: Count = 1,
    views: Views = 1,
    rate: Rate = 10.0,
    burst: Burst = 1,
    distinct: Distinct = 0,
    seed: Seed = 0,
    defect_share: DefectShare = 0.15,
    deadline_ms: DeadlineMs = None,
    as_json: Json = False,
) -> None:
    """Publish pictures as frames.

    Examples: `lineside gateway --source synthetic --lines 4 --rate 50`,
    `lineside gateway --source folder --folder shots --watch --name-pattern '{sku}_{part_id}_{view}.{ext}'`.
    """
    from streams.commands.gateway import run_gateway_command

    ensure_data_dir(settings)
    synthetic = SyntheticOptions(
        frames=frames,
        seed=seed,
        plant=plant,
        lines=lines,
        stations=stations,
        cameras=cameras,
        views=views,
        parts_per_s=rate,
        burst=burst,
        distinct=distinct,
        defect_share=defect_share,
        deadline_ms=deadline_ms,
    )
    request = SourceRequest(
        kind=source,
        frames=frames,
        camera=Camera(plant, line, station, camera),
        deadline_ms=deadline_ms,
        folder=folder,
        watch=watch,
        journal=journal_of(folder, settings.data_dir) if watch and folder else None,
        sku=sku,
        views=views,
        name_pattern=name_pattern,
        labels=labels,
        skip_mismatches=skip_mismatches,
        synthetic=synthetic,
    )
    asyncio.run(run_gateway_command(settings, request, as_json))


@app.command()
@with_settings()
def worker(
    settings: Settings,
    model: Annotated[
        list[Path] | None,
        typer.Option("--model", help="Directory of a model, beside released ones; may be repeated."),
    ] = None,
    default_recipe: Annotated[
        bool, typer.Option("--default-recipe", help="Judge by the model's own thresholds where no recipe is in force.")
    ] = False,
    device: Device = "auto",
    precision: PrecisionText = "auto",
    ready_file: ReadyFile = None,
) -> None:
    """Inspect frames until SIGTERM or Ctrl-C; frames under way are finished first.

    Released models (`lineside models release`) are loaded while it runs, and recipes put them in force. Examples:
    `lineside worker`, `lineside worker --model models/flange-40 --default-recipe`.
    """
    from streams.app import run_worker
    from streams.serving import WorkerOptions

    ensure_data_dir(settings)
    options = WorkerOptions(model or [], default_recipe, device, parse_precision(precision))
    asyncio.run(run_worker(settings, options, announcer("inspecting; Ctrl-C stops", ready_file)))


OTHERS = (
    *(cli_topics, cli_broker, cli_downstream, cli_drift, cli_dataset, cli_pages, cli_history, cli_replay),
    *(cli_compare, cli_store, cli_deadletters, cli_health, cli_chaos, cli_train, cli_models, cli_locator),
    *(cli_forms, cli_registry, cli_recipe, cli_retrain),
)
for others in OTHERS:
    app.add_typer(others.app)


def main() -> Any:
    """Entry of the console command."""
    sys.exit(run(app))


if __name__ == "__main__":
    main()
