"""`lineside train|evaluate`: models from labelled pictures, and what they are worth. Parse and delegate only."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Device, Folder, Json, Labels, PrecisionText, Source, parse_precision
from streams.commands.options import ensure_data_dir, with_settings
from streams.commands.sources import SourceKind, SourceRequest
from streams.settings import Settings

app = typer.Typer()
Data = Annotated[
    Path | None, typer.Option(help="A data set of `lineside dataset build`, with its splits, in place of a source.")
]


class SplitName(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


@app.command()
@with_settings()
def train(
    settings: Settings,
    source: Source = SourceKind.SYNTHETIC,
    folder: Folder = None,
    labels: Labels = "folders",
    data: Data = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the model. Default: in the data directory.")] = None,
    as_json: Json = False,
) -> None:
    """Train a model on labelled pictures and show its held-out figures. Minutes on two cores.

    Examples: `lineside train --source folder --folder labelled --out models/flange-40`,
    `lineside train --data flanges-1`.
    """
    from streams.commands.train import train_command

    ensure_data_dir(settings)
    request = SourceRequest(kind=source, folder=folder, labels=labels)
    asyncio.run(train_command(settings, request, data, out, as_json))


@app.command()
@with_settings()
def evaluate(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Directory of a model.")],
    source: Source = SourceKind.SYNTHETIC,
    folder: Folder = None,
    labels: Labels = "folders",
    data: Data = None,
    split: Annotated[SplitName, typer.Option(help="Of the pictures.")] = SplitName.TEST,
    report: Annotated[Path | None, typer.Option(help="Write a report, one HTML file that holds all.")] = None,
    robust: Annotated[
        bool,
        typer.Option("--robustness", help="Also under blur, noise, other light, dirt and so on: 31 times the time."),
    ] = False,
    device: Device = "auto",
    precision: PrecisionText = "auto",
    as_json: Json = False,
) -> None:
    """Evaluate a model on labelled pictures: escape and overkill with exact intervals, order, calibration, slices.

    Scores come from the engine that would serve. Examples:
    `lineside evaluate --model models/flange-40 --data flanges-1`,
    `lineside evaluate --model models/flange-40 --data flanges-1 --robustness --report flange-40.html`.
    """
    from streams.commands.evaluate import EvaluateOptions, evaluate_command

    options = EvaluateOptions(
        model=model,
        data=data,
        split=split.value,
        report=report,
        robust=robust,
        device=device,
        precision=parse_precision(precision),
        as_json=as_json,
    )
    evaluate_command(SourceRequest(kind=source, folder=folder, labels=labels), options)
