"""`lineside topics` and `tail`: what is on Kafka. Parse and delegate only."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from streams.cli_options import Json
from streams.commands.options import with_settings
from streams.settings import Settings

app = typer.Typer()


@app.command()
@with_settings()
def topics(
    settings: Settings,
    create: Annotated[bool, typer.Option("--create", help="Create what is missing, and register the schemas.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Compare with Kafka; exit 1 where anything differs.")] = False,
    grow: Annotated[
        int | None,
        typer.Option("--grow", min=1, help="Give all topics keyed by station so many partitions, under load."),
    ] = None,
    timeout: Annotated[float, typer.Option(min=1, help="Longest pause of gateways for --grow, in seconds.")] = 120.0,
    acls: Annotated[
        bool, typer.Option("--acls", help="Who may do what: allow it in Kafka, or compare (with --check).")
    ] = False,
    principal: Annotated[
        list[str] | None, typer.Option(help="With --acls: ROLE=User:NAME, where users are not called as their roles.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show, create, check or grow the topics, and who may do what with them.

    --grow pauses gateways, waits until every frame has its verdict, grows, and lets gateways go on; a run that broke
    off is finished by the next.
    """
    if acls:
        from streams.commands.acls import manage_acls

        raise typer.Exit(asyncio.run(manage_acls(settings, check, as_json, principal or [])))
    from streams.commands.topics import manage

    if grow is not None:
        from streams.commands.grow import grow_topics

        asyncio.run(grow_topics(settings, grow, timeout, as_json))
        return
    raise typer.Exit(asyncio.run(manage(settings, create, check, as_json)))


@app.command()
@with_settings()
def tail(
    settings: Settings,
    topic: Annotated[str, typer.Argument(help="A topic's name, such as verdicts; see `lineside topics`.")],
    start: Annotated[
        str, typer.Option("--from", help="latest, earliest, an offset, PARTITION:OFFSET, a time, or '10m' ago.")
    ] = "latest",
    count: Annotated[int | None, typer.Option(min=1, help="Stop after this many events.")] = None,
    follow: Annotated[bool, typer.Option(help="Wait for new events.")] = True,
    as_json: Json = False,
) -> None:
    """Show the events of a topic as they come.

    Examples: `lineside tail verdicts`, `lineside tail defects --from 10m --json`.
    """
    from streams.tail import tail as run_tail

    asyncio.run(run_tail(settings, topic, start, as_json, count, follow, sys.stdout))
