"""`lineside station|dashboard|users`: the pages, and who may use them. Parse and delegate only."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from streams.cli_options import Json, Port, ReadyFile, announcer
from streams.commands.options import ensure_data_dir, with_settings
from streams.heap import stay_small
from streams.settings import Settings

app = typer.Typer()
users = typer.Typer(no_args_is_help=True, help="Who may sign in to the pages, and which machines may read.")
app.add_typer(users, name="users")

Host = Annotated[str, typer.Option(help="Address to listen on. Other than loopback needs TLS and sign-in.")]
Certificate = Annotated[Path | None, typer.Option(help="Certificate (PEM) for TLS; with --key.")]
Key = Annotated[Path | None, typer.Option(help="Key (PEM) of the certificate.")]
UserName = Annotated[str, typer.Argument(help="1 to 64 of A-Z a-z 0-9 . _ -")]
SecretFromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password or PIN from stdin instead of asking.")
]


@app.command()
@with_settings()
def station(
    settings: Settings,
    line: Annotated[str, typer.Option(help="Line whose defects are worked off.")],
    station: Annotated[str, typer.Option(help="Inspection station of that line.")],
    plant: Annotated[str | None, typer.Option(help="Default: every plant with such a line and station.")] = None,
    rework_station: Annotated[str, typer.Option(help="Name of this rework station, in outcomes and claims.")] = "R1",
    model: Annotated[
        list[Path] | None, typer.Option("--model", help="Directory of a model, for heatmaps; may be given again.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8090,
    certificate: Certificate = None,
    key: Key = None,
    ready_file: ReadyFile = None,
) -> None:
    """Serve a rework station's page, until SIGTERM or Ctrl-C.

    Example: `lineside station --line line-1 --station station-1 --model models/flange-40`, then open the address
    that it prints.
    """
    from streams.commands.station import StationOptions, run_station
    from streams.web.binding import Binding

    ensure_data_dir(settings)
    options = StationOptions(
        line=line,
        station=station,
        plant=plant,
        rework_station=rework_station,
        model_dirs=model or [],
        binding=Binding(host, port, certificate, key),
    )
    asyncio.run(run_station(settings, options, announcer("rework station at {address}; Ctrl-C stops", ready_file)))


@app.command()
@with_settings()
def dashboard(
    settings: Settings,
    host: Host = "127.0.0.1",
    port: Port = 8080,
    certificate: Certificate = None,
    key: Key = None,
    ready_file: ReadyFile = None,
) -> None:
    """Serve the dashboard and the reading API, until SIGTERM or Ctrl-C.

    Live by line and station: yield, control chart, defects, escapes, overkill, latency, what was missed. The API is at
    /api, described at /docs. Example: `lineside dashboard --port 8080`, then open the address that it prints.
    """
    from streams.commands.dashboard import DashboardOptions, run_dashboard
    from streams.web.binding import Binding

    ensure_data_dir(settings)
    options = DashboardOptions(Binding(host, port, certificate, key))
    stay_small()
    asyncio.run(run_dashboard(settings, options, announcer("dashboard at {address}; Ctrl-C stops", ready_file)))


@users.command("add")
@with_settings()
def add_user(
    settings: Settings,
    name: UserName,
    role: Annotated[list[str], typer.Option(help="operator, engineer, auditor or reader; may be given again.")],
    display_name: Annotated[str, typer.Option(help="As pages show it. Default: the name.")] = "",
    badge: Annotated[str, typer.Option(help="What the badge's code says; then the secret is a PIN.")] = "",
    password_stdin: SecretFromStdin = False,
    as_json: Json = False,
) -> None:
    """Add a user; asks for the password or PIN. To change roles or badge, remove the user first.

    Examples: `lineside users add ana --role operator --badge 0451`, `lineside users add li --role engineer`.
    """
    from streams.commands.users import NewUser, parse_roles
    from streams.commands.users import add_user as add

    ensure_data_dir(settings)
    add(settings, NewUser(name, parse_roles(role), display_name, badge), password_stdin, as_json)


@users.command("list")
@with_settings()
def list_users(settings: Settings, as_json: Json = False) -> None:
    """Show the users, without secrets."""
    from streams.commands.users import list_users as show

    show(settings, as_json)


@users.command("remove")
@with_settings()
def remove_user(settings: Settings, name: UserName, as_json: Json = False) -> None:
    """Remove a user; pages that they have open are signed out."""
    from streams.commands.users import remove_user as remove

    remove(settings, name, as_json)


@users.command("passwd")
@with_settings()
def change_secret(
    settings: Settings, name: UserName, password_stdin: SecretFromStdin = False, as_json: Json = False
) -> None:
    """Set another password or PIN."""
    from streams.commands.users import change_secret as change

    change(settings, name, password_stdin, as_json)


@users.command("token")
@with_settings()
def make_token(settings: Settings, name: UserName, as_json: Json = False) -> None:
    """Make a bearer token, for a machine that reads over HTTP. It is shown once; a former one no longer counts.

    Example: `lineside users token power-bi`; an account that may only read is made where there is none.
    """
    from streams.commands.users import make_token as make

    make(settings, name, as_json)
