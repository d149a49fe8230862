"""`lineside broker`, `lineside secure init|rotate`: the embedded broker and its secrets. Parse and delegate only."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from streams.cli_options import Port
from streams.commands.options import ensure_data_dir, with_settings
from streams.settings import Settings

app = typer.Typer()
secure = typer.Typer(no_args_is_help=True, help="Secures the embedded broker: certificates, users, passwords.")
app.add_typer(secure, name="secure")


@app.command()
@with_settings()
def broker(
    settings: Settings,
    port: Port = 9092,
    registry_port: Port = 8081,
    secure: Annotated[
        bool,
        typer.Option("--secure", help="TLS, a user and rights for each role; `lineside secure` tells more."),
    ] = False,
) -> None:
    """Run the embedded Apache Kafka on 127.0.0.1 until Ctrl-C, with the schemas beside it, read-only."""
    from streams.commands.broker import serve

    ensure_data_dir(settings)
    asyncio.run(serve(settings, port, registry_port, lambda text: print(text, flush=True), secure))


@secure.command("init")
@with_settings()
def secure_init(settings: Settings) -> None:
    """Make an authority, the broker's certificate, and for each role a user with a password file.

    What is there already stays. Then: `lineside broker --secure`, and each program with `--config` and its role's file.
    """
    from streams.commands.secure import init

    ensure_data_dir(settings)
    init(settings, lambda text: print(text, flush=True))


@secure.command("rotate")
@with_settings()
def secure_rotate(
    settings: Settings,
    user: Annotated[
        list[str] | None, typer.Option(help="Renew the password of this user alone; may be given again.")
    ] = None,
    new_authority: Annotated[
        bool,
        typer.Option("--new-authority", help="Sign by a new authority; the one before stays trusted till the next."),
    ] = False,
) -> None:
    """Renew the broker's certificate and the passwords while the broker and its clients run.

    Examples: `lineside secure rotate`, `lineside secure rotate --user gateway`.
    """
    from streams.commands.secure import rotate

    asyncio.run(rotate(settings, user or [], new_authority, lambda text: print(text, flush=True)))
