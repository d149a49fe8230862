"""One producer's life: frames go out in order until one fails or the broker falls silent; then it is never used again.

Place in the flow: `sending.py` begins a session whenever the broker answers and ends it for good before the next one.
Large pictures are put into the frame store here, at the sending: a store that takes nothing ends the session too. Knows
no spool and no source.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from schemas.records import Event, FrameCaptured
from streams.capture.captured import Captured
from streams.capture.changes import Changes
from streams.capture.clocks import GatewayClocks
from streams.capture.frames import travels_inline
from streams.capture.pictures import extension_of
from streams.errors import LinesideError, OperatorError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import FRAMES, Topic

if TYPE_CHECKING:
    from streams.bus.publisher import Delivery

IN_FLIGHT_FRAMES = 256
IN_FLIGHT_BYTES = 64 << 20
TICKS = 8  # looks at progress within the time that the broker may be silent
STOP_S = 10.0
T = TypeVar("T")


class Link(Protocol):
    """What a session needs of `streams.bus.publisher.Publisher`, which explains it, behind a gate."""

    @property
    def is_paused(self) -> bool:
        """True while gateways are asked to send nothing."""
        ...

    async def send(
        self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
    ) -> asyncio.Future[Delivery]: ...

    async def stop(self, timeout_s: float = STOP_S) -> None: ...

    async def abort(self) -> None:
        """Ends it at once: when this returns, nothing that was not confirmed is sent any more."""


class UnsendableError(LinesideError):
    """No broker will ever take this frame."""


class ClaimChecks:
    """Puts large pictures into the frame store, which is made when the first needs it."""

    def __init__(self, settings: Settings, store: FrameStore | None = None) -> None:
        self.inline_max_bytes = settings.inline_max_bytes
        self._url = settings.frame_store_url
        self._store = store
        self._threads = ThreadPoolExecutor(2, "store")  # a store that hangs takes no other thread of the process

    async def put(self, captured: Captured) -> str:
        """The picture's URI. LinesideError where the store takes nothing."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._put, captured)

    def _put(self, captured: Captured) -> str:
        if self._store is None:
            self._store = FrameStore(self._url)
        frame = captured.frame
        return self._store.put(captured.picture, frame.image_sha256, extension_of(frame.encoding))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


class Session:
    """See the module. `failure` says why it ended; it may be silent for `patience_s` while frames are in flight."""

    def __init__(
        self, link: Link, pictures: ClaimChecks, clocks: GatewayClocks, changes: Changes, patience_s: float
    ) -> None:
        self.patience_s = patience_s
        self.confirmed = self.sent = self.claim_checks = 0
        self.was_silent = False
        self._link, self._pictures, self._clocks, self._changes = link, pictures, clocks, changes
        self._in_flight = self._in_flight_bytes = self._busy = self._steps = 0
        self._failed: asyncio.Future[LinesideError] = asyncio.get_running_loop().create_future()
        self._watch = asyncio.create_task(self._watch_progress())

    @property
    def failure(self) -> LinesideError | None:
        return self._failed.result() if self._failed.done() else None

    @property
    def is_paused(self) -> bool:
        return self._link.is_paused

    @property
    def is_proven(self) -> bool:
        """Whether the broker confirms at all, or nothing was asked of it yet."""
        return self.confirmed > 0 or not self._in_flight

    def give_up(self, why: str) -> None:
        """Fails, as if the broker had."""
        self._fail(OperatorError(why))

    async def send(self, captured: Captured, confirmed: Callable[[], None]) -> None:
        """Sends one frame behind all before it; `confirmed` is called when the broker has it.

        LinesideError where the session has failed, UnsendableError where only this frame can't be sent.
        """
        size = len(captured.picture)
        await self._until(lambda: self._has_room_for(size))
        self._busy += 1
        try:
            delivery = await self._unless_it_fails(self._hand_over(captured))
        finally:
            self._busy -= 1
        self.sent += 1
        self._in_flight += 1
        self._in_flight_bytes += size
        delivery.add_done_callback(lambda done: self._settle(done, captured, size, confirmed))

    async def drained(self) -> None:
        """All that was sent is confirmed. LinesideError where the session fails before."""
        await self._until(lambda: not self._in_flight)

    async def close(self) -> None:
        """Ends it for good: gently where nothing is in flight, else at once."""
        self._watch.cancel()
        await asyncio.wait((self._watch,))
        if self.failure is None and not self._in_flight:
            try:
                await self._link.stop(STOP_S)
                return
            except LinesideError as error:
                self._fail(error)
        await self._link.abort()

    async def _hand_over(self, captured: Captured) -> asyncio.Future[Delivery]:
        from streams.bus.publisher import RecordTooLargeError  # not before a broker is there

        inline = travels_inline(captured.picture, self._pictures.inline_max_bytes)
        try:
            return await self._link.send(FRAMES, await self._event(captured, inline), key=captured.key)
        except RecordTooLargeError as error:
            if not inline or not captured.picture:
                raise UnsendableError(f"{captured} can't be sent: {error}") from error
        try:  # inline_max_bytes allows more than the topic
            return await self._link.send(FRAMES, await self._event(captured, False), key=captured.key)
        except RecordTooLargeError as error:
            raise UnsendableError(f"{captured} can't be sent: {error}") from error

    async def _event(self, captured: Captured, inline: bool) -> FrameCaptured:
        if inline:
            return captured.event(self._clocks.now())
        reference = await self._pictures.put(captured)
        self.claim_checks += 1
        self._steps += 1
        return captured.event(self._clocks.now(), reference)

    def _settle(
        self, delivery: asyncio.Future[Delivery], captured: Captured, size: int, confirmed: Callable[[], None]
    ) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= size
        try:
            delivery.result()
        except LinesideError as error:
            self._fail(error)
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, the broker did not confirm
            self._fail(OperatorError(f"{captured} was not confirmed: {type(error).__name__}: {error}"))
        else:
            self._steps += 1
            self.confirmed += 1
            confirmed()
        self._changes.wake()

    def _fail(self, error: LinesideError) -> None:
        if not self._failed.done():
            self._failed.set_result(error)
        self._changes.wake()

    async def _watch_progress(self) -> None:
        """A broker that confirms nothing while it should is away; time that this process itself slept doesn't count."""
        steps, silent = self._steps, 0
        while silent < TICKS:
            await asyncio.sleep(self.patience_s / TICKS)
            is_waiting = (self._in_flight or self._busy) and steps == self._steps
            steps, silent = self._steps, silent + 1 if is_waiting else 0
        self.was_silent = True
        self._fail(OperatorError(f"nothing was confirmed for {self.patience_s:g} s"))

    async def _unless_it_fails(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, which ends with the session."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._failed), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self._failed.result()
            return task.result()
        except LinesideError as error:
            if not isinstance(error, UnsendableError):
                self._fail(error)
            raise
        finally:
            if task.cancel():
                await asyncio.wait((task,))

    def _has_room_for(self, size: int) -> bool:
        """One picture always has room, however large."""
        room = self._in_flight < IN_FLIGHT_FRAMES and self._in_flight_bytes + size <= IN_FLIGHT_BYTES
        return room or not self._in_flight

    async def _until(self, ready: Callable[[], bool]) -> None:
        await self._changes.until(lambda: self._failed.done() or ready())
        if self._failed.done():
            raise self._failed.result()
