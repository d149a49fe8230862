"""The gate that a frame passes just before it is sent: open, or closed for a while when somebody asks for it.

Place in the flow: between a gateway and its producer. While partitions are added no frame may be on its way, because a
key's partition changes with their number. Who adds them asks for a pause with a lease; a gateway answers when all that
it sent is confirmed, and goes on when told to or when the lease ends, whichever is first: a pause that nobody ends is
over by itself. Before it goes on it looks how many partitions there are. Knows no Kafka; see `streams/pausing.py`.

    signals   PAUSE ─── PAUSE (longer) ─────────────── GO_ON
    gate      closed ▸ all confirmed ▸ PAUSED ······· looks at partitions ▸ open ▸ WENT_ON
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from schemas.records import GateKind, GateSignal

log = logging.getLogger(__name__)
POLL_S = 0.02
ASLEEP_S = 5.0  # a process that was stopped for longer asks for partitions before it sends
TICK_S = 1.0


class Gate(Protocol):
    """What a gateway needs: `async with gate.passing():` around making a frame and handing it to the producer."""

    def passing(self) -> AbstractAsyncContextManager[None]: ...


class OpenGate:
    """A gate that nobody closes."""

    def passing(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()


@dataclass(slots=True)
class _Pause:
    id: UUID
    lease_s: float
    asked_ms: int  # when it was asked for, or prolonged: the broker's clock
    until_s: float  # ours, monotonic
    ended: bool = False
    partitions: int = 1  # to be seen before it goes on


class Sending(Protocol):
    """The gateway's way out, as far as a gate must know of it."""

    @property
    def pending(self) -> int:
        """Frames handed over that are not confirmed."""
        ...

    async def partitions(self, at_least: int) -> int:
        """How many partitions `frames` has now; places keys by that from here on."""
        ...

    async def answer(self, signal: GateSignal) -> int:
        """Sends an answer; when it was appended, ms since 1970 by the broker's clock."""
        ...


class LeasedGate:
    """Hand it every signal in log order with `take`; `run` does the rest until it is cancelled."""

    def __init__(self, name: str, sending: Sending) -> None:
        self._name = name
        self._sending = sending
        self._pause: _Pause | None = None  # the newest; answered when `_closed` is false again
        self._closed = False
        self._stale = False
        self._awake_s = time.monotonic()
        self._inside = 0
        self._news = asyncio.Event()
        self._opened = asyncio.Condition()
        self._failure: Exception | None = None
        self._running = False

    @property
    def closed(self) -> bool:
        return self._closed

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Waits while the gate is closed; raises what ended `run`."""
        if self._stale or time.monotonic() - self._awake_s > ASLEEP_S:
            await self._sending.partitions(1)
            self._stale, self._awake_s = False, time.monotonic()
        if self._closed:
            async with self._opened:
                await self._opened.wait_for(lambda: not self._closed)
        if self._failure:
            raise self._failure
        self._inside += 1  # nothing was awaited since the gate was seen open
        try:
            yield
        finally:
            self._inside -= 1

    def take(self, signal: GateSignal, appended_at: datetime) -> None:
        """The next signal; answers, other gateways' or its own, are none of its business."""
        asked_ms, pause = round(appended_at.timestamp() * 1000), self._pause
        if signal.kind is GateKind.PAUSE:
            lease_s = signal.lease_ms / 1000
            until_s = time.monotonic() + lease_s
            if pause and pause.id == signal.pause_id and not pause.ended:
                pause.lease_s, pause.asked_ms, pause.until_s = lease_s, asked_ms, until_s
            else:
                self._pause = _Pause(signal.pause_id, lease_s, asked_ms, until_s)
                self._closed = True
            self._news.set()
        elif signal.kind is GateKind.GO_ON and pause and pause.id == signal.pause_id:
            pause.ended, pause.partitions = True, signal.partitions or 1
            self._closed = self._closed and self._running  # one that was over before we began was never answered
            self._news.set()

    async def run(self) -> None:
        """Answers signals; ends only by an error, which then also ends whoever wants to pass."""
        ticking = asyncio.create_task(self._tick())
        self._running = True
        try:
            while True:
                await self._news.wait()
                self._news.clear()
                if self._closed and self._pause:
                    await self._wait_out(self._pause)
        except Exception as error:
            self._failure = error
            raise
        finally:
            ticking.cancel()
            self._closed = False
            async with self._opened:
                self._opened.notify_all()

    async def _wait_out(self, pause: _Pause) -> None:
        await _until(lambda: not self._inside and not self._sending.pending)
        if not pause.ended:
            answered_ms = await self._sending.answer(self._signal(pause, GateKind.PAUSED))
            left_s = pause.lease_s - (answered_ms - pause.asked_ms) / 1000  # of one that was asked for before we began
            pause.until_s = min(pause.until_s, time.monotonic() + left_s)
        await _until(lambda: pause.ended or time.monotonic() >= pause.until_s or pause is not self._pause)
        if pause is not self._pause:
            return  # another is asked for: the gate stays closed
        if not pause.ended:
            log.warning("the pause that was asked for was neither prolonged nor ended: sending again")
            pause.ended = True
        partitions = await self._sending.partitions(pause.partitions)
        if pause is self._pause:
            self._closed = False
            async with self._opened:
                self._opened.notify_all()
            await self._sending.answer(self._signal(pause, GateKind.WENT_ON, partitions))

    def _signal(self, pause: _Pause, kind: GateKind, partitions: int | None = None) -> GateSignal:
        return GateSignal(pause_id=pause.id, kind=kind, sender=self._name, partitions=partitions, at=datetime.now(UTC))

    async def _tick(self) -> None:
        """Notices when the process was stopped: what it knows of partitions may be old then."""
        while True:
            await asyncio.sleep(TICK_S)
            self._stale |= time.monotonic() - self._awake_s > ASLEEP_S
            self._awake_s = time.monotonic()


async def _until(ready: Callable[[], bool]) -> None:
    while not ready():  # noqa: ASYNC110  a producer tells nobody when nothing is pending any more
        await asyncio.sleep(POLL_S)
