"""`lineside archive|query|part|rebuild`: history beyond Kafka's retention. Parse and delegate only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json, ReadyFile, announcer
from streams.commands.options import ensure_data_dir, with_settings
from streams.errors import CallerError
from streams.heap import stay_small
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
    stay_small()
    asyncio.run(run_archive(settings, once, as_json, announcer("archiving; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def query(
    settings: Settings,
    sql: Annotated[str, typer.Argument(metavar="SQL", help="One SELECT, in DuckDB's SQL.")],
    use_recent: Annotated[
        bool, typer.Option("--recent/--no-recent", help="Also what lies in the topics and is not archived yet.")
    ] = True,
    out: Annotated[Path | None, typer.Option(help="Write the answer to this .csv or .parquet file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a row on stdout.")] = False,
) -> None:
    """Ask the history in SQL: views verdicts, defects, parts, outcomes, frames, pictures, changeovers.

    Filters by plant, line and day (a DATE) skip whole files; times are UTC; lists and maps are JSON text; `offset` is
    written "offset". Examples:
    `lineside query "SELECT outcome, count(*) FROM verdicts WHERE line = 'L1' AND day = '2026-03-01' GROUP BY ALL"`,
    `lineside query "SELECT * FROM changeovers ORDER BY first_at"` (since when which recipe and model judge),
    `lineside query "SELECT frame_id FROM verdicts WHERE outcome = 'UNSURE'" --out unsure.parquet`.
    """
    from streams.commands.history import QueryOptions
    from streams.commands.history import query as run_query

    run_query(settings, QueryOptions(sql=sql, use_recent=use_recent, as_json=as_json, out=out))


@app.command()
@with_settings()
def part(
    settings: Settings,
    part_id: Annotated[str, typer.Argument(metavar="ID", help="Serial number of the part.")],
    as_json: Json = False,
) -> None:
    """Show all that is known of a part, oldest first, each with where it stands and its hash.

    Frames, verdicts with recipe and model, defects, decisions, people, samples, pictures; from archive and topics.
    Example: `lineside part P-0001`.
    """
    from streams.commands.history import part as show_part

    show_part(settings, part_id, as_json)


@app.command()
@with_settings()
def rebuild(
    settings: Settings,
    verdict_id: Annotated[str, typer.Argument(metavar="VERDICT_ID", help="Of any verdict event.")],
    model: Annotated[
        list[Path] | None, typer.Option("--model", help="Where its model may lie, beside the data directory's.")
    ] = None,
    run: Annotated[str, typer.Option(help="The replay that decided. Default: a live verdict.")] = "live",
    as_json: Json = False,
) -> None:
    """Make a verdict again from its picture, model, recipe and preprocessing, and say whether it is the same.

    Bit for bit on the engine that decided, within the model's tolerance on another. Exits 0 where it is the same, 1
    where it differs, 2 where something it needs is gone; what, is said. Example:
    `lineside rebuild 0b3b5a0e-3c0c-5d0e-8f57-0d6f3b0a9c11`.
    """
    from streams.commands.rebuild import rebuild_command

    raise typer.Exit(rebuild_command(settings, verdict_id, model or [], run, as_json))
