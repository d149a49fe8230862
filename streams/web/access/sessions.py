"""Sessions of signed-in users, kept on the server; the browser holds 256 random bits. Pure: times are arguments.

A session ends when it was idle too long, 12 h after it began, when its user signs out, or when the account changes.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace

from streams.web.access.users import Account, Role, User

OPERATOR_IDLE_S = 15 * 60.0
IDLE_S = 60 * 60.0
ABSOLUTE_S = 12 * 3_600.0
MAX_SESSIONS = 10_000


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a session lasts without activity, for mere operators (shared screens) and others, and in all."""

    operator_idle_s: float = OPERATOR_IDLE_S
    idle_s: float = IDLE_S
    absolute_s: float = ABSOLUTE_S

    def idle_of(self, user: User) -> float:
        return self.operator_idle_s if user.roles == {Role.OPERATOR} else self.idle_s


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in. `account` is what it rests on, None in open mode and behind a proxy."""

    user: User
    account: Account | None
    started_s: float
    seen_s: float


class Sessions:
    """All sessions by the hash of their id: who reads the memory of this table can't take one over."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sessions: dict[str, Session] = {}  # oldest first

    def begin(self, user: User, account: Account | None, now_s: float) -> str:
        """The id of a new session."""
        session_id = secrets.token_urlsafe(32)
        self._prune(now_s)
        self._sessions[_key(session_id)] = Session(user, account, now_s, now_s)
        return session_id

    def get(self, session_id: str, now_s: float) -> Session | None:
        """The session, None where there is none or it has expired. Looking is no activity."""
        session = self._sessions.get(_key(session_id))
        return session if session and self.remaining_s(session, now_s) > 0 else None

    def touch(self, session_id: str, now_s: float) -> None:
        """The user did something."""
        if (session := self.get(session_id, now_s)) is not None:
            self._sessions[_key(session_id)] = replace(session, seen_s=now_s)

    def end(self, session_id: str) -> Session | None:
        """Sign out; the session that ended."""
        return self._sessions.pop(_key(session_id), None)

    def remaining_s(self, session: Session, now_s: float) -> float:
        """Seconds until a session expires if nothing happens."""
        idle_until = session.seen_s + self._limits.idle_of(session.user)
        return min(idle_until, session.started_s + self._limits.absolute_s) - now_s

    def _prune(self, now_s: float) -> None:
        for key in [k for k, s in self._sessions.items() if self.remaining_s(s, now_s) <= 0]:
            del self._sessions[key]
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]


def _key(session_id: str) -> str:
    return hashlib.sha256(session_id.encode()).hexdigest()
