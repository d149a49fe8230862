"""Decode pool and engine of one model, off the event loop: pictures in, scores out.

Place in the flow: the agent asks for the scores of one frame; frames are decoded in threads, gathered into batches and
given to the engine. A failing batch is halved until the one frame that fails is alone. Where a model looks at several
views of a picture, each takes a place in a batch of its own, and what is said of them becomes what is said of the
picture. It knows nothing of Kafka, recipes or verdicts, and lives on one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from models.errors import DeviceFatalError
from models.preprocess import EncodedImage, Preprocessing
from models.views import View, combined, strongest
from schemas.records import Reason
from streams.errors import FatalDeviceError, FrameRejectedError
from streams.inspection.batching import PATIENCE_S, Batcher
from streams.inspection.decide import ANY_DEFECT, NO_PLACES, ClassRoles, Places, Provenance
from streams.inspection.decode_pool import Decoded, DecodePool, ExpiredError
from streams.inspection.pictures import ends_at
from streams.inspection.turns import Turns
from streams.inspection.urgency import UrgentPlaces

if TYPE_CHECKING:
    from models.engines import Engine

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Scores = np.ndarray[Any, np.dtype[np.float32]]
IN_PARTS_AT_ONCE = 4  # pictures that are looked at in parts: one may hold 256 inputs of the network in memory


class Scored(NamedTuple):
    """What a model says of one picture, float32 [classes (+ 1)], what it was computed with, and where it says so."""

    scores: Scores
    provenance: Provenance
    places: Places


@dataclass(frozen=True, slots=True)
class ServingModel:
    """A verified model with its engine."""

    model_id: str
    sha256: str
    preprocessing: Preprocessing
    roles: ClassRoles
    engine: Engine
    thresholds: tuple[tuple[str, float], ...]
    unsure_band: float


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """Frames a batch, seconds of waiting for a fuller one, and seconds after which a batch will never come back."""

    max_batch: int
    linger_s: float
    infer_timeout_s: float


class RoomWatcher(Protocol):
    """What the room tells whoever measures it."""

    def batch_left(self, size: int, why: str) -> None: ...
    def batch_done(self, size: int, seconds: float) -> None: ...


class Unwatched:
    """A watcher for work that nobody measures."""

    def batch_left(self, size: int, why: str) -> None: ...

    def batch_done(self, size: int, seconds: float) -> None: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """One view of a picture that waits for its place in a batch."""

    pixels: Pixels
    expires_at: float
    future: asyncio.Future[_Ran] = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Ran:
    """The scores of one view and the batch that gave them: its size, when it began and how long it took."""

    row: Scores
    size: int
    started: float
    seconds: float


class EngineRoom:
    """Scores frames with one model."""

    def __init__(
        self,
        model: ServingModel,
        pool: DecodePool,
        limits: RoomLimits,
        watcher: RoomWatcher,
        die: Callable[[str], None],
        turns: Turns | None = None,
    ) -> None:
        """`turns`: shared with the worker's other rooms; without it the room has the device to itself."""
        self.model = model
        self._pool = pool
        self._limits = limits
        self._watcher = watcher
        self._die = die
        self._batcher: Batcher[_Waiting] = Batcher(min(limits.max_batch, max(model.engine.buckets)), limits.linger_s)
        self._under_way = 0
        self._decoding = 0
        self._busy = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._turns = turns or Turns(model.engine.concurrency)
        self._turns.join(self)
        self._preprocess_sha256 = model.preprocessing.sha256
        self._in_parts = None if model.preprocessing.is_whole else UrgentPlaces(IN_PARTS_AT_ONCE)

    async def score(self, image: EncodedImage, expires_at: float) -> Scored:
        """What the model says of one picture.

        Raises FrameRejectedError for a picture that can't be inspected and ExpiredError past `expires_at` (seconds of
        time.monotonic(), may be infinite): an expired frame never reaches the engine.
        """
        self._under_way += 1
        try:
            return await self._score(image, expires_at)
        finally:
            self._under_way -= 1

    @property
    def is_idle(self) -> bool:
        """Whether no picture is under way."""
        return not self._under_way and not self._batches

    async def _score(self, image: EncodedImage, expires_at: float) -> Scored:
        came = time.monotonic()
        due = min(expires_at, came + PATIENCE_S)
        async with AsyncExitStack() as held:
            if self._in_parts is not None:
                async with ends_at(expires_at):
                    await held.enter_async_context(self._in_parts.place(due))
            decoded, waiting = await self._decoded(image, due, expires_at)
            ran = await asyncio.gather(*waiting)
        since = came + decoded.decode_ms / 1000  # so that queue time is all the waiting, before and after decoding
        return scored(self.model.roles, [r.row for r in ran], decoded.seen.views, self._provenance(ran, since, decoded))

    async def _decoded(
        self, image: EncodedImage, due: float, expires_at: float
    ) -> tuple[Decoded, list[asyncio.Future[_Ran]]]:
        """The picture's views, and what will be said of each."""
        self._decoding += 1
        try:
            decoded = await self._pool.decode(image, self.model.preprocessing, due, expires_at)
            return decoded, [self._queued(pixels, expires_at) for pixels in decoded.seen.pixels]
        finally:
            self._decoding -= 1
            self._turns.pump()  # also where this frame failed: whoever waited for it need not wait any longer

    def _queued(self, pixels: Pixels, expires_at: float) -> asyncio.Future[_Ran]:
        future: asyncio.Future[_Ran] = asyncio.get_running_loop().create_future()
        self._batcher.add(_Waiting(pixels, expires_at, future), time.monotonic(), expires_at)
        return future

    def close(self) -> None:
        self._turns.leave(self)
        if self._timer:
            self._timer.cancel()
        self.model.engine.close()

    # --- its turn at the device, see `turns.py` ---------------------------------------------------------------------

    def urgency(self) -> float | None:
        """When its next batch is due, while its engine is free and one may leave."""
        if self._busy >= self.model.engine.concurrency:
            return None
        return self._batcher.urgency(time.monotonic(), self._decoding)

    def start(self) -> bool:
        """Give the engine its next batch; False where nothing of it is in time any more."""
        batch = self._batcher.take(time.monotonic(), self._decoding)
        items = _in_time(batch.items) if batch else []
        if batch is None or not items:
            return False
        self._watcher.batch_left(len(items), batch.why)
        self._busy += 1
        task = asyncio.get_running_loop().create_task(self._run(items))
        self._batches.add(task)
        task.add_done_callback(self._batches.discard)
        return True

    def come_back(self) -> None:
        """Ask for a turn again when waiting must end."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if len(self._batcher):
            delay = max(0.0, self._batcher.due_at() - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._turns.pump)

    async def _run(self, items: list[_Waiting]) -> None:
        try:
            await self._infer(items)
        except Exception as error:  # the device can't be trusted any more, or a bug: frames would wait for ever
            self._die(f"inference failed: {type(error).__name__}: {error}")
        finally:
            self._busy -= 1
            self._turns.over()

    async def _infer(self, items: list[_Waiting]) -> None:
        """Scores for a batch; a batch that fails is halved until the frame at fault is alone."""
        if not items:
            return
        started = time.monotonic()
        try:
            scores = await self._ask_engine(np.stack([w.pixels for w in items]))
        except FatalDeviceError:
            raise
        except Exception as error:  # whatever an engine raises, one frame at most shall pay for it
            if len(items) == 1:
                _fail(items[0], FrameRejectedError(Reason.ENGINE_FAILED, f"{type(error).__name__}: {error}"))
                return
            middle = len(items) // 2
            await self._infer(_in_time(items[:middle]))
            await self._infer(_in_time(items[middle:]))
            return
        seconds = time.monotonic() - started
        self._watcher.batch_done(len(items), seconds)
        for waiting, row in zip(items, scores, strict=True):
            if not waiting.future.done():
                waiting.future.set_result(_Ran(row, len(items), started, seconds))

    async def _ask_engine(self, batch: Pixels) -> Scores:
        """N in, N out, within the time limit; FatalDeviceError where the device can't be trusted any more."""
        limit_s = self._limits.infer_timeout_s
        try:
            scores = await asyncio.wait_for(asyncio.wrap_future(self.model.engine.submit(batch)), limit_s)
        except TimeoutError:
            raise FatalDeviceError(f"no answer for a batch of {len(batch)} within {limit_s} s") from None
        except DeviceFatalError as error:
            raise FatalDeviceError(str(error)) from error
        if scores.shape != (len(batch), self.model.roles.width):
            raise ValueError(f"the engine gave {scores.shape} for {len(batch)} frames")
        return scores

    def _provenance(self, ran: Sequence[_Ran], since: float, decoded: Decoded) -> Provenance:
        started = min(r.started for r in ran)
        return Provenance(
            model_id=self.model.model_id,
            model_sha256=self.model.sha256,
            preprocess_sha256=self._preprocess_sha256,
            device=self.model.engine.device,
            precision=self.model.engine.precision,
            batch_size=max(r.size for r in ran),
            queue_ms=(started - since) * 1000,
            decode_ms=decoded.decode_ms,
            infer_ms=(max(r.started + r.seconds for r in ran) - started) * 1000,
            picture=decoded.seen.figures,
        )


def scored(roles: ClassRoles, rows: Sequence[Scores], views: Sequence[View], provenance: Provenance) -> Scored:
    """What is said of a picture by what is said of each of its views."""
    if len(views) == 1 and views[0].name is None:
        return Scored(rows[0], provenance, NO_PLACES)
    defects, together = [name in roles.defects for name in roles.names], np.stack(rows)
    most = strongest(together, roles.names, defects, ANY_DEFECT)
    places = {label: views[place] for label, place in most.items()}
    return Scored(combined(together, [len(rows)], defects)[0], provenance, places)


def _in_time(items: list[_Waiting]) -> list[_Waiting]:
    """The frames that may still be inferred; the others fail as expired."""
    now = time.monotonic()
    for expired in (w for w in items if w.expires_at <= now):
        _fail(expired, ExpiredError())
    return [w for w in items if w.expires_at > now]


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
