"""`lineside quantise|novelty|benchmark`: other forms of a model, and their worth. Parse and delegate only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json
from streams.cli_train import parse_size
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
def novelty(
    settings: Settings,
    data: Annotated[Path, typer.Option(help="A data set; good parts of its train and validation splits are taken.")],
    out: Annotated[Path, typer.Option(help="Directory of the model that knows good parts.")],
    model: Annotated[
        Path | None, typer.Option(help="A model to add it to. Default: a new one, of good parts alone.")
    ] = None,
    false_alarm: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Share of good parts that may be called novel.")
    ] = 0.01,
    places: Annotated[int, typer.Option(min=1, max=20_000, help="That the bank keeps.")] = 1_000,
    pictures: Annotated[int, typer.Option(min=16, help="Good parts from which the bank is chosen, at most.")] = 500,
    name: Annotated[str, typer.Option(help="Of a new model.")] = "good-only",
    arch: Annotated[str, typer.Option(help="Of a new model, a ResNet.")] = "resnet18",
    size: Annotated[str, typer.Option(help="Of a new model's input in pixels.")] = "224x224",
    practice: Annotated[int, typer.Option(min=0, help="Pictures with made-up marks that a new model sees.")] = 2_560,
    seed: Annotated[int, typer.Option(help="Same seed, same bank.")] = 0,
    as_json: Json = False,
) -> None:
    """Let a model know what good parts look like, without a single defect: what is like none of them is UNSURE.

    The threshold is chosen on good parts that the bank has not seen, so that no more than the given share of good parts
    is called novel, in the mean. Every verdict carries the novelty. A new model of good parts alone decides nothing
    else: it is how a line starts that has no defects yet.

    Examples: `lineside novelty --data flanges-1 --out models/flange-good`,
    `lineside novelty --model models/flange-40 --data flanges-1 --out models/flange-40n --false-alarm 0.005`.
    """
    from streams.commands.novelty import NoveltyOptions, novelty_command

    options = NoveltyOptions(
        model=model,
        name=name,
        arch=arch,
        size=parse_size(size),
        practice=practice,
        data=data,
        out=out,
        false_alarm=false_alarm,
        places=places,
        pictures=pictures,
        seed=seed,
        as_json=as_json,
    )
    novelty_command(options)


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
