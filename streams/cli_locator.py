"""`lineside locator train|evaluate`: where in a picture a defect is. Parse and delegate only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json
from streams.cli_train import SymmetryName
from streams.commands.options import ensure_data_dir, with_settings
from streams.errors import CallerError
from streams.settings import Settings

app = typer.Typer()
locator = typer.Typer(no_args_is_help=True, help="Locators: Mask R-CNNs that say where a defect is; they never decide.")
app.add_typer(locator, name="locator")

Data = Annotated[Path, typer.Option(help="A data set of `lineside dataset build` whose pictures have boxes (COCO).")]


class ArchName(StrEnum):
    RESNET18 = "maskrcnn_resnet18_fpn"
    RESNET50 = "maskrcnn_resnet50_fpn"


@locator.command("train")
@with_settings()
def locator_train(
    settings: Settings,
    data: Data,
    out: Annotated[Path | None, typer.Option(help="Directory of the locator. Default: in the data directory.")] = None,
    name: Annotated[str | None, typer.Option(help="The locator's id. Default: by the data set.")] = None,
    arch: Annotated[ArchName | None, typer.Option(help="Default: of the weights to start with, else resnet18.")] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            help="Weights to begin with: a locator's or a classifier's directory, or torchvision's Mask R-CNN or "
            "ResNet as safetensors."
        ),
    ] = None,
    sides: Annotated[
        str | None, typer.Option(help="Of the input: its shorter side, and the longer at most, such as 480,800.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times that all marked pictures are shown.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Pictures a step; 4 at least without --start.")] = None,
    rate: Annotated[float | None, typer.Option(min=0, help="Peak learning rate; a third for a body that came.")] = None,
    symmetry: Annotated[
        list[SymmetryName] | None,
        typer.Option(help="How the product may lie: mirror (left-right), flip (top-down), turn (quarters), or none."),
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes that fitting may take; the schedule fits.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same weights, unless --budget cuts it short.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a locator on pictures whose defects people marked with boxes, and outlines where they have any.

    Bad pictures without a box teach nothing, boxes without an outline no mask. A training that was ended begins anew
    and leaves nothing behind. Weights are never downloaded.

    Examples: `lineside locator train --data flanges-1 --start maskrcnn_resnet50_fpn_coco.safetensors`,
    `lineside locator train --data flanges-1 --start models/flange-40 --sides 480,640 --budget 60`.
    """
    from streams.commands.locator import LocatorTrainOptions, train_locator_command

    ensure_data_dir(settings)
    symmetries = None if symmetry is None else tuple(s.value for s in symmetry if s is not SymmetryName.NONE)
    changes = {
        "epochs": epochs,
        "batch": batch,
        "rate": rate,
        "symmetries": symmetries,
        "budget_s": None if budget is None else 60 * budget,
    }
    options = LocatorTrainOptions(
        data=data,
        out=out,
        name=name,
        arch=arch and arch.value,
        start=start,
        sides=parse_sides(sides) if sides else None,
        changes={name: value for name, value in changes.items() if value is not None},
        seed=seed,
        as_json=as_json,
    )
    train_locator_command(settings, options)


@locator.command("evaluate")
@with_settings()
def locator_evaluate(
    settings: Settings,
    model: Annotated[Path, typer.Option(help="Directory of a locator.")],
    data: Data,
    as_json: Json = False,
) -> None:
    """Evaluate a locator on a data set's test split: marked defects found, with exact intervals, masks, and speed.

    Example: `lineside locator evaluate --model models/flange-where --data flanges-1`.
    """
    from streams.commands.locator import evaluate_locator_command

    evaluate_locator_command(model, data, as_json)


def parse_sides(text: str) -> tuple[int, int]:
    """`480,800` to two numbers. CallerError for anything else."""
    shorter, _, longer = text.partition(",")
    if not (shorter.isdecimal() and longer.isdecimal()) or max(len(shorter), len(longer)) > 6:
        raise CallerError(f"--sides must look like 480,800 (the shorter side, the longer at most); came {text!r:.40}")
    return int(shorter), int(longer)
