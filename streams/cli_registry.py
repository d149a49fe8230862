"""`lineside models …`: which models recipes may name. Parse and delegate only."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Device, Json
from streams.commands.options import with_settings
from streams.settings import Settings

app = typer.Typer()
models = typer.Typer(no_args_is_help=True, help="Models: released ones, and from elsewhere.")
app.add_typer(models, name="models")

ModelId = Annotated[str, typer.Argument(metavar="MODEL_ID", help="As the list shows it.")]
By = Annotated[str | None, typer.Option(help="Who does it, for the audit log. Default: your login name.")]


@models.command("list")
@with_settings()
def list_(
    settings: Settings,
    all_: Annotated[bool, typer.Option("--all", help="Retired ones too.")] = False,
    as_json: Json = False,
) -> None:
    """List released models. Example: `lineside models list --all`."""
    from streams.commands.models import list_models

    list_models(settings, all_, as_json)


@models.command("show")
@with_settings()
def show(settings: Settings, model_id: ModelId, as_json: Json = False) -> None:
    """Show a release: hashes, classes, evidence, people. Example: `lineside models show flange-40 --json`."""
    from streams.commands.models import show_model

    show_model(settings, model_id, as_json)


@models.command("release")
@with_settings()
def release(
    settings: Settings,
    model: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a model.")],
    data: Annotated[
        Path | None, typer.Option(help="A data set, whose test split the model has not seen: the evidence.")
    ] = None,
    most_escape: Annotated[float, typer.Option(min=0, max=1, help="Share of bad parts passed, at most.")] = 0.02,
    most_overkill: Annotated[float, typer.Option(min=0, max=1, help="Share of good parts rejected, at most.")] = 0.05,
    least_bad: Annotated[int, typer.Option(min=1, help="Bad parts in the evidence, at least.")] = 30,
    sku: Annotated[list[str] | None, typer.Option(help="A product that it is for; may be given again.")] = None,
    by: By = None,
    approved_by: Annotated[list[str] | None, typer.Option(help="Who approves; may be given again.")] = None,
    why: Annotated[str, typer.Option(help="Why, above all where the evidence falls short or there is none.")] = "",
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Release a model, so that recipes may name it: evaluate it, hold it against the gate, keep it, publish it.

    The gate asks for bad parts in the test split, for a low escape and a low overkill. A model that falls short, or has
    no evidence, is refused, unless somebody gives a reason, which is kept with the name. Releasing changes no line: a
    recipe puts a model in force. A model's id stands for these very files for ever.

    Examples: `lineside models release models/flange-41 --data flanges-1 --sku flange --approved-by maria`,
    `lineside models release models/flange-41 --why "trial on line 3, advice only"`.
    """
    from models.qualification import Gate
    from streams.commands.models import ReleaseOptions, release_model

    options = ReleaseOptions(
        model=model,
        data=data,
        gate=Gate(most_escape, most_overkill, least_bad),
        skus=tuple(sku or ()),
        by=by or getpass.getuser(),
        approved_by=tuple(approved_by or ()),
        why=why,
        device=device,
        as_json=as_json,
    )
    release_model(settings, options)


@models.command("retire")
@with_settings()
def retire(
    settings: Settings,
    model_id: ModelId,
    why: Annotated[str, typer.Option(help="Why, for the audit log.")],
    by: By = None,
    as_json: Json = False,
) -> None:
    """Retire a model: no recipe may name it any more. Its files stay.

    Example: `lineside models retire flange-40 --why "flange-41 finds porosity"`.
    """
    from streams.commands.models import retire_model

    retire_model(settings, model_id, by or getpass.getuser(), why, as_json)


@models.command("compare")
@with_settings()
def compare(
    settings: Settings,
    a: Annotated[str, typer.Argument(metavar="MODEL", help="A model's directory, or the id of a released one.")],
    b: Annotated[str, typer.Argument(metavar="CANDIDATE", help="The one that may take its place.")],
    data: Annotated[Path, typer.Option(help="A data set, whose test split neither has seen.")],
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Compare two models on the same pictures: what one alone lets pass, what one alone rejects.

    The parts that they judge differently are tested by McNemar's exact test. On frames of the line itself:
    `lineside replay` and `lineside compare`.

    Example: `lineside models compare flange-40 models/flange-41 --data flanges-1`.
    """
    from streams.commands.models_compare import CompareOptions, compare_models

    compare_models(settings, CompareOptions(a=a, b=b, data=data, device=device, as_json=as_json))


@models.command("import")
@with_settings()
def import_(
    settings: Settings,
    weights: Annotated[
        Path, typer.Argument(metavar="WEIGHTS", help="Safetensors with torchvision's names, or ONNX (.onnx).")
    ],
    description: Annotated[
        Path, typer.Option(help="JSON: model_id, arch, classes, preprocessing, and thresholds if there are any.")
    ],
    golden: Annotated[
        Path,
        typer.Option(help="Safetensors of `pictures`, uint8 [k, h, w, 3], and their `scores`, float32 [k, classes]."),
    ],
    out: Annotated[Path, typer.Option(help="Directory of the model.")],
    as_json: Json = False,
) -> None:
    """Import a ResNet or ViT that was trained elsewhere. Its golden vectors must come out here as they did there.

    The description gives the head's class order and what a picture goes through before the network:
    `{"model_id": "flange-x", "arch": "resnet18", "classes": [{"name": "good", "role": "good", "threshold": null},
    {"name": "scratch", "role": "defect", "threshold": 0.5}], "preprocessing": {"width": 224, "height": 224}}`.
    A network that may say several defects at once has `"head": "sigmoid"` in it too; its first class is the good one.

    Example: `lineside models import w.safetensors --description m.json --golden g.safetensors --out models/flange-x`.
    An ONNX file's weights are told apart by its graph, whatever they are called; it takes the extra `onnx`.
    """
    from streams.commands.models_import import import_model

    import_model(weights, description, golden, out, as_json)


@models.command("export")
@with_settings()
def export(
    settings: Settings,
    model: Annotated[Path, typer.Argument(metavar="DIR", help="Directory of a model.")],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The ONNX file to write, such as flange-40.onnx.")],
    as_json: Json = False,
) -> None:
    """Export a model as ONNX, with scaling and softmax or sigmoid in it, once its golden vectors come out right.

    Pictures go in as uint8 [n, height, width, 3], probabilities in the order of its classes come out. Class names,
    thresholds and preprocessing stand in the file's properties, under `lineside`, as JSON.

    Example: `lineside models export models/flange-40 flange-40.onnx`.
    """
    from streams.commands.models_export import export_model

    export_model(model, out, as_json)


@models.command("ensemble")
@with_settings()
def ensemble(
    settings: Settings,
    members: Annotated[list[Path], typer.Argument(metavar="DIR DIR...", help="Directories of two to eight models.")],
    out: Annotated[Path, typer.Option(help="Directory of the ensemble.")],
    name: Annotated[str, typer.Option(help="Its id.")] = "ensemble",
    as_json: Json = False,
) -> None:
    """Make one model of several that know the same classes and see the same: the mean of their probabilities.

    Either all of them say one class of a picture, or all may say several.

    It decides better than each of them more often than not, and costs as much as all of them. Its thresholds are the
    mean of theirs: `lineside calibrate` sets them by pictures.

    Example: `lineside models ensemble models/seed-0 models/seed-1 models/seed-2 --out models/three --name three`.
    """
    from streams.commands.models_ensemble import make_ensemble

    make_ensemble(members, out, name, as_json)
