"""Who is who: the accounts, the sessions and the pauses after wrong guesses, put together.

Place in the flow: a command makes one `Access` for its pages; `doors.py` and `routes.py` ask it. Sign-ins, failures and
sign-outs go to `on_audit`, a sign-in before it takes effect. Does not know NiceGUI or HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from streams.errors import CallerError
from streams.settings import Settings
from streams.web.access import passwords
from streams.web.access.proxy import Proxy, proxy_of
from streams.web.access.sessions import Limits, Sessions
from streams.web.access.throttle import ACCOUNT, ADDRESS, Throttle
from streams.web.access.users import Account, Role, User, checked_name, read_accounts, write_accounts

Values = Mapping[str, object]
PASSWORD, PIN = "password_hash", "pin_hash"  # fields of Account
EVERY_ROLE = frozenset(Role)
GUESSES_AT_ONCE = 2  # argon2 takes 64 MiB and a core for each
MAX_SECRET_CHARS = 1_024
FILE_CHECK_S = 1.0

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session has begun."""

    session_id: str
    user: User


@dataclass(frozen=True, slots=True)
class Refused:
    """Not signed in. `wait_s` above 0: nothing was checked; ask again after so many seconds."""

    wait_s: float = 0.0


class Audit(Protocol):
    """Records a change before it is made, as `AuditLog.record` does; raises where it can't."""

    def __call__(
        self, actor: str, action: str, subject: str, *, before: Values | None = None, after: Values | None = None
    ) -> Awaitable[object]: ...


async def no_audit(
    actor: str, action: str, subject: str, *, before: Values | None = None, after: Values | None = None
) -> None:
    """For pages without an audit log: a line in the log of the program."""
    log.info("%r: %s %r", actor, action, subject)


def users_path(settings: Settings) -> Path:
    """Where the users file of an installation lies."""
    return Path(settings.users_file) if settings.users_file else settings.data_dir / "users.json"


