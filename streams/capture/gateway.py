"""The gateway: shots of a source become frames on the topic `frames`, in order, none dropped in silence.

Shell: it gives trigger numbers and ids, once, and tells the source what was taken over, by the broker or by the spool.
How frames come to the broker, and where they are while it is away, is `sending.py`'s. Stopping it (Ctrl-C cancels
`run`) finishes what is in flight. What a frame is, `frames.py` decides; where shots come from, it does not know.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from streams.capture.backlog import Backlog
from streams.capture.captured import Captured
from streams.capture.changes import Changes
from streams.capture.clocks import GatewayClocks
from streams.capture.counts import Counts
from streams.capture.dialling import Connect, Dialler
from streams.capture.frames import check, frame_captured
from streams.capture.sending import Sending
from streams.capture.sequence import TriggerSequence
from streams.capture.session import ClaimChecks
from streams.capture.source import Camera, Shot, Source
from streams.capture.spool import Spool
from streams.errors import CallerError, LinesideError
from streams.settings import Settings
from streams.store import FrameStore

__all__ = ["Counts", "Gateway", "Progress", "sequence_folder"]

T = TypeVar("T")
Progress = Callable[[Counts], None]


def sequence_folder(settings: Settings) -> Path:
    """Where the cameras' trigger numbers are kept."""
    return settings.data_dir / "gateway"


class Gateway:
    """One run of one source; make it inside a running loop. `connect` gives a started producer whenever it is asked.

    `store` is made when the first picture needs it. `spool` is open while it runs, for those who watch it.
    """

    def __init__(
        self,
        connect: Connect,
        settings: Settings,
        store: FrameStore | None = None,
        progress: Progress | None = None,
        clocks: GatewayClocks | None = None,
    ) -> None:
        self.counts = Counts()
        self.spool: Spool | None = None
        self._connect = connect
        self._settings = settings
        self._pictures = ClaimChecks(settings, store)
        self._progress = progress or (lambda _: None)
        self._clocks = clocks or GatewayClocks()
        self._sequences: dict[Camera, TriggerSequence] = {}
        self._open = ExitStack()
        self._changes = Changes()
        self._failure: asyncio.Future[LinesideError] = asyncio.get_running_loop().create_future()

    async def run(self, source: Source) -> Counts:
        """Sends what an earlier run left and every shot; returns when the broker has confirmed the last.

        While the broker is away frames go to the spool, and at the end of the source it is waited for. CallerError for
        a shot that can't be a frame, OperatorError where numbers, spool or the source's own notes can't be kept.
        Cancelled, it finishes what is in flight, or leaves it in the spool, then ends.
        """
        with self._open:
            self._open.callback(self._pictures.close)
            sending = await self._sending(source.can_wait)
            shots = aiter(source)
            try:
                await sending.start()
                while (shot := await self._next(shots)) is not None:
                    await self._capture(shot, source, sending)
                await self._unless_it_fails(sending.finish())
            finally:
                if isinstance(shots, AsyncGenerator):
                    await shots.aclose()
                await _to_the_end(sending.leave())
                self.spool = None
            self._raise_failure()
        return self.counts

    async def _sending(self, can_wait: bool) -> Sending:
        settings, changes = self._settings, self._changes
        self.spool = await asyncio.to_thread(Spool, settings.spool_folder, settings.spool_max_bytes)
        backlog = Backlog(self.spool, changes, self.counts, self._sync_numbers, lambda: self._progress(self.counts))
        dialler = Dialler(self._connect, self._pictures, self._clocks, changes, settings.broker_silence_s)
        return Sending(dialler, backlog, changes, self.counts, can_wait)

    async def _next(self, shots: AsyncIterator[Shot]) -> Shot | None:
        """The next shot; None at the end."""
        return await self._unless_it_fails(_pull(shots))

    async def _capture(self, shot: Shot, source: Source, sending: Sending) -> None:
        """The shot gets its number and id, and is handed over; nothing ends in between."""
        try:
            check(shot)
        except ValueError as error:
            raise CallerError(f"a picture of {shot.camera} can't be sent: {error}") from error
        if not sending.has_room(len(shot.data)):
            await self._unless_it_fails(sending.room_for(len(shot.data)))
        trigger_seq = self._sequence(shot.camera).take()
        captured = Captured(frame_captured(shot, trigger_seq, gateway_ms=0), self._clocks.trigger(shot.triggered_s))
        self.counts.captured += 1
        self.counts.picture_bytes += len(shot.data)
        sending.put(captured, lambda: self._taken_over(shot, source))

    def _taken_over(self, shot: Shot, source: Source) -> None:
        try:
            source.confirmed(shot)
        except LinesideError as error:
            if not self._failure.done():
                self._failure.set_result(error)
        self._progress(self.counts)

    async def _unless_it_fails(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`; what fails meanwhile in the source's notes, or crashes in the sending, ends it."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._failure, self._changes.crash), return_when=asyncio.FIRST_COMPLETED)
            self._raise_failure()
            if self._changes.crash.done():
                raise self._changes.crash.result()
            return task.result()
        finally:
            if task.cancel():
                await asyncio.wait((task,))

    def _raise_failure(self) -> None:
        if self._failure.done():
            raise self._failure.result()

    def _sync_numbers(self) -> None:
        for sequence in tuple(self._sequences.values()):
            sequence.sync()

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
