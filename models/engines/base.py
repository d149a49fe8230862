"""What every engine promises, and the parts they share: buckets, padding, and the threads that drive a device.

Place in the flow: inspection submits a batch and awaits the future. Knows no framework and no device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, Protocol

import numpy as np

from models.errors import BatchRefusedError
from schemas.records import Precision

U8 = np.ndarray[Any, np.dtype[np.uint8]]
F32 = np.ndarray[Any, np.dtype[np.float32]]
Runner = Callable[[U8], F32]
"""Runs one batch of a bucket's size on the device, uint8 [b, h, w, 3] to float32 [b, classes]; blocks until done."""


class Engine(Protocol):
    """A model ready on a device."""

    device: str
    """Framework and device: openvino:CPU, torch:cpu, torch:cuda."""
    precision: Precision
    buckets: tuple[int, ...]
    """Batch sizes that ever reach the device, ascending; a batch is padded up to the next one."""
    concurrency: int
    """Batches that may be in flight at once; more of them wait."""
    gives_novelty: bool
    """Whether the last column is a picture's novelty, behind the probabilities."""

    def submit(self, batch: U8) -> Future[F32]:
        """uint8 [n, h, w, 3], n up to the largest bucket, to float32 probabilities [n, classes]. Never blocks.

        Where it `gives_novelty` there is one column more.

        The batch must not change before the future is done. BatchRefusedError is raised at once for a batch that can't
        be taken. On the future, DeviceFatalError says that the device is lost; anything else, that this batch failed.
        Probabilities that are no numbers are returned as they are.
        """
        ...

    def close(self) -> None:
        """Finish what is in flight and let go of the device."""
        ...


class PooledEngine:
    """An `Engine` of `Runner`s: each is driven by one thread at a time, so as many batches are in flight as runners."""

    def __init__(
        self,
        device: str,
        precision: Precision,
        buckets: Sequence[int],
        runners: Sequence[Runner],
        shape: tuple[int, int],
        gives_novelty: bool = False,
    ) -> None:
        """`shape` is the input's height and width in pixels."""
        self.device = device
        self.precision = precision
        self.buckets = checked_buckets(buckets)
        self.concurrency = len(runners)
        self.gives_novelty = gives_novelty
        self._shape = shape
        self._idle: SimpleQueue[Runner] = SimpleQueue()
        for runner in runners:
            self._idle.put(runner)
        self._threads = ThreadPoolExecutor(len(runners), thread_name_prefix="engine")

    def submit(self, batch: U8) -> Future[F32]:
        """See `Engine.submit`."""
        height, width = self._shape
        if batch.ndim != 4 or batch.shape[1:] != (height, width, 3) or batch.dtype != np.uint8:
            raise BatchRefusedError(
                f"expected a batch of uint8 [n, {height}, {width}, 3], came {batch.dtype} {list(batch.shape)}"
            )
        if not 1 <= len(batch) <= self.buckets[-1]:
            raise BatchRefusedError(f"expected 1 to {self.buckets[-1]} pictures in a batch, came {len(batch)}")
        return self._threads.submit(self._run, batch)

    def close(self) -> None:
        """See `Engine.close`."""
        self._threads.shutdown()

    def _run(self, batch: U8) -> F32:
        runner = self._idle.get()
        try:
            scores = runner(padded(batch, self.buckets))
        finally:
            self._idle.put(runner)
        return np.array(scores[: len(batch)])


def checked_buckets(buckets: Sequence[int]) -> tuple[int, ...]:
    """Ascending and without repeats; ValueError unless there is one and all are at least 1."""
    if not buckets or min(buckets) < 1:
        raise ValueError(f"buckets must be batch sizes of at least 1; came {tuple(buckets)}")
    return tuple(sorted(set(buckets)))


def padded(batch: U8, buckets: Sequence[int]) -> U8:
    """The batch, contiguous, with black pictures behind it up to the smallest bucket that holds it."""
    size = next(bucket for bucket in buckets if bucket >= len(batch))
    if size == len(batch):
        return np.ascontiguousarray(batch)
    full = np.zeros((size, *batch.shape[1:]), np.uint8)
    full[: len(batch)] = batch
    return full
