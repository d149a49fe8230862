"""`lineside train`: a model from labelled pictures. Parse and delegate only."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli_options import Data, Folder, Json, Labels, Source, parse_precision
from streams.commands.options import ensure_data_dir, with_settings
from streams.commands.sources import SourceKind, SourceRequest
from streams.errors import CallerError
from streams.settings import Settings

if TYPE_CHECKING:
    from models.views import Region

app = typer.Typer()


class SymmetryName(StrEnum):
    NONE = "none"
    MIRROR = "mirror"
    FLIP = "flip"
    TURN = "turn"


class BalanceName(StrEnum):
    NONE = "none"
    OVERSAMPLE = "oversample"
    WEIGH = "weigh"


class TrainPrecision(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


@app.command()
@with_settings()
def train(
    settings: Settings,
    source: Source = SourceKind.SYNTHETIC,
    folder: Folder = None,
    labels: Labels = "folders",
    data: Data = None,
    pretrain: Annotated[
        Path | None,
        typer.Option(
            help="Learn from all pictures of this folder, without any label (self-supervised: it finds made-up "
            "defects), and keep weights for --start; --out is then a file, WEIGHTS.safetensors."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory of the model. Default: in the data directory.")] = None,
    name: Annotated[str | None, typer.Option(help="The model's id. Default: by source and architecture.")] = None,
    arch: Annotated[
        str | None,
        typer.Option(
            help="resnet18, 34, 50, 101, 152, resnext50_32x4d, wide_resnet50_2 and others; Vision Transformers: "
            "vit_ti_16, vit_s_16, vit_b_16 (224x224; give --start too)."
        ),
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="Of the network's input in pixels, such as 224x224; 32 a side at least.")
    ] = None,
    tile: Annotated[
        int | None,
        typer.Option(min=32, help="Look at overlapping squares of so many pixels, for small defects; needs boxes."),
    ] = None,
    overlap: Annotated[float | None, typer.Option(min=0, max=0.75, help="Share of its side that tiles share.")] = None,
    overview: Annotated[
        bool, typer.Option("--overview", help="With tiles: look at the whole too, for what is missing or large.")
    ] = False,
    region: Annotated[
        list[str] | None,
        typer.Option(help="Look here alone, by shares of the picture: NAME=LEFT,TOP,WIDTH,HEIGHT. May be repeated."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="Weights to begin with: a model's directory, a safetensors file, a .pth of torchvision's ImageNet "
            "weights, or the word imagenet: the newest of those, fetched once."
        ),
    ] = None,
    practice: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Pictures with made-up defects, shown first (self-supervised: no label is needed); to a ViT none by "
            "default.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Times that all pictures are shown.")] = None,
    batch: Annotated[int | None, typer.Option(min=2, help="Pictures a step.")] = None,
    rate: Annotated[
        float | None, typer.Option(min=0, help="Peak learning rate of the body; ten times that of the head.")
    ] = None,
    symmetry: Annotated[
        list[SymmetryName] | None,
        typer.Option(help="How the product may lie: mirror (left-right), flip (top-down), turn (quarters), or none."),
    ] = None,
    balance: Annotated[
        BalanceName | None, typer.Option(help="Rare classes shown more often, or weighed more, 8 times at most.")
    ] = None,
    soft_labels: Annotated[
        bool, typer.Option("--soft-labels", help="Experts' probabilities in place of labels.")
    ] = False,
    multi_label: Annotated[
        bool,
        typer.Option(
            "--multi-label",
            help="A picture may show several defects: each has a probability of its own. Labels by boxes (COCO).",
        ),
    ] = False,
    label_smoothing: Annotated[float | None, typer.Option(min=0, max=0.5, help="Share taken from the label.")] = None,
    mixup: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Good pictures mixed with good ones; the other's share at most."),
    ] = None,
    average: Annotated[
        float | None, typer.Option(min=0, max=0.99999, help="Decay of the moving average of weights, such as 0.999.")
    ] = None,
    freeze_norm: Annotated[
        bool, typer.Option("--freeze-norm", help="Leave BatchNorm as it came with --start; a ViT has none.")
    ] = False,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many epochs without a better order (AUROC) of validation.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, help="Minutes that fitting may take; the schedule fits.")
    ] = None,
    precision: Annotated[
        TrainPrecision,
        typer.Option(
            help="Of the forward pass; weights stay float32. auto: bf16 where the CPU multiplies it itself, else fp32; "
            "fp16 is many times slower on a CPU that can't."
        ),
    ] = TrainPrecision.AUTO,
    seed: Annotated[int | None, typer.Option(help="Same seed, same weights, unless --budget cuts it short.")] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew, also where a training was ended half-way.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Train a model on labelled pictures and show its held-out figures. Minutes on two cores.

    A training that was ended, by Ctrl-C or a power cut, goes on where it was when the same command is given again, and
    comes to the same weights. Nothing is fetched from elsewhere but what `--start imagenet` asks for, and that once.

    Examples: `lineside train --source folder --folder labelled --out models/flange-40`,
    `lineside train --data flanges-1`, `lineside train --data flanges-1 --size 224x224 --start imagenet`,
    `lineside train --data flanges-1 --arch resnet34 --size 224x224 --epochs 30 --balance oversample --average 0.999`,
    `lineside train --data castings-3 --tile 512 --size 224x224 --region "sealing face=0.1,0.2,0.8,0.3"`,
    `lineside train --data flanges-1 --multi-label`,
    `lineside train --pretrain shots --size 224x224 --out shots.safetensors`.
    """
    from streams.commands.pretrain import pretrain_command
    from streams.commands.train import TrainOptions, train_command

    ensure_data_dir(settings)
    request = SourceRequest(kind=source, folder=folder, labels=labels)
    width, height = parse_size(size) if size else (None, None)
    symmetries = None if symmetry is None else tuple(s.value for s in symmetry if s is not SymmetryName.NONE)
    changes = {
        "model_id": name,
        "arch": arch,
        "width": width,
        "height": height,
        "tile": tile,
        "overlap": overlap,
        "overview": overview or None,
        "regions": tuple(map(parse_region, region)) if region else None,
        "practice": practice,
        "epochs": epochs,
        "batch": batch,
        "trunk_rate": rate,
        "head_rate": None if rate is None else 10 * rate,
        "symmetries": symmetries,
        "balance": balance and balance.value,
        "soft_labels": soft_labels or None,
        "multi_label": multi_label or None,
        "label_smoothing": label_smoothing,
        "mixup": mixup,
        "average": average,
        "freeze_norm": freeze_norm or None,
        "patience": patience,
        "budget_s": None if budget is None else 60 * budget,
        "precision": parse_precision(precision.value),
        "seed": seed,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    options = TrainOptions(data=data, out=out, start=start, fresh=fresh, as_json=as_json, changes=given)
    if pretrain is None:
        asyncio.run(train_command(settings, request, options))
        return
    if data or folder:
        raise CallerError("--pretrain names the folder of pictures without labels; leave out --data and --folder")
    asyncio.run(pretrain_command(settings, pretrain, options))


def parse_size(text: str) -> tuple[int, int]:
    """`224x160` to width and height. CallerError for anything else."""
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise CallerError(f"--size must look like 224x224 (width x height in pixels); came {text!r:.40}")
    return int(width), int(height)


def parse_region(text: str) -> Region:
    """`lid=0.1,0.2,0.5,0.5` to a region by its left and upper edge and its size. CallerError for anything else."""
    from models.views import Region

    name, _, numbers = text.rpartition("=")
    try:
        left, top, width, height = map(float, numbers.split(","))
        return Region(name.strip(), left, top, width, height)
    except ValueError as error:
        raise CallerError(f"--region must look like lid=0.1,0.2,0.5,0.5; came {text!r:.80}: {error}") from error
