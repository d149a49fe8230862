"""How much work one worker may hold: bounded in bytes and in time. Pure bookkeeping; the agent waits on it.

In-flight frames must drain within a rebalance, so their number is bounded by the measured rate times a few seconds;
their encoded pictures are bounded in bytes, so a burst of large frames stays in Kafka and never fills the heap.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_LIMIT = 64  # frames, until a rate is known
SMALLEST_LIMIT = 8  # frames, so that a slow engine still gets a batch
SMOOTHING = 0.2  # weight of the newest window in the measured rate
WINDOW_S = 0.5


@dataclass(slots=True)
class Budget:
    """Frames and bytes under way, and how many more may join. Times are seconds of one monotonic clock."""

    max_bytes: int
    max_s: float
    least: int = SMALLEST_LIMIT  # frames that may be under way at any rate
    frames: int = 0
    bytes: int = 0
    rate: float = 0.0  # frames per second while busy
    _busy_since: float = 0.0
    _done: int = 0

    @property
    def limit(self) -> int:
        """Most frames that may be under way."""
        return max(self.least, int(self.rate * self.max_s) if self.rate else FIRST_LIMIT)

    def admits(self, nbytes: int) -> bool:
        """True where one more frame of this size may join; a frame larger than the budget may join alone."""
        return self.frames == 0 or (self.frames < self.limit and self.bytes + nbytes <= self.max_bytes)

    def admit(self, nbytes: int, now: float) -> None:
        if self.frames == 0:
            self._busy_since, self._done = now, 0
        self.frames += 1
        self.bytes += nbytes

    def release(self, nbytes: int, now: float) -> None:
        """One frame has left; updates the rate from the time in which work was under way."""
        self.frames -= 1
        self.bytes -= nbytes
        self._done += 1
        busy_s = now - self._busy_since
        if busy_s >= WINDOW_S:
            measured = self._done / busy_s
            self.rate = measured if not self.rate else self.rate + SMOOTHING * (measured - self.rate)
            self._busy_since, self._done = now, 0
