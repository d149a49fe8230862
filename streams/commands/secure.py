"""`lineside secure …`: what the embedded broker is secured with, made and renewed, while it and its clients run."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence

from streams.bus.access import reload_certificates, set_passwords
from streams.bus.admin import wait_for_broker
from streams.bus.ages import check_served
from streams.bus.security_folder import ADMIN, SecurityFolder
from streams.bus.trial_certificates import new_password
from streams.errors import BrokerRefusedError, BrokerUnreachableError, CallerError
from streams.kafka_address import KafkaAddress, Protocol
from streams.roles import ROLE_OF_COMMAND, ROLES
from streams.settings import Settings

Say = Callable[[str], None]
LISTENER = "sasl_ssl"
KNOWN_WITHIN_S = 15.0
POLL_S = 0.05


def security_folder(settings: Settings) -> SecurityFolder:
    return SecurityFolder((settings.data_dir / "security").expanduser().absolute())


def init(settings: Settings, say: Say) -> SecurityFolder:
    """Makes what is missing of an authority, the broker's certificate, a user and password file for each role."""
    folder = security_folder(settings)
    for file in folder.make(ROLES):
        say(f"made {file}")
    say(f"Programs connect by `--config {folder.path}/ROLE.toml`, ROLE being one of {', '.join([ADMIN, *ROLES])}.")
    return folder


def as_user(settings: Settings, user: str) -> Settings:
    """The settings by which a user of the embedded broker connects."""
    folder = security_folder(settings)
    return dataclasses.replace(
        settings,
        kafka_protocol=Protocol.SASL_SSL.value,
        kafka_ca_file=str(folder.ca_file),
        kafka_user=user,
        kafka_password_file=str(folder.password_file(user)),
    )


def as_program(settings: Settings, command: str) -> Settings:
    """The settings of a program that the embedded broker's administrator starts: those of its role. Others stay."""
    is_admin = settings.kafka_password_file == str(security_folder(settings).password_file(ADMIN))
    return as_user(settings, ROLE_OF_COMMAND[command]) if is_admin else settings


async def rotate(settings: Settings, users: Sequence[str], new_authority: bool, say: Say) -> None:
    """Gives the broker a new certificate and `users` (all where it is empty) new passwords; nothing is started again.

    A broker that is not running, or whose certificate has ended, takes them when it starts. CallerError where nothing
    is there to renew.
    """
    folder = security_folder(settings)
    known = sorted(folder.passwords()) if folder.is_there else []
    if not known:
        raise CallerError(f"there is nothing to renew in {folder.path}; make it with `lineside secure init`")
    if unknown := sorted(set(users) - set(known)):
        raise CallerError(f"there is no user {unknown[0]!r} in {folder.path}; users are {', '.join(known)}")
    try:
        runs, ended = await _runs(folder, settings), False
    except BrokerRefusedError:
        if not (ended := folder.certificate_ended):
            raise
        runs = False
    folder.renew(new_authority)
    say(f"new certificate in {folder.broker_file}")
    if ended:
        say("the broker shows one that has ended, so nobody can tell it: start it again, it takes all that is new then")
    if runs:
        admin = folder.address(settings.bootstrap, ADMIN)
        await asyncio.to_thread(reload_certificates, admin, LISTENER, folder.broker_file)
        await asyncio.to_thread(check_served, admin, folder.broker_file)
        say("the broker uses it")
    for user in users or known:
        await _new_password(folder, user, settings.bootstrap if runs else "")
        say(f"new password in {folder.password_file(user)}")


async def _new_password(folder: SecurityFolder, user: str, bootstrap: str) -> None:
    """Programs get it once the broker knows it; who connects in between is refused, and tries again."""
    password = new_password()
    offered = folder.offer_password(user, password)
    if bootstrap:
        await asyncio.to_thread(set_passwords, folder.address(bootstrap, ADMIN), {user: password})
        until_s = time.monotonic() + KNOWN_WITHIN_S
        while True:
            try:
                await wait_for_broker(KafkaAddress(bootstrap, offered))
                break
            except BrokerRefusedError:
                if time.monotonic() > until_s:
                    raise
                await asyncio.sleep(POLL_S)
    folder.take_offered(user)


async def _runs(folder: SecurityFolder, settings: Settings) -> bool:
    try:
        await wait_for_broker(folder.address(settings.bootstrap, ADMIN), 2.0)
    except BrokerRefusedError:
        raise
    except BrokerUnreachableError:
        return False
    return True
