"""What waits for a shadow: the newest only, so that it is the first to give way under load. Pure: time is an argument.

Place in the flow: `service.py` adds each verdict that is to be compared and takes some when it has time. What finds no
room, or waited too long, is shed and counted: nobody waits for a shadow.
"""

from __future__ import annotations

from collections import Counter, deque
from enum import StrEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class Shed(StrEnum):
    """Why a frame was not compared."""

    FULL = "full"  # newer ones took its place
    BEHIND = "behind"  # it waited too long
    GONE = "gone"  # its frame is no more to be read
    NOT_LOADED = "not loaded"  # the shadow model is not here
    BUSY = "busy"  # the line left too little of the machine over


class Backlog(Generic[T]):
    """At most `most` entries, none older than `max_age_s` when it is taken; `shed` counts what was left out."""

    def __init__(self, most: int, max_age_s: float) -> None:
        self._most, self._max_age_s = most, max_age_s
        self._waiting: deque[tuple[float, T]] = deque()
        self.shed: Counter[Shed] = Counter()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, item: T, made_s: float) -> None:
        """`made_s`: when it was made, on the clock that `take` is asked by."""
        if len(self._waiting) == self._most:
            self._waiting.popleft()
            self.shed[Shed.FULL] += 1
        self._waiting.append((made_s, item))

    def shed_all(self, why: Shed) -> None:
        """Nothing waits any more."""
        self.shed[why] += len(self._waiting)
        self._waiting.clear()

    def take(self, most: int, now_s: float) -> list[T]:
        """The oldest that are not too old."""
        taken: list[T] = []
        while self._waiting and len(taken) < most:
            made_s, item = self._waiting.popleft()
            if now_s - made_s > self._max_age_s:
                self.shed[Shed.BEHIND] += 1
            else:
                taken.append(item)
        return taken
