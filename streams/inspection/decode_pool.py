"""Threads that turn encoded pictures into model inputs, most urgent first, off the event loop.

Place in the flow: between the agent and the batcher. The decoders release the GIL, so threads scale over cores. It
knows nothing of Kafka or engines.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from models.decoding.pixel_room import waits_for_room
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, Seen, load_views
from schemas.records import Reason
from streams.errors import FrameRejectedError

log = logging.getLogger(__name__)
STOP = (float("inf"), -1, None)


class ExpiredError(Exception):
    """The frame's deadline passed while it waited; nothing was computed."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the model sees of a picture, and the milliseconds it took to make."""

    seen: Seen
    decode_ms: float


@dataclass(frozen=True, slots=True)
class _Work:
    image: EncodedImage
    preprocessing: Preprocessing
    expires_at: float
    done: Callable[[Decoded | BaseException], None]


class DecodePool:
    """`threads` decoders on one queue ordered by urgency. Create and use it on one event loop."""

    def __init__(self, threads: int) -> None:
        self._queue: queue.PriorityQueue[tuple[float, int, _Work | None]] = queue.PriorityQueue()
        self._sequence = itertools.count()
        self._since: list[float | None] = [None] * threads  # when each thread took the picture that it has
        self._threads = [
            threading.Thread(target=self._run, args=(i,), name=f"decode-{i}", daemon=True) for i in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def decode(self, image: EncodedImage, preprocessing: Preprocessing, due: float, expires_at: float) -> Decoded:
        """What a model sees of a picture. Raises FrameRejectedError for a bad one and ExpiredError past `expires_at`.

        `due` orders the queue, `expires_at` ends the wait; both are seconds of time.monotonic().
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Decoded] = loop.create_future()

        def done(result: Decoded | BaseException) -> None:
            loop.call_soon_threadsafe(_settle, future, result)

        self._queue.put((due, next(self._sequence), _Work(image, preprocessing, expires_at, done)))
        return await future

    def longest_s(self) -> float:
        """Seconds that the slowest picture has been in a decoder; those that wait for room don't count."""
        now, places = time.monotonic(), zip(self._threads, self._since, strict=True)
        return max((now - at for thread, at in places if at is not None and not waits_for_room(thread)), default=0.0)

    def close(self) -> None:
        for _ in self._threads:
            self._queue.put(STOP)
        for thread in self._threads:
            thread.join(timeout=5)

    def _run(self, place: int) -> None:
        while True:
            _, _, work = self._queue.get()
            if work is None:
                return
            self._since[place] = time.monotonic()
            result = _decode(work)
            self._since[place] = None
            work.done(result)


def _decode(work: _Work) -> Decoded | BaseException:
    started = time.monotonic()
    if started >= work.expires_at:
        return ExpiredError()
    try:
        seen = load_views(work.image, work.preprocessing)
    except RejectedImageError as error:
        return FrameRejectedError(error.reason, error.detail)
    except MemoryError:
        return FrameRejectedError(Reason.TOO_LARGE, "not enough memory to decode it")
    except Exception as error:  # a decoder's bug must cost one frame, not the line
        log.exception("the decoder raised on a frame")
        return FrameRejectedError(Reason.DECODE_CRASHED, f"{type(error).__name__}: {error}")
    return Decoded(seen, (time.monotonic() - started) * 1000)


def _settle(future: asyncio.Future[Decoded], result: Decoded | BaseException) -> None:
    if future.done():
        return
    if isinstance(result, BaseException):
        future.set_exception(result)
    else:
        future.set_result(result)
