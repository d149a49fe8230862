"""`lineside deadletters list|show|redrive`: what could not be handled. Parse and delegate only."""

from __future__ import annotations

import getpass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from streams.cli_options import Json
from streams.commands.options import with_settings
from streams.errors import CallerError
from streams.settings import Settings

if TYPE_CHECKING:
    from streams.commands.deadletters import Asked

E = TypeVar("E", bound=StrEnum)
app = typer.Typer()
deadletters = typer.Typer(no_args_is_help=True, help="Events that could not be handled: list, look at, send again.")
app.add_typer(deadletters, name="deadletters")

Reason = Annotated[str | None, typer.Option(help="Such as CORRUPT or ENGINE_FAILED. Default: all.")]
Where = Annotated[str | None, typer.Option(help="Letters of this one alone. Default: all.")]
Since = Annotated[str | None, typer.Option("--from", help="First time: ISO 8601 with its zone, or ago such as 8h.")]
Until = Annotated[str | None, typer.Option("--to", help="End of the times, exclusive. Default: now.")]
Place = Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As the list shows it, such as 3:17.")]


@deadletters.command("list")
@with_settings()
def list_(
    settings: Settings,
    reason: Reason = None,
    plant: Where = None,
    line: Where = None,
    since: Since = None,
    until: Until = None,
    state: Annotated[str | None, typer.Option(help="open, redriven or failed-again. Default: all.")] = None,
    as_json: Json = False,
) -> None:
    """List dead letters, oldest first. Examples: `lineside deadletters list --from 8h --state open`,
    `lineside deadletters list --reason CORRUPT --line L1 --json`.
    """
    from streams.commands.deadletters import list_letters

    list_letters(settings, _asked([], reason, plant, line, since, until, state), as_json)


@deadletters.command("show")
@with_settings()
def show(
    settings: Settings,
    place: Place,
    out: Annotated[Path | None, typer.Option(help="Write the original bytes to this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show one dead letter whole: reason, key, headers, what is in it. Example:
    `lineside deadletters show 3:17 --out event.bin`.
    """
    from streams.commands.deadletters import show_letter
    from streams.downstream.letters.book import parse_place

    show_letter(settings, parse_place(place), out, as_json)


@deadletters.command("redrive")
@with_settings()
def redrive(
    settings: Settings,
    places: Annotated[list[str] | None, typer.Argument(metavar="PARTITION:OFFSET", help="Single letters.")] = None,
    reason: Reason = None,
    plant: Where = None,
    line: Where = None,
    since: Since = None,
    until: Until = None,
    why: Annotated[str, typer.Option(help="Why, for the audit log.")] = "",
    by: Annotated[str | None, typer.Option(help="Who does it, for the audit log. Default: your login name.")] = None,
    again: Annotated[bool, typer.Option(help="Also those that were sent again already.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Say what would be sent; send nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Send the frames of dead letters again, once the cause is mended: as their next attempt, without deadline.

    Give single letters, or a reason, line or time. The audit log says who did it; a letter is sent once, a frame is
    tried three times at most. The verdict of the next attempt is one of its own. Exit status 1 where a letter that was
    named was not sent. Examples: `lineside deadletters redrive 3:17 --why "store is back"`,
    `lineside deadletters redrive --reason IMAGE_UNAVAILABLE --from 8h --dry-run`.
    """
    from streams.commands.deadletters import RedriveOptions
    from streams.commands.deadletters import redrive as run

    if not (places or reason or plant or line or since or until):
        raise CallerError("say which letters: PARTITION:OFFSET, or --reason, --line, --from; --from 365d means all")
    asked = _asked(places or [], reason, plant, line, since, until, None)
    options = RedriveOptions(by=by or getpass.getuser(), why=why, again=again, dry_run=dry_run, as_json=as_json)
    raise typer.Exit(run(settings, asked, options))


def _asked(
    places: list[str],
    reason: str | None,
    plant: str | None,
    line: str | None,
    since: str | None,
    until: str | None,
    state: str | None,
) -> Asked:
    from schemas import records
    from streams.commands.deadletters import Asked
    from streams.commands.sampler import parse_time
    from streams.downstream.letters.book import State, parse_place

    return Asked(
        places=[parse_place(text) for text in places],
        reason=_one_of(records.Reason, "--reason", reason),
        plant=plant,
        line=line,
        since=parse_time("--from", since),
        until=parse_time("--to", until),
        state=_one_of(State, "--state", state and state.replace("-", "_")),
    )


def _one_of(kind: type[E], option: str, text: str | None) -> E | None:
    """A member by its name in any case; CallerError for one that there is not."""
    if text is None:
        return None
    if (name := text.upper()) not in kind.__members__:
        raise CallerError(f"{option} must be one of {', '.join(kind).lower()}; came {text!r:.80}")
    return kind[name]
