"""The gateway: shots of a source become frames on the topic `frames`, in order, none dropped in silence.

Shell: it takes trigger numbers, puts large pictures into the store, sends, and counts what the broker confirmed. A send
that fails ends the run. Stopping it (Ctrl-C cancels `run`) finishes the frames in flight. What a frame is, `frames.py`
decides; where shots come from, it does not know.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from schemas.records import Event
from streams.capture.frames import check, frame_captured, key_of, sha256_of, travels_inline
from streams.capture.gate import Gate, OpenGate
from streams.capture.pictures import extension_of
from streams.capture.sequence import TriggerSequence
from streams.capture.source import Camera, Shot, Source
from streams.errors import CallerError, LinesideError, OperatorError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import FRAMES, Topic

if TYPE_CHECKING:
    from streams.bus.publisher import Delivery

IN_FLIGHT_FRAMES = 256
IN_FLIGHT_BYTES = 64 << 20


class Sender(Protocol):
    """What the gateway needs of `streams.bus.publisher.Publisher`, which explains it."""

    async def send(
        self, topic: Topic, record: Event, *, key: bytes, partition: int | None = None
    ) -> asyncio.Future[Delivery]: ...


@dataclass(slots=True)
class Counts:
    """What a run did so far: frames and picture bytes handed to the producer, and frames that the broker confirmed."""

    sent: int = 0
    confirmed: int = 0
    claim_checks: int = 0
    picture_bytes: int = 0


Progress = Callable[[Counts], None]


def sequence_folder(settings: Settings) -> Path:
    """Where the cameras' trigger numbers are kept."""
    return settings.data_dir / "gateway"


class Gateway:
    """One run of one source; make it inside a running loop. `store` is made when the first picture needs it."""

    def __init__(
        self,
        publisher: Sender,
        settings: Settings,
        store: FrameStore | None = None,
        progress: Progress | None = None,
        gate: Gate | None = None,
    ) -> None:
        self.counts = Counts()
        self._publisher = publisher
        self._settings = settings
        self._store = store
        self._gate = gate or OpenGate()
        self._progress = progress or (lambda _: None)
        self._sequences: dict[Camera, TriggerSequence] = {}
        self._open = ExitStack()
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._failure: asyncio.Future[LinesideError] = asyncio.get_running_loop().create_future()
        self._settled = asyncio.Event()  # a delivery was confirmed or failed

    async def run(self, source: Source) -> Counts:
        """Sends every shot and returns when the broker has confirmed the last.

        CallerError for a shot that can't be a frame, OperatorError where a send or the store fails. Cancelled, it sends
        the shot in hand, awaits what is in flight, then ends.
        """
        shots = aiter(source)
        with self._open:
            try:
                while (shot := await self._next(shots)) is not None:
                    await _to_the_end(self._publish(shot, source))
            finally:
                if isinstance(shots, AsyncGenerator):
                    await shots.aclose()
                await _to_the_end(self._drain())
            self._raise_failure()
        return self.counts

    async def _next(self, shots: AsyncIterator[Shot]) -> Shot | None:
        """The next shot; None at the end. A delivery that fails meanwhile ends the wait."""
        pull = asyncio.ensure_future(_pull(shots))
        try:
            await asyncio.wait((pull, self._failure), return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()
            return pull.result()
        finally:
            if pull.cancel():
                await asyncio.wait((pull,))

    async def _publish(self, shot: Shot, source: Source) -> None:
        try:
            check(shot)
        except ValueError as error:
            raise CallerError(f"a picture of {shot.camera} can't be sent: {error}") from error
        await self._until(lambda: self._failure.done() or self._has_room_for(shot))
        self._raise_failure()
        reference = None if travels_inline(shot, self._settings.inline_max_bytes) else await self._keep(shot)
        async with self._gate.passing():
            self._raise_failure()
            trigger_seq = self._sequence(shot.camera).take()
            gateway_ms = max(0, round((time.monotonic() - shot.triggered_s) * 1000))
            frame = frame_captured(shot, trigger_seq, gateway_ms=gateway_ms, image_ref=reference)
            delivery = await self._publisher.send(FRAMES, frame, key=key_of(shot))
        self._count(shot, reference)
        delivery.add_done_callback(lambda done: self._settle(done, shot, trigger_seq, source))

    def _count(self, shot: Shot, reference: str | None) -> None:
        self._in_flight += 1
        self._in_flight_bytes += len(shot.data)
        self.counts.sent += 1
        self.counts.claim_checks += reference is not None
        self.counts.picture_bytes += len(shot.data)

    def _settle(self, delivery: asyncio.Future[Delivery], shot: Shot, trigger_seq: int, source: Source) -> None:
        self._in_flight -= 1
        self._in_flight_bytes -= len(shot.data)
        self._settled.set()
        try:
            delivery.result()
            self.counts.confirmed += 1
            source.confirmed(shot)
            self._progress(self.counts)
        except LinesideError as error:
            self._fail(error)
        except (Exception, asyncio.CancelledError) as error:  # whatever it is, it must end the run
            why = f"{type(error).__name__}: {error}"
            self._fail(
                OperatorError(
                    f"frame {trigger_seq} of camera {shot.camera} was not confirmed: {why}; "
                    "see whether the broker runs, then start the gateway again"
                )
            )

    def _fail(self, error: LinesideError) -> None:
        if not self._failure.done():
            self._failure.set_result(error)

    def _raise_failure(self) -> None:
        if self._failure.done():
            raise self._failure.result()

    def _has_room_for(self, shot: Shot) -> bool:
        """One picture always has room, however large."""
        room = self._in_flight < IN_FLIGHT_FRAMES and self._in_flight_bytes + len(shot.data) <= IN_FLIGHT_BYTES
        return room or not self._in_flight

    async def _drain(self) -> None:
        await self._until(lambda: not self._in_flight)

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            self._settled.clear()
            await self._settled.wait()

    async def _keep(self, shot: Shot) -> str:
        """Puts a picture into the frame store before its frame is sent; its URI."""
        if self._store is None:
            self._store = await asyncio.to_thread(FrameStore, self._settings.frame_store_url)
        return await asyncio.to_thread(self._store.put, shot.data, sha256_of(shot.data), extension_of(shot.encoding))

    def _sequence(self, camera: Camera) -> TriggerSequence:
        if camera not in self._sequences:
            sequence = TriggerSequence(sequence_folder(self._settings), camera)
            self._sequences[camera] = self._open.enter_context(sequence)
        return self._sequences[camera]


async def _pull(shots: AsyncIterator[Shot]) -> Shot | None:
    return await anext(shots, None)


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Runs `work` to its end even if cancelled meanwhile, and only then lets the cancellation through."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,))
        if not task.cancelled() and (error := task.exception()):
            raise error from None
        raise
