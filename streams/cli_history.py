"""`lineside archive`: history beyond Kafka's retention. Parse and delegate only."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from streams.cli_options import Json, ReadyFile, announcer
from streams.commands.options import ensure_data_dir, with_settings
from streams.errors import CallerError
from streams.settings import Settings

app = typer.Typer()


@app.command()
@with_settings()
def archive(
    settings: Settings,
    once: Annotated[bool, typer.Option(help="Archive what is closed by now and stop.")] = False,
    show: Annotated[bool, typer.Option(help="Show what the archive holds; write nothing.")] = False,
    verify: Annotated[
        bool, typer.Option(help="Compare the archive with the topics by counts and hashes; exit 1 where they differ.")
    ] = False,
    as_json: Json = False,
    ready_file: ReadyFile = None,
) -> None:
    """Keep verdicts, defects, parts, outcomes and frames beyond Kafka's retention, until SIGTERM or Ctrl-C.

    Every LINESIDE_ARCHIVE_PERIOD_S seconds of append time become Parquet files by line and day in LINESIDE_ARCHIVE,
    pictures go to the frame store: each NG, UNSURE, ERROR and corrected one, and of the passed ones a random share
    (LINESIDE_ARCHIVE_OK_SHARE) within LINESIDE_ARCHIVE_OK_MIB_PER_LINE_DAY, with the probability that each had. Run one
    for an installation; killed and started again it goes on. Examples: `lineside archive`, `lineside archive --once`,
    `lineside archive --verify`.
    """
    from streams.commands.archive import run_archive, show_archive, verify_archive

    if once + show + verify > 1:
        raise CallerError("--once, --show and --verify exclude each other; give one")
    if show:
        show_archive(settings.archive_dir, as_json)
        return
    if verify:
        raise typer.Exit(0 if asyncio.run(verify_archive(settings, as_json)) else 1)
    ensure_data_dir(settings)
    asyncio.run(run_archive(settings, once, as_json, announcer("archiving; Ctrl-C stops", ready_file)))
