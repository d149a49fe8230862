"""`lineside evaluate|calibrate`: what a model is worth, by labelled pictures. Parse and delegate only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Data, Device, Folder, Json, Labels, PrecisionText, Source, parse_precision
from streams.commands.options import with_settings
from streams.commands.sources import SourceKind, SourceRequest
from streams.settings import Settings

app = typer.Typer()


class SplitName(StrEnum):
    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


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


class RuleName(StrEnum):
    ZERO_ESCAPE = "zero-escape"
    COST = "cost"
    OVERKILL = "overkill"


@app.command()
@with_settings()
def calibrate(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Directory of a model.")],
    data: Annotated[Path, typer.Option(help="A data set of `lineside dataset build`: its validation and test splits.")],
    out: Annotated[Path, typer.Option(help="Directory of the calibrated model.")],
    rule: Annotated[RuleName, typer.Option(help="How the threshold is chosen.")] = RuleName.ZERO_ESCAPE,
    escape_cost: Annotated[float, typer.Option(min=0, help="Of one escape, for --rule cost; any currency.")] = 100.0,
    overkill_cost: Annotated[float, typer.Option(min=0, help="Of one overkill, for --rule cost.")] = 1.0,
    overkill: Annotated[float, typer.Option(min=0, max=1, help="Share of good parts, for --rule overkill.")] = 0.01,
    prevalence: Annotated[
        float, typer.Option(min=0.000001, max=0.999999, help="Share of bad parts on the line, such as 0.01.")
    ] = 0.01,
    reviewed: Annotated[
        float, typer.Option(min=0, max=1, help="Share of parts that the stations can look at, rejects included.")
    ] = 0.05,
    device: Device = "auto",
    precision: PrecisionText = "auto",
    as_json: Json = False,
) -> None:
    """Calibrate a model: its temperature, its threshold by a rule, and how much people are asked about.

    On the validation split, weighed to the line's share of bad parts; the test split measures what came out. Refuses
    pictures without defects. Rules: `zero-escape` rejects every bad part seen and says what escape that can't rule out;
    `cost` is the cheapest; `overkill` rejects no more good parts than given.

    Examples: `lineside calibrate --model models/flange-40 --data flanges-1 --out models/flange-41`,
    `lineside calibrate --model models/flange-40 --data flanges-1 --out models/flange-41 --rule cost --escape-cost 500`.
    """
    from models.calibrate import LeastCostRule, OverkillRule, ThresholdRule, ZeroEscapeRule
    from models.recalibrate import Plan
    from streams.commands.calibrate import CalibrateOptions, calibrate_command

    chosen: ThresholdRule = ZeroEscapeRule()
    if rule is RuleName.COST:
        chosen = LeastCostRule(escape_cost, overkill_cost, prevalence)
    elif rule is RuleName.OVERKILL:
        chosen = OverkillRule(overkill)
    options = CalibrateOptions(
        model=model,
        data=data,
        out=out,
        plan=Plan(rule=chosen, prevalence=prevalence, reviewed=reviewed),
        device=device,
        precision=parse_precision(precision),
        as_json=as_json,
    )
    calibrate_command(options)
