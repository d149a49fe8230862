"""Finds the broker, again and again, with growing pauses; each time it answers a session begins.

A broker that stays silent within a session is given more time in the next one, until it confirms something: a slow way
to it must not end in copies alone. Knows neither spool nor source.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from streams.capture.changes import Changes
from streams.capture.clocks import GatewayClocks
from streams.capture.session import ClaimChecks, Link, Session
from streams.errors import BrokerRefusedError, BrokerUnreachableError, CallerError, LinesideError

log = logging.getLogger(__name__)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 2.0
LONGEST_PATIENCE_S = 64.0
REMIND_S = 60.0

Connect = Callable[[], Awaitable[Link]]
"""A started producer to topics that are right. LinesideError where that can't be had."""


class Dialler:
    """See the module. `silence_s`: how long a broker may confirm nothing, to begin with."""

    def __init__(
        self, connect: Connect, pictures: ClaimChecks, clocks: GatewayClocks, changes: Changes, silence_s: float
    ) -> None:
        self._connect, self._pictures, self._clocks, self._changes = connect, pictures, clocks, changes
        self.silence_s = self._patience_s = silence_s
        self._pause_s = FIRST_PAUSE_S
        self._told, self._told_s = "", 0.0

    async def first(self) -> Session | None:
        """A session, or None where the broker is away. CallerError where a person must change something first."""
        try:
            return await self._session()
        except LinesideError as error:
            is_away = isinstance(error, BrokerUnreachableError) and not isinstance(error, BrokerRefusedError)
            if isinstance(error, CallerError) and not is_away:
                raise
            self._tell(error)
            return None

    async def next(self) -> Session:
        """A session as soon as there can be one."""
        while True:
            await asyncio.sleep(self._pause_s)
            try:
                return await self._session()
            except LinesideError as error:
                self._tell(error)
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)

    def ended(self, session: Session) -> None:
        """Learns from a session that is over."""
        if session.confirmed:  # the broker was there: that it is away now is news, whatever the reason
            self._told, self._pause_s, self._patience_s = "", FIRST_PAUSE_S, self.silence_s
        else:
            self._pause_s = min(LONGEST_PAUSE_S, 2 * self._pause_s)
            if session.was_silent:
                self._patience_s = min(LONGEST_PATIENCE_S, 2 * self._patience_s)
        if session.failure is not None:
            self._tell(session.failure)

    async def _session(self) -> Session:
        link = await self._connect()
        return Session(link, self._pictures, self._clocks, self._changes, self._patience_s)

    def _tell(self, error: LinesideError) -> None:
        """Each reason once while the broker is away, and again every minute."""
        if str(error) != self._told or time.monotonic() - self._told_s > REMIND_S:
            self._told, self._told_s = str(error), time.monotonic()
            log.warning("frames can't be sent now, they go to the spool: %s", error)
