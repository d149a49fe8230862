"""An operator's claims: takes the open case, renews its claim in time, gives it back when it is left.

Place in the flow: under a seat, which says what is open. Knows no decision and no page.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any

from schemas.records import StationClaim
from streams.downstream.rework.cases import Case, CaseKey
from streams.downstream.rework.desk import Desk
from streams.errors import LinesideError

log = logging.getLogger(__name__)
RENEW_SHARE = 0.5  # of a claim's time, then it is taken again


class Hold:
    """See the module. `is_open` tells whether a case is the open one; `on_change` is told when a claim came."""

    def __init__(
        self,
        desk: Desk,
        operator: str,
        clock: Callable[[], datetime],
        is_open: Callable[[Case], bool],
        on_change: Callable[[], None],
    ) -> None:
        self._desk = desk
        self._operator = operator
        self._clock = clock
        self._is_open = is_open
        self._on_change = on_change
        self._taking: set[CaseKey] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def other(self, case: Case) -> StationClaim | None:
        """The claim of somebody else, who has the case open."""
        claim = self._desk.board.holder(case.key, self._clock())
        return None if claim is None or self._is_mine(claim) else claim

    def keep(self, case: Case) -> None:
        """Take an open case where nobody has it, and again where our own claim wants renewing."""
        claim = self._desk.board.holder(case.key, self._clock())
        if claim is None or (self._is_mine(claim) and self._wants_renewing(claim)):
            self._take(case)

    def leave(self, case: Case) -> None:
        """Give a case back that was not decided."""
        if self._desk.board.decision(case.key) is None and self.other(case) is None:
            self._run(self._release(case))

    def _is_mine(self, claim: StationClaim) -> bool:
        return (claim.operator, claim.rework_station) == (self._operator, self._desk.rework_station)

    def _wants_renewing(self, claim: StationClaim) -> bool:
        return self._clock() - claim.at > timedelta(milliseconds=claim.ttl_ms) * RENEW_SHARE

    def _take(self, case: Case) -> None:
        if case.key not in self._taking and self._desk.board.decision(case.key) is None:
            self._taking.add(case.key)
            self._run(self._taken(case))

    async def _taken(self, case: Case) -> None:
        try:
            await self._desk.open(case.key, self._operator)
        except LinesideError:
            log.exception("a case was not claimed")
        finally:
            self._taking.discard(case.key)
        if not self._is_open(case):  # left while the claim was on its way
            await self._release(case)
        self._on_change()

    async def _release(self, case: Case) -> None:
        try:
            await self._desk.release(case.key, self._operator)
        except LinesideError:
            log.exception("a claim was not given back; it ends by itself")

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
