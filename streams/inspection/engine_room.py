"""Decode pool and engine of one model, off the event loop: pictures in, scores out.

Place in the flow: the agent asks for the scores of one frame; frames are decoded in threads, gathered into batches and
given to the engine. A failing batch is halved until the one frame that fails is alone. It knows nothing of Kafka,
recipes or verdicts, and lives on one event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from models.errors import DeviceFatalError
from models.preprocess import EncodedImage, Preprocessing
from schemas.records import Reason
from streams.errors import FatalDeviceError, FrameRejectedError
from streams.inspection.batching import PATIENCE_S, Batch, Batcher
from streams.inspection.decide import ClassRoles, Provenance
from streams.inspection.decode_pool import Decoded, DecodePool, ExpiredError

if TYPE_CHECKING:
    from models.engines import Engine

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Scores = np.ndarray[Any, np.dtype[np.float32]]


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
    decoded: Decoded
    expires_at: float
    since: float
    future: asyncio.Future[tuple[Scores, Provenance]] = field(repr=False)


class EngineRoom:
    """Scores frames with one model."""

    def __init__(
        self,
        model: ServingModel,
        pool: DecodePool,
        limits: RoomLimits,
        watcher: RoomWatcher,
        die: Callable[[str], None],
    ) -> None:
        self.model = model
        self._pool = pool
        self._limits = limits
        self._watcher = watcher
        self._die = die
        self._batcher: Batcher[_Waiting] = Batcher(min(limits.max_batch, max(model.engine.buckets)), limits.linger_s)
        self._decoding = 0
        self._busy = 0
        self._timer: asyncio.TimerHandle | None = None
        self._batches: set[asyncio.Task[None]] = set()
        self._preprocess_sha256 = model.preprocessing.sha256

    async def score(self, image: EncodedImage, expires_at: float) -> tuple[Scores, Provenance]:
        """float32 [classes] of one picture and what they were computed with.

        Raises FrameRejectedError for a picture that can't be inspected and ExpiredError past `expires_at` (seconds of
        time.monotonic(), may be infinite): an expired frame never reaches the engine.
        """
        came = time.monotonic()
        future: asyncio.Future[tuple[Scores, Provenance]] = asyncio.get_running_loop().create_future()
        self._decoding += 1
        try:
            due = min(expires_at, came + PATIENCE_S)
            decoded = await self._pool.decode(image, self.model.preprocessing, due, expires_at)
            since = came + decoded.decode_ms / 1000  # so that queue time is all the waiting, before and after decoding
            self._batcher.add(_Waiting(decoded, expires_at, since, future), time.monotonic(), expires_at)
        finally:
            self._decoding -= 1
            self._pump()  # also where this frame failed: whoever waited for it need not wait any longer
        return await future

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self.model.engine.close()

    def _pump(self) -> None:
        """Give the engine its next batches while it is free; else come back when waiting must end."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._busy < self.model.engine.concurrency:
            batch = self._batcher.take(time.monotonic(), self._decoding)
            if batch is None:
                if len(self._batcher):
                    delay = max(0.0, self._batcher.due_at() - time.monotonic())
                    self._timer = asyncio.get_running_loop().call_later(delay, self._pump)
                return
            self._start(batch)

    def _start(self, batch: Batch[_Waiting]) -> None:
        if items := _in_time(batch.items):
            self._watcher.batch_left(len(items), batch.why)
            self._busy += 1
            task = asyncio.get_running_loop().create_task(self._run(items))
            self._batches.add(task)
            task.add_done_callback(self._batches.discard)

    async def _run(self, items: list[_Waiting]) -> None:
        try:
            await self._infer(items)
        except Exception as error:  # the device can't be trusted any more, or a bug: frames would wait for ever
            self._die(f"inference failed: {type(error).__name__}: {error}")
        finally:
            self._busy -= 1
            self._pump()

    async def _infer(self, items: list[_Waiting]) -> None:
        """Scores for a batch; a batch that fails is halved until the frame at fault is alone."""
        if not items:
            return
        started = time.monotonic()
        try:
            scores = await self._ask_engine(np.stack([w.decoded.pixels for w in items]))
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
                waiting.future.set_result((row, self._provenance(waiting, started, seconds, len(items))))

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

    def _provenance(self, waiting: _Waiting, started: float, seconds: float, batch_size: int) -> Provenance:
        return Provenance(
            model_id=self.model.model_id,
            model_sha256=self.model.sha256,
            preprocess_sha256=self._preprocess_sha256,
            device=self.model.engine.device,
            precision=self.model.engine.precision,
            batch_size=batch_size,
            queue_ms=(started - waiting.since) * 1000,
            decode_ms=waiting.decoded.decode_ms,
            infer_ms=seconds * 1000,
        )


def _in_time(items: list[_Waiting]) -> list[_Waiting]:
    """The frames that may still be inferred; the others fail as expired."""
    now = time.monotonic()
    for expired in (w for w in items if w.expires_at <= now):
        _fail(expired, ExpiredError())
    return [w for w in items if w.expires_at > now]


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.future.done():
        waiting.future.set_exception(error)
