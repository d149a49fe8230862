"""`lineside dataset build|check|split|export`: data sets from labelled pictures. Parse and delegate only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Folder, Json, Labels, NamePattern
from streams.commands.options import with_settings
from streams.commands.sources import SourceKind, SourceRequest
from streams.errors import CallerError
from streams.settings import Settings

app = typer.Typer()
dataset = typer.Typer(no_args_is_help=True, help="Data sets: built, checked, split, written for other tools.")
app.add_typer(dataset, name="dataset")

ANY_VIEWS = 1_000_000  # a data set takes what views there are
DataSetDir = Annotated[Path, typer.Argument(metavar="DIR", help="Directory of the data set.")]
Share = Annotated[float, typer.Option(min=0.00001, max=0.99999, help="Largest share that it shall be able to show.")]


class ExportFormat(StrEnum):
    COCO = "coco"
    LABEL_STUDIO = "label-studio"


class By(StrEnum):
    """What a split never tears."""

    PART = "part"
    LOT = "lot"
    DAY = "day"


class BuildSource(StrEnum):
    """Where labelled pictures come from."""

    SAMPLES = "samples"
    FOLDER = "folder"
    ELPV = "elpv"


@dataset.command("build")
@with_settings()
def dataset_build(
    settings: Settings,
    directory: DataSetDir,
    source: Annotated[BuildSource, typer.Option(help="Of the labelled pictures.")] = BuildSource.SAMPLES,
    folder: Folder = None,
    labels: Labels = "folders",
    name_pattern: NamePattern = None,
    good: Annotated[str, typer.Option(help="The label of good parts.")] = "good",
    since: Annotated[
        str | None, typer.Option(help="Samples selected from this time on, or time ago such as 30d. Default: all.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Samples and decisions before this time, or time ago such as 1d. Default: all.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the data set. Default: the directory's.")] = None,
    as_json: Json = False,
) -> None:
    """Build a versioned data set: pictures in a folder for each class, and a manifest in Parquet.

    From the `samples` topic and what people decided, from a folder with labels, or the ELPV cells. The version is the
    digest of the content: the same pictures and labels give the same one, and no version is overwritten. All pictures
    of a part are in one split; where no part id is known, those of a lot, else of a day. Equal pictures count once;
    where their labels contradict they are left out, and listed in conflicts.parquet for a second look.

    A table may have the columns part_id, lot_id, sku, line, split, probability and captured_at beside file and label.

    Examples: `lineside dataset build flanges-1 --until 2026-03-01T00:00Z`,
    `lineside dataset build flanges-2 --source folder --folder shots --name-pattern '{label}/{part_id}_{view}.{ext}'`,
    `lineside dataset build flanges-3 --source folder --folder shots --labels labels.csv --good OK`.
    """
    from streams.commands.dataset import BuildOptions, build_dataset, build_from

    options = BuildOptions(directory=directory, since=since, until=until, name=name, as_json=as_json)
    if source is BuildSource.SAMPLES:
        build_dataset(settings, options)
        return
    if since or until:
        raise CallerError("--since and --until choose samples; for pictures of a folder give another folder or table")
    kind = SourceKind.ELPV if source is BuildSource.ELPV else SourceKind.FOLDER
    request = SourceRequest(
        kind=kind, folder=folder, labels=labels, name_pattern=name_pattern, good=good, views=ANY_VIEWS
    )
    build_from(request, options)


@dataset.command("check")
@with_settings()
def dataset_check(
    settings: Settings,
    directory: DataSetDir,
    model: Annotated[
        Path | None, typer.Option(help="Directory of a model that sees the pictures; needed to find wrong labels.")
    ] = None,
    alike: Annotated[
        float, typer.Option(min=0.5, max=1, help="Correlation from which two pictures are nearly the same.")
    ] = 0.99,
    escape: Share = 0.01,
    overkill: Share = 0.05,
    report: Annotated[Path | None, typer.Option(help="Write a report with the pictures, one HTML file.")] = None,
    as_json: Json = False,
) -> None:
    """Check a data set: near duplicates across splits, labels likely wrong, balance, and whether there is enough.

    Exits 1 where a problem would make a model's figures wrong. Examples: `lineside dataset check flanges-1`,
    `lineside dataset check flanges-1 --model models/flange-40 --escape 0.001 --report flanges-1.html`.
    """
    from streams.commands.dataset_check import CheckOptions, check_dataset
    from streams.datasets.checking import Goals

    options = CheckOptions(
        directory=directory, model=model, alike=alike, goals=Goals(escape, overkill), report=report, as_json=as_json
    )
    if not check_dataset(options):
        raise typer.Exit(1)


@dataset.command("split")
@with_settings()
def dataset_split(
    settings: Settings,
    directory: DataSetDir,
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Directory of the new version.")],
    by: Annotated[By, typer.Option(help="What is never torn.")] = By.PART,
    shares: Annotated[str, typer.Option(help="Of train, validation and test.")] = "70:15:15",
    seed: Annotated[int, typer.Option(help="Same seed, same splits.")] = 0,
    as_json: Json = False,
) -> None:
    """Split a data set anew, evenly in every class and SKU, into a new version; the old one stays.

    `--by lot` and `--by day` show what a model is worth on parts of another lot or day, which is what it will meet.
    Example: `lineside dataset split flanges-1 flanges-1-by-lot --by lot --shares 60:20:20`.
    """
    from streams.commands.dataset import report_dataset
    from streams.commands.dataset_split import SplitOptions, parse_shares, split_dataset

    options = SplitOptions(directory=directory, out=out, by=by.value, shares=parse_shares(shares), seed=seed)
    report_dataset(out, split_dataset(options), as_json)


@dataset.command("export")
@with_settings()
def dataset_export(
    settings: Settings,
    directory: DataSetDir,
    format_: Annotated[ExportFormat, typer.Option("--format", help="Which tool's files.")],
    as_json: Json = False,
) -> None:
    """Write a data set's files for another tool, beside its pictures.

    `coco`: one file for each split. `label-studio`: tasks, the tasks of the second look, and the labelling interface;
    its local storage must be DIR. Example: `lineside dataset export flanges-1 --format coco`.
    """
    from streams.commands.dataset import export_dataset

    export_dataset(directory, format_, as_json)