class Access:
    """Sign-in, sessions and roles of one web app. `clock` gives monotonic seconds."""

    def __init__(
        self,
        users_file: Path,
        *,
        limits: Limits | None = None,
        proxy: Proxy | None = None,
        on_audit: Audit = no_audit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = users_file
        self.proxy = proxy
        self.on_audit = on_audit
        self._clock = clock
        self._sessions = Sessions(limits or Limits())
        self._by_account, self._by_address = Throttle(ACCOUNT), Throttle(ADDRESS)
        self._guesses = asyncio.Semaphore(GUESSES_AT_ONCE)
        self._stamp = _stamp(users_file)
        self._accounts = read_accounts(users_file)
        self._next_check_s = clock() + FILE_CHECK_S

    @classmethod
    def from_settings(cls, settings: Settings, on_audit: Audit = no_audit) -> Access:
        """As the settings say; CallerError for a users file or a proxy's address that can't be understood."""
        return cls(users_path(settings), proxy=proxy_of(settings), on_audit=on_audit)

    @property
    def open_mode(self) -> bool:
        """True where there are no accounts and no proxy: whoever is at this machine gives a name and may do all."""
        return self._current() is None and self.proxy is None

    async def sign_in_open(self, name: str) -> SignedIn | Refused:
        """Open mode: a session for a typed name, with every role."""
        if not self.open_mode:
            return Refused()
        try:
            name = checked_name(name)
        except CallerError:
            return Refused()
        return await self._begin(User(name, name, EVERY_ROLE), None, "open")

    async def sign_in_password(self, name: str, password: str, address: str) -> SignedIn | Refused:
        """By name and password, from an IP address."""
        account = (self._current() or {}).get(name.strip())
        return await self._prove(account, name.strip(), PASSWORD, password, address)

    async def sign_in_badge(self, badge: str, pin: str, address: str) -> SignedIn | Refused:
        """By what a badge's scan typed, and a PIN."""
        known = {a.badge: a for a in (self._current() or {}).values() if a.badge}
        return await self._prove(known.get(badge.strip()), badge.strip(), PIN, pin, address)

    async def vouch(self, claimed: str, secret: str, address: str) -> User | Refused:
        """Somebody beside whoever is signed in proves who they are, by name and password or badge and PIN. No session
        begins; each is in the audit log."""
        claimed = claimed.strip()
        accounts = self._current() or {}
        account = accounts.get(claimed) or next((a for a in accounts.values() if a.badge == claimed), None)
        kind = PIN if account and account.pin_hash and not account.password_hash else PASSWORD
        proven = await self._proven(account, claimed, kind, secret, address)
        if isinstance(proven, Refused):
            return proven
        by = {"by": kind.removesuffix("_hash")}
        await self.on_audit(proven.name, "session.vouch", proven.name, before=None, after=by)
        return proven.user

    def by_token(self, token: str) -> User | None:
        """The machine that holds a bearer token."""
        sha256 = passwords.token_sha256(token)
        found = None
        for account in (self._current() or {}).values():
            if account.token_sha256 and hmac.compare_digest(account.token_sha256, sha256):
                found = account.user
        return found

    def by_proxy(self, headers: Mapping[str, str], peer: str) -> User | None:
        """The user that the proxy names, with the roles of the account of that name; a stranger may only read."""
        name = self.proxy.name_of(headers, peer) if self.proxy else None
        if name is None:
            return None
        account = (self._current() or {}).get(name)
        try:
            return account.user if account else User(checked_name(name), name, frozenset({Role.READER}))
        except CallerError:
            return None

    def user_of(self, session_id: str | None) -> User | None:
        """Who a session belongs to; None where it has ended, expired, or its account was changed. No activity."""
        session = self._sessions.get(session_id, self._clock()) if session_id else None
        if session_id is None or session is None:
            return None
        accounts = self._current()
        stands = (
            accounts is None if session.account is None else (accounts or {}).get(session.user.name) == session.account
        )
        if not stands:
            self._sessions.end(session_id)
        return session.user if stands else None

    def touch(self, session_id: str | None) -> None:
        """The user of a session did something: it stays awake."""
        if session_id:
            self._sessions.touch(session_id, self._clock())

    @property
    def has_badges(self) -> bool:
        """True where somebody signs in by badge and PIN."""
        return any(account.badge for account in (self._current() or {}).values())

    async def sign_out(self, session_id: str | None) -> None:
        """End a session; nothing happens where there is none."""
        ended = self._sessions.end(session_id) if session_id else None
        if ended is not None:
            await self.on_audit(ended.user.name, "session.sign-out", ended.user.name, before=None, after=None)

    async def _prove(
        self, account: Account | None, claimed: str, kind: str, secret: str, address: str
    ) -> SignedIn | Refused:
        proven = await self._proven(account, claimed, kind, secret, address)
        if isinstance(proven, Refused):
            return proven
        return await self._begin(proven.user, proven, kind.removesuffix("_hash"))

    async def _proven(
        self, account: Account | None, claimed: str, kind: str, secret: str, address: str
    ) -> Account | Refused:
        now_s, key = self._clock(), claimed[:MAX_SECRET_CHARS]
        if (wait_s := max(self._by_account.wait_s(key, now_s), self._by_address.wait_s(address, now_s))) > 0:
            return Refused(wait_s)
        self._by_account.count(key, now_s)
        self._by_address.count(address, now_s)
        secret_hash: str | None = getattr(account, kind) if account else None
        async with self._guesses:
            is_right = await asyncio.to_thread(passwords.verify, secret_hash, secret[:MAX_SECRET_CHARS])
        if account is None or secret_hash is None or not is_right:
            await self.on_audit(
                address, "session.refused", key[:64], before=None, after={"by": kind.removesuffix("_hash")}
            )
            return Refused()
        self._by_account.forgive(key)
        if passwords.is_outdated(secret_hash):
            account = await asyncio.to_thread(self._rehash, account, kind, secret)
        return account

    async def _begin(self, user: User, account: Account | None, by: str) -> SignedIn:
        after = {"by": by, "roles": sorted(user.roles)}
        await self.on_audit(user.name, "session.sign-in", user.name, before=None, after=after)
        return SignedIn(self._sessions.begin(user, account, self._clock()), user)

    def _rehash(self, account: Account, kind: str, secret: str) -> Account:
        """The account with a hash by today's parameters, in the file too; unchanged where the file can't be written or
        says something else by now."""
        secret_hash = passwords.hash_secret(secret)
        fresh = replace(account, pin_hash=secret_hash) if kind == PIN else replace(account, password_hash=secret_hash)
        try:
            accounts = read_accounts(self._path) or {}
            if accounts.get(account.name) != account:
                return account
            write_accounts(self._path, (accounts | {account.name: fresh}).values())
        except CallerError as error:
            log.warning("%s; %r keeps a hash by older parameters", error, account.name)
            return account
        self._next_check_s = 0.0
        return fresh

    def _current(self) -> dict[str, Account] | None:
        """The accounts, read again where the file has changed. A file that vanished or broke changes nothing."""
        if self._clock() >= self._next_check_s:
            self._next_check_s = self._clock() + FILE_CHECK_S
            if (stamp := _stamp(self._path)) not in (None, self._stamp):
                self._stamp = stamp
                try:
                    accounts = read_accounts(self._path)
                    self._accounts = self._accounts if accounts is None else accounts
                except CallerError as error:
                    log.error("%s; the accounts read before stay in force", error)
        return self._accounts


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What changes when a file is replaced or written."""
    with contextlib.suppress(OSError):
        stat = path.stat()
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
    return None
