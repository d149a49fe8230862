"""`lineside users`: who may sign in to the pages, and which machines may read.

Place in the flow: writes the users file that `streams.web.access` reads. Secrets come from a prompt without echo or
from stdin, never from the command line. Each change is audited before it is made.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.audit.log import AuditLog
from streams.errors import CallerError
from streams.settings import Settings
from streams.web.access.access import Audit, users_path
from streams.web.access.passwords import hash_secret, new_token, token_sha256
from streams.web.access.users import Account, Role, checked_name, read_accounts, write_accounts

MIN_PASSWORD_CHARS = 10
MIN_PIN_DIGITS, MAX_PIN_DIGITS = 4, 12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class NewUser:
    """What `add` was asked for. With a badge the secret is a PIN, else a password."""

    name: str
    roles: frozenset[Role]
    display_name: str = ""
    badge: str = ""


def parse_roles(texts: Iterable[str]) -> frozenset[Role]:
    """Roles by name in any case; CallerError for one that there is not, and for none."""
    names = [text.strip().upper() for text in texts]
    known = ", ".join(role.lower() for role in Role)
    if not names or (unknown := [name for name in names if name not in Role.__members__]):
        came = unknown[0].lower() if names else "none"
        raise CallerError(f"a role must be one of {known}; came {came}")
    return frozenset(Role(name) for name in names)


class Users:
    """The users file, to be changed by `actor`. Each change is audited, without its secrets, before it is made."""

    def __init__(self, path: Path, audit: Audit, actor: str) -> None:
        self._path = path
        self._audit = audit
        self._actor = actor

    def all(self) -> list[Account]:
        """By name; CallerError for a file that can't be understood."""
        accounts = read_accounts(self._path) or {}
        return [accounts[name] for name in sorted(accounts)]

    async def add(self, new: NewUser, secret: Callable[[], str]) -> Account:
        """A new account. One that is there already with the same name, roles and badge is left as it is."""
        name = checked_name(new.name)
        badge = checked_name(new.badge, "a badge") if new.badge else None
        wanted = Account(name, checked_name(new.display_name or name, "a display name"), new.roles, badge=badge)
        if (there := self._find(name)) is not None:
            if (there.display_name, there.roles, there.badge) == (wanted.display_name, wanted.roles, badge):
                return there
            raise CallerError(f"there is a user {name!r} already, and not the same; remove it first to change it")
        if badge and (other := next((a for a in self.all() if a.badge == badge), None)):
            raise CallerError(f"the badge {badge!r} is that of {other.name!r}; each badge is of one user")
        return await self._put("user.add", None, _with_secret(wanted, secret()))

    async def remove(self, name: str) -> bool:
        """True where the account was there. Whoever is signed in by it is out at once."""
        if (there := self._find(name)) is None:
            return False
        await self._audit(self._actor, "user.remove", there.name, before=public(there))
        write_accounts(self._path, [a for a in self.all() if a.name != there.name])
        return True

    async def passwd(self, name: str, secret: Callable[[], str]) -> Account:
        """A new PIN for an account with a badge, else a new password."""
        there = self._require(name)
        return await self._put("user.passwd", there, _with_secret(there, secret()))

    async def token(self, name: str) -> str:
        """A new token for a machine's account, which is made where it is not there; an older token ends."""
        there = self._find(checked_name(name))
        if there is not None and there.roles != {Role.READER}:
            raise CallerError(f"{name!r} is a person's account; tokens are for readers, under a name of their own")
        token = new_token()
        before = there or Account(name.strip(), name.strip(), frozenset({Role.READER}))
        await self._put("user.token", there, replace(before, token_sha256=token_sha256(token)))
        return token

    async def _put(self, action: str, before: Account | None, after: Account) -> Account:
        shown = public(before) if before else None
        await self._audit(self._actor, action, after.name, before=shown, after=public(after))
        write_accounts(self._path, [*(a for a in self.all() if a.name != after.name), after])
        return after

    def _find(self, name: str) -> Account | None:
        return next((a for a in self.all() if a.name == name.strip()), None)

    def _require(self, name: str) -> Account:
        if (there := self._find(name)) is None:
            raise CallerError(f"there is no user {name!r} in {self._path}; `lineside users list` shows who is")
        return there


