"""Hands a new session from a page's web socket, which can set no cookie, to the browser's cookie.

The page that signed a user in gets a ticket, and its browser trades it once, within seconds, for the cookie.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

VALID_S = 30.0
MAX_TICKETS = 1_000


class Tickets:
    """Tickets that nobody has traded yet, oldest first. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._sessions: dict[str, tuple[str, float]] = {}

    def issue(self, session_id: str) -> str:
        """A ticket for a session."""
        ticket = secrets.token_urlsafe(32)
        self._sessions[ticket] = (session_id, self._clock())
        while len(self._sessions) > MAX_TICKETS:
            del self._sessions[next(iter(self._sessions))]
        return ticket

    def trade(self, ticket: str) -> str | None:
        """The session's id; None for a ticket that is unknown, used or too old."""
        session_id, issued_s = self._sessions.pop(ticket, (None, 0.0))
        return session_id if self._clock() - issued_s <= VALID_S else None
