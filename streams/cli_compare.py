"""`lineside compare|whatif`: what another model or other thresholds would have done. Parse and delegate only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json
from streams.commands.options import with_settings
from streams.settings import Settings

app = typer.Typer()


class TruthFrom(StrEnum):
    AUTO = "auto"
    LABELS = "labels"
    PEOPLE = "people"


RunName = Annotated[
    str, typer.Argument(metavar="RUN", help="A run of `lineside replay`, see `lineside replay --list`.")
]
TruthOption = Annotated[
    TruthFrom, typer.Option("--truth", help="labels of frames, decisions of people, or whichever there is.")
]
Html = Annotated[Path | None, typer.Option(help="Write a report, one file that holds all.")]


@app.command("compare")
@with_settings()
def compare_command(
    settings: Settings,
    run_a: Annotated[str, typer.Argument(metavar="RUN_A", help="A run, or `live`.")],
    run_b: Annotated[str, typer.Argument(metavar="RUN_B", help="The run that may take its place, or `live`.")],
    intersect: Annotated[
        bool, typer.Option("--intersect", help="Compare the frames that both have, and only those.")
    ] = False,
    by: Annotated[list[str] | None, typer.Option(help="Also by this column of verdicts; may be given again.")] = None,
    truth: TruthOption = TruthFrom.AUTO,
    html: Html = None,
    flips: Annotated[int, typer.Option(min=0, help="Most flipped frames that the report shows.")] = 60,
    as_json: Json = False,
) -> None:
    """Compare two runs frame by frame: flips, their significance, scores, escapes and overkill.

    Rates weight every part by the inverse of the probability with which its frame was kept or audited, and are refused
    where no passed frame tells of them. Examples: `lineside compare live trial-7`,
    `lineside compare trial-6 trial-7 --html trial-7.html`.
    """
    from streams.commands.compare import CompareOptions, compare_runs

    options = CompareOptions(
        a=run_a, b=run_b, intersect=intersect, by=by or [], truth=truth, html=html, flips=flips, as_json=as_json
    )
    compare_runs(settings, options)


@app.command()
@with_settings()
def whatif(
    settings: Settings,
    run: RunName,
    class_: Annotated[
        list[str] | None,
        typer.Option("--class", help="Curve of this class's threshold; * is any defect. Default: all."),
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="CLASS=THRESHOLD in place of the run's; may be given again.")
    ] = None,
    band: Annotated[float | None, typer.Option(min=0, max=1, help="Unsure band in place of the run's.")] = None,
    max_escape: Annotated[
        float | None, typer.Option(min=0, max=1, help="Recommend the highest threshold with at most this escape.")
    ] = None,
    max_overkill: Annotated[
        float | None, typer.Option(min=0, max=1, help="Recommend the lowest threshold with at most this overkill.")
    ] = None,
    truth: TruthOption = TruthFrom.AUTO,
    html: Html = None,
    as_json: Json = False,
) -> None:
    """What other thresholds would have done, from one run's scores, without running again.

    Prints the recipe line to paste on stdout. Examples: `lineside whatif trial-7 --max-escape 0`,
    `lineside whatif trial-7 --class scratch --at dent=0.3 --html thresholds.html`.
    """
    from streams.commands.compare import WhatIfOptions, what_if

    options = WhatIfOptions(
        run=run,
        classes=class_ or [],
        at=at or [],
        band=band,
        max_escape=max_escape,
        max_overkill=max_overkill,
        truth=truth,
        html=html,
        as_json=as_json,
    )
    what_if(settings, options)