def public(account: Account) -> dict[str, Any]:
    """An account without its hashes."""
    ways = {"password": account.password_hash, "badge and PIN": account.pin_hash, "token": account.token_sha256}
    return {
        "name": account.name,
        "display_name": account.display_name,
        "roles": sorted(account.roles),
        "badge": account.badge,
        "signs_in_by": [way for way, secret_hash in ways.items() if secret_hash],
    }


async def change(settings: Settings, what: Callable[[Users], Awaitable[T]]) -> T:
    """Change the users file with the audit log at hand; BrokerUnreachableError where that can't be written."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        log = AuditLog(publisher, "users", lambda: datetime.now(UTC))
        return await what(Users(users_path(settings), log.record, getpass.getuser()))


def add_user(settings: Settings, new: NewUser, password_stdin: bool, as_json: bool) -> None:
    """`lineside users add`."""
    what = "PIN" if new.badge else "password"
    account = asyncio.run(change(settings, lambda users: users.add(new, lambda: ask_secret(what, password_stdin))))
    _say(as_json, f"{account.name} may sign in", public(account))


def remove_user(settings: Settings, name: str, as_json: bool) -> None:
    """`lineside users remove`; nothing happens where there is no such user."""
    removed = asyncio.run(change(settings, lambda users: users.remove(name)))
    text = f"{name} is removed" if removed else f"there is no user {name}; nothing to remove"
    _say(as_json, text, {"name": name, "removed": removed})


def change_secret(settings: Settings, name: str, password_stdin: bool, as_json: bool) -> None:
    """`lineside users passwd`."""
    secret = functools.partial(ask_secret, "new password or PIN", password_stdin)
    account = asyncio.run(change(settings, lambda users: users.passwd(name, secret)))
    _say(as_json, f"{account.name} has a new {'PIN' if account.badge else 'password'}", public(account))


def make_token(settings: Settings, name: str, as_json: bool) -> None:
    """`lineside users token`: the token is shown this once."""
    token = asyncio.run(change(settings, lambda users: users.token(name)))
    _say(as_json, token, {"name": name, "token": token})


def list_users(settings: Settings, as_json: bool) -> None:
    """`lineside users list`: the accounts, as a table or as JSON."""
    accounts = read_accounts(users_path(settings)) or {}
    rows = [public(accounts[name]) for name in sorted(accounts)]
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    table = Table()
    for column in ("name", "shown as", "roles", "badge", "signs in by"):
        table.add_column(column)
    for row in rows:
        cells = (row["name"], row["display_name"], ", ".join(row["roles"]).lower(), row["badge"] or "")
        table.add_row(*map(escape, cells), ", ".join(row["signs_in_by"]))
    Console().print(table)


def ask_secret(what: str, from_stdin: bool) -> str:
    """A password or PIN, typed twice without echo, or the first line of stdin."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    first = getpass.getpass(f"{what}: ")
    if getpass.getpass(f"{what} again: ") != first:
        raise CallerError(f"the two entries of the {what} differ; nothing was changed")
    return first


def _with_secret(account: Account, secret: str) -> Account:
    if account.badge:
        if not secret.isdecimal() or not secret.isascii() or not MIN_PIN_DIGITS <= len(secret) <= MAX_PIN_DIGITS:
            raise CallerError(
                f"a PIN must be {MIN_PIN_DIGITS} to {MAX_PIN_DIGITS} digits; came {len(secret)} characters"
            )
        if secret == account.badge or _is_series(secret):
            raise CallerError("a PIN must not be the badge, nor one digit repeated, nor digits counted up or down")
        return replace(account, pin_hash=hash_secret(secret))
    if len(secret) < MIN_PASSWORD_CHARS:
        raise CallerError(f"a password must have at least {MIN_PASSWORD_CHARS} characters; came {len(secret)}")
    return replace(account, password_hash=hash_secret(secret))


def _is_series(digits: str) -> bool:
    """Such as 7777, 4567 and 3210: what is tried first."""
    return {int(b) - int(a) for a, b in pairwise(digits)} in ({0}, {1}, {-1})


def _say(as_json: bool, text: str, values: dict[str, Any]) -> None:
    print(json.dumps(values, ensure_ascii=False) if as_json else text)
