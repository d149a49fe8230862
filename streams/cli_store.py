"""`lineside store gc|show`: the frame store's care. Parse and delegate only."""

from __future__ import annotations

from typing import Annotated

import typer

from streams.cli_options import Json
from streams.commands.options import with_settings
from streams.settings import Settings

app = typer.Typer()
store = typer.Typer(no_args_is_help=True, help="The frame store: what it holds, and what nothing needs any more.")
app.add_typer(store, name="store")


@store.command("gc")
@with_settings()
def store_gc(
    settings: Settings,
    min_age: Annotated[
        str, typer.Option(help="Pictures put within this time stay, such as 8d or 36h; at least 1d.")
    ] = "8d",
    archive: Annotated[
        list[str] | None,
        typer.Option(help="With LINESIDE_POOLS, once for each pool: POOL=FOLDER of its archive, or POOL=none."),
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Count what would be removed; remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove pictures from the frame store that nothing needs.

    Kept are pictures that a frame, dead letter, defect or sample in Kafka names, that the archive names, that are
    pinned, and that are young. It may run beside everything else, and may be interrupted. Run it every day. Examples:
    `lineside store gc --dry-run`, `lineside store gc --min-age 14d`,
    `lineside store gc --archive paint=/archives/paint --archive press=none`.
    """
    from streams.commands.store import GcOptions, collect_garbage, parse_age

    collect_garbage(settings, GcOptions(parse_age(min_age), dry_run, as_json, tuple(archive or ())))


@store.command("show")
@with_settings()
def store_show(settings: Settings, as_json: Json = False) -> None:
    """Show how many pictures the frame store holds, and of what kind. Example: `lineside store show`."""
    from streams.commands.store import show_store

    show_store(settings, as_json)
