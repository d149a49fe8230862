"""Keeps a board as the topics say, and tells who waits when a record was read back or anything changed.

Place in the flow: under `desk.py`, over the bus. Does not know what is decided.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.records import AuditEntry, ReworkOutcome, StationClaim
from streams.downstream.rework.board import Board
from streams.downstream.rework.bus import Bus, Feed
from streams.downstream.rework.cases import Case, CaseKey, Read
from streams.topics import AUDIT, CLAIMS, DEFECTS, LOCATIONS, OUTCOMES, PARTS, SAMPLES, Topic

log = logging.getLogger(__name__)

NOTIFY_S = 0.1  # changes within this time are one to listeners
TIDY_S = 3600.0

PARTS_GATHER_MS = 250  # most of a busy line pass, and tell the board nothing

Token = tuple[object, ...]
"""What tells a record from all others where it is read back."""


def now_ms() -> datetime:
    """The time to the millisecond, as events hold it."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Link:
    """A board that follows its topics; what was over `history` ago is forgotten."""

    def __init__(self, bus: Bus, board: Board, history: timedelta) -> None:
        self.bus = bus
        self._board = board
        self._history = history
        self._awaited: defaultdict[Token, list[asyncio.Future[Any]]] = defaultdict(list)
        self._listeners: dict[object, Callable[[], None]] = {}
        self._notice: asyncio.TimerHandle | None = None
        self._tidying: asyncio.Task[None] | None = None

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` soon after the board or the connection changed; returns what ends that."""
        token = object()
        self._listeners[token] = callback

        def end() -> None:
            self._listeners.pop(token, None)

        return end

    async def start(self) -> None:
        """Returns when the board shows what the topics hold; decisions about parts may come in later."""
        board = self._board
        feeds = (
            Feed(DEFECTS, self._taking(board.defect)),
            Feed(LOCATIONS, self._taking(board.located)),
            Feed(SAMPLES, self._taking(board.sample)),
            Feed(OUTCOMES, self._taking(board.outcome, self._outcome_came)),
            Feed(CLAIMS, self._taking(board.claim, self._claim_came)),
            Feed(AUDIT, self._taking(board.audit, self._entry_came)),
            Feed(PARTS, self._taking(board.part), awaited=False, gather_ms=PARTS_GATHER_MS),
        )
        try:
            await self.bus.start(feeds, self._changed)
        except BaseException:
            await self.bus.stop()
            raise
        self._tidying = asyncio.create_task(self._tidy(), name="desk forgets what is long over")

    async def stop(self) -> None:
        if self._tidying:
            self._tidying.cancel()
            await asyncio.wait((self._tidying,))
        await self.bus.stop()
        if self._notice:
            self._notice.cancel()

    async def publish(self, topic: Topic, case: Case, record: StationClaim | ReworkOutcome) -> Any:
        """Sends what derives from a case and waits until it was read back.

        For an outcome: whether it counts. For a claim: the one that holds the case since then, None after a release.
        """
        read_back = self.expect(_claim_token(record) if isinstance(record, StationClaim) else (record.outcome_id,))
        await (await self.bus.send(topic, record, key=case.station_key, partition=case.partition))
        return await read_back

    def expect(self, token: Token) -> asyncio.Future[Any]:
        """Resolves when the record of this token was read and the board knows it; ask before it is sent."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._awaited[token].append(future)
        return future

    def _taking(
        self, take: Callable[[Read[Any]], None], came: Callable[[Any], tuple[Token, Any]] | None = None
    ) -> Callable[[Read[Any]], None]:
        """Puts a record on the board, then tells who waits for it."""

        def taking(read: Read[Any]) -> None:
            take(read)
            self._changed()
            if came:
                token, answer = came(read)
                for waiting in self._awaited.pop(token, ()):
                    if not waiting.done():
                        waiting.set_result(answer)

        return taking

    def _outcome_came(self, read: Read[ReworkOutcome]) -> tuple[Token, bool]:
        return (read.record.outcome_id,), self._board.counted(read.record)

    def _claim_came(self, read: Read[StationClaim]) -> tuple[Token, StationClaim | None]:
        claim = read.record
        return _claim_token(claim), self._board.holder(CaseKey(claim.verdict_id, claim.review), read.timestamp)

    def _entry_came(self, read: Read[AuditEntry]) -> tuple[Token, None]:
        return entry_token(read.record.action, read.record.subject, read.record.actor), None

    def _changed(self) -> None:
        if self._notice is None:
            self._notice = asyncio.get_running_loop().call_later(NOTIFY_S, self._notify)

    def _notify(self) -> None:
        self._notice = None
        for callback in tuple(self._listeners.values()):
            try:
                callback()
            except Exception:  # a broken page must not keep the others from hearing
                log.exception("a listener failed")

    async def _tidy(self) -> None:
        while True:
            await asyncio.sleep(TIDY_S)
            self._board.forget(now_ms() - self._history)


def entry_token(action: str, subject: str, actor: str) -> Token:
    return action, subject, actor


def _claim_token(claim: StationClaim) -> Token:
    return claim.claim_id, claim.released, claim.at
