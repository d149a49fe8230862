"""The accounts of people and machines, and the JSON file that holds them.

Place in the flow: `lineside users` writes the file, `Access` reads it. Secrets stand in it as hashes only. Does not
know how a hash is checked, nor sessions or pages.
"""

from __future__ import annotations

import dataclasses
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from streams.errors import CallerError

VERSION = 1
MAX_NAME_CHARS = 64


class Role(StrEnum):
    """What somebody may do; each page and route says which roles it is for."""

    OPERATOR = "OPERATOR"
    ENGINEER = "ENGINEER"
    AUDITOR = "AUDITOR"
    READER = "READER"  # machines that read, by a token


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in. `name` goes into records, `display_name` is shown."""

    name: str
    display_name: str
    roles: frozenset[Role]

    def has(self, *roles: Role) -> bool:
        """True where the user has one of the roles, or none is asked for."""
        return not roles or not self.roles.isdisjoint(roles)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the ways to prove it: name and password, badge and PIN, or a machine's token."""

    name: str
    display_name: str
    roles: frozenset[Role]
    password_hash: str | None = None  # argon2id
    badge: str | None = None
    pin_hash: str | None = None  # argon2id
    token_sha256: str | None = None  # of 256 random bits, so that a plain hash is enough

    @property
    def user(self) -> User:
        return User(self.name, self.display_name, self.roles)

    def to_json(self) -> dict[str, Any]:
        """The account as it stands in the file."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v for k, v in values.items() if v is not None} | {"roles": sorted(self.roles)}


def checked_name(text: str, what: str = "a name") -> str:
    """`text` without outer spaces; CallerError unless it is 1 to 64 printable characters."""
    name = text.strip()
    if not 1 <= len(name) <= MAX_NAME_CHARS or not name.isprintable():
        raise CallerError(f"{what} must be 1 to {MAX_NAME_CHARS} printable characters; came {text[:80]!r}")
    return name


def read_accounts(path: Path) -> dict[str, Account] | None:
    """The accounts by name, None where there is no file; CallerError where it can't be understood."""
    try:
        with path.open(encoding="utf-8") as file:
            _require_private(file.fileno())
            content = json.load(file)
        if content["version"] != VERSION:
            raise ValueError(f"version {content['version']!r} is not {VERSION}")
        accounts = [_account(entry) for entry in content["users"]]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, CallerError) as error:
        raise CallerError(f"the users file {path} can't be read: {error}; `lineside users` writes it") from error
    _require_unique(path, "name", [a.name for a in accounts])
    _require_unique(path, "badge", [a.badge for a in accounts if a.badge])
    return {account.name: account for account in accounts}


def write_accounts(path: Path, accounts: Iterable[Account]) -> None:
    """Replace the file in one step, readable by its owner alone; CallerError where it can't be written."""
    content = {"version": VERSION, "users": [a.to_json() for a in sorted(accounts, key=lambda a: a.name)]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=path.name, encoding="utf-8", delete=False
        ) as file:
            json.dump(content, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(path)  # NamedTemporaryFile made it with mode 0600
    except OSError as error:
        raise CallerError(f"the users file {path} can't be written: {error.strerror}") from error


def _require_private(descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ValueError(f"others than its owner may write it (mode {mode:04o}) and so let anybody in; `chmod 600` it")


def _account(entry: Mapping[str, Any]) -> Account:
    known = {f.name for f in dataclasses.fields(Account)}
    if unknown := sorted(set(entry) - known):
        raise ValueError(f"unknown field {unknown[0]!r}")
    values = dict(entry) | {"roles": frozenset(Role(role) for role in entry["roles"])}
    account = Account(**values)
    for name, value in values.items():
        if name != "roles" and value is not None and not isinstance(value, str):
            raise ValueError(f"{name} must be text; came {value!r}")
    checked_name(account.name)
    return account


def _require_unique(path: Path, what: str, values: list[str]) -> None:
    if twice := sorted({value for value in values if values.count(value) > 1}):
        raise CallerError(f"the users file {path} has the {what} {twice[0]!r} twice; each must be there once")
