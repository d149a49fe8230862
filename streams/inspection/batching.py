"""Which frames share the engine's next batch. Pure: time is an argument, the engine room acts.

Work-conserving: an idle engine never waits for a fuller batch while nothing is on its way to it, and at most
`linger_s` while something is. Earliest deadline first; frames without deadline count as due `patience_s` after they
came, so that a flood of urgent frames can't starve them.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

PATIENCE_S = 2.0

T = TypeVar("T")


class Flush(StrEnum):
    """Why a batch left."""

    FULL = "full"
    IDLE = "idle"  # nothing else is on its way
    LINGER = "linger"


@dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    items: list[T]
    why: Flush


class Batcher(Generic[T]):
    """Decoded frames of one model that wait for its engine."""

    def __init__(self, max_batch: int, linger_s: float, patience_s: float = PATIENCE_S) -> None:
        self._max_batch = max_batch
        self._linger_s = linger_s
        self._patience_s = patience_s
        self._heap: list[tuple[float, int, float, T]] = []
        self._sequence = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, item: T, now: float, expires_at: float) -> None:
        """Queue an item; times are seconds of one monotonic clock, `expires_at` may be infinite."""
        due = min(expires_at, now + self._patience_s)
        heapq.heappush(self._heap, (due, next(self._sequence), now, item))

    def due_at(self) -> float:
        """When a batch must leave even if it is not full: `linger_s` after the oldest waiting item came."""
        return min((added for _, _, added, _ in self._heap), default=float("inf")) + self._linger_s

    def take(self, now: float, on_their_way: int) -> Batch[T] | None:
        """The next batch for a free engine, or None to wait. `on_their_way` counts frames still being decoded."""
        why = self._why(now, on_their_way)
        return Batch(self._pop(min(len(self._heap), self._max_batch)), why) if why else None

    def urgency(self, now: float, on_their_way: int) -> float | None:
        """When the most urgent frame of the batch that `take` would give is due; None where it would give none."""
        return self._heap[0][0] if self._why(now, on_their_way) else None

    def _why(self, now: float, on_their_way: int) -> Flush | None:
        if not self._heap:
            return None
        if len(self._heap) >= self._max_batch:
            return Flush.FULL
        if on_their_way == 0:
            return Flush.IDLE
        return Flush.LINGER if now >= self.due_at() else None

    def _pop(self, count: int) -> list[T]:
        return [heapq.heappop(self._heap)[3] for _ in range(count)]
