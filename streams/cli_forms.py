"""`lineside quantise|benchmark`: other forms of a model, their speed and their worth. Parse and delegate only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli_models import parse_size
from streams.cli_options import Json
from streams.commands.options import with_settings
from streams.errors import CallerError
from streams.settings import Settings

app = typer.Typer()
MostFlips = Annotated[float, typer.Option(min=0, max=1, help="Share of pictures that may be decided otherwise.")]


@app.command()
@with_settings()
def quantise(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Directory of a model.")],
    data: Annotated[Path, typer.Option(help="A data set of `lineside dataset build`, with defects in every split.")],
    out: Annotated[Path, typer.Option(help="Directory of the model with its int8 network.")],
    pictures: Annotated[int, typer.Option(min=16, help="By which activations' ranges are found.")] = 300,
    most_difference: Annotated[
        float, typer.Option(min=0, max=1, help="Of scores, in the mean; layers that cost more stay in floating point.")
    ] = 0.01,
    most_flips: MostFlips = 0.01,
    as_json: Json = False,
) -> None:
    """Quantise a model to int8: several times as fast on a CPU, if it decides as before.

    Ranges come from the train split, all classes alike; layers are checked on validation; the test split compares it
    with the float32 model. One that lets more bad parts pass, or decides otherwise too often, is refused. The weights
    stay in the model, so float32 can be had at any time. Needs NNCF: lineside[quantise].

    Example: `lineside quantise --model models/flange-40 --data flanges-1 --out models/flange-40-int8`.
    """
    from streams.commands.quantise import QuantiseOptions, quantise_command

    options = QuantiseOptions(
        model=model,
        data=data,
        out=out,
        pictures=pictures,
        most_difference=most_difference,
        most_flips=most_flips,
        as_json=as_json,
    )
    quantise_command(options)


@app.command()
@with_settings()
def benchmark(
    settings: Settings,
    model: Annotated[list[Path] | None, typer.Option(help="Directory of a model; may be given again.")] = None,
    arch: Annotated[
        list[str] | None, typer.Option(help="An architecture with random weights, for speed alone; may be given again.")
    ] = None,
    size: Annotated[str, typer.Option(help="Of an architecture's input in pixels.")] = "224x224",
    data: Annotated[Path | None, typer.Option(help="A data set, whose test split shows each form's quality.")] = None,
    batch: Annotated[int, typer.Option(min=1, max=256, help="Pictures a batch.")] = 32,
    seconds: Annotated[float, typer.Option(min=0.1, help="Of each engine a round.")] = 2.0,
    rounds: Annotated[int, typer.Option(min=1, help="All engines in turn, so that a noisy machine harms all.")] = 3,
    most_flips: MostFlips = 0.01,
    give: Annotated[
        float, typer.Option(min=0, max=1, help="Balanced accuracy that speed may cost, against the best.")
    ] = 0.005,
    as_json: Json = False,
) -> None:
    """Time models on every engine and precision of this machine, compare their decisions, recommend one.

    Examples: `lineside benchmark --model models/flange-40 --model models/flange-40-r50 --data flanges-1`,
    `lineside benchmark --arch resnet18 --arch resnet50 --arch resnet152`.
    """
    from streams.commands.benchmark import BenchmarkOptions, benchmark_command

    if not (model or arch):
        raise CallerError("nothing to time: give --model DIR, or --arch resnet18")
    options = BenchmarkOptions(
        models=model or [],
        archs=arch or [],
        size=parse_size(size),
        data=data,
        batch=batch,
        seconds=seconds,
        rounds=rounds,
        most_flips=most_flips,
        give=give,
        as_json=as_json,
    )
    benchmark_command(options)
