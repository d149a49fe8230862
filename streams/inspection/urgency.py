"""A few places, given to the most urgent of those who wait. Lives on one event loop."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class UrgentPlaces:
    """`count` places; who waits is served by `due`, the smallest first, then by coming."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[float, int, asyncio.Future[None]]] = []
        self._sequence = itertools.count()

    @asynccontextmanager
    async def place(self, due: float) -> AsyncIterator[None]:
        """A place for the length of the block."""
        if self._free:
            self._free -= 1
        else:
            await self._turn(due)
        try:
            yield
        finally:
            self._next()

    async def _turn(self, due: float) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (due, next(self._sequence), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the place was given in the same moment
                self._next()
            raise

    def _next(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
