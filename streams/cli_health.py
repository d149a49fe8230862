"""`lineside health`: how the running programs are. Parse and delegate only."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli_options import Json
from streams.commands.options import with_settings
from streams.settings import Settings

app = typer.Typer()


@app.command()
@with_settings()
def health(
    settings: Settings,
    ports: Annotated[
        list[int] | None, typer.Argument(metavar="[PORT]...", help="Metrics ports. Default: those of `lineside up`.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask programs on this machine whether they are alive and progress; exit 1 where one is not.

    Examples: `lineside health`, `lineside health 9401 9410 --json`.
    """
    from streams.commands.health import show_health

    raise typer.Exit(0 if show_health(settings, ports or [], as_json) else 1)
