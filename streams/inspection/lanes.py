"""Order of one partition: frames are finished in any order, but published and acknowledged in offset order. Pure.

    offset    5      6      7      8
    state   SENT  DECIDED  OPEN  DECIDED      take_decided() gives 6 and stops at 7; confirm(5) gives 5 to be acked

An offset is acknowledged only when it and every earlier one of the lane are confirmed by the broker, so a committed
offset never passes a frame without a verdict (Faust's own check is off by one). One lane lives for one assignment.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, TypeVar

T = TypeVar("T")


class State(IntEnum):
    OPEN = 0
    DECIDED = 1
    SENT = 2
    CONFIRMED = 3


@dataclass(slots=True, eq=False)
class Slot(Generic[T]):
    """One frame's place in its lane; `content` is the shell's."""

    offset: int
    content: T
    state: State = State.OPEN


class Lane(Generic[T]):
    """The frames of one partition under way, oldest first."""

    def __init__(self) -> None:
        self._unsent: deque[Slot[T]] = deque()
        self._unacked: deque[Slot[T]] = deque()
        self.newest: int | None = None  # offset

    def __len__(self) -> int:
        return len(self._unacked)

    def passed(self, offset: int) -> bool:
        """Whether this or a later offset was opened already."""
        return self.newest is not None and offset <= self.newest

    def open(self, offset: int, content: T) -> Slot[T]:
        """A place for the next frame; offsets must grow (gaps are fine: aborted transactions leave them)."""
        if self.passed(offset):
            raise ValueError(f"offset {offset} after {self.newest}: a lane only grows; a redelivery needs a new lane")
        self.newest = offset
        slot = Slot(offset, content)
        self._unsent.append(slot)
        self._unacked.append(slot)
        return slot

    def decide(self, slot: Slot[T]) -> bool:
        """Mark a frame as decided; True where `take_decided` now has something to give."""
        _step(slot, State.OPEN, State.DECIDED)
        return slot is self._unsent[0]

    def take_decided(self) -> list[Slot[T]]:
        """The decided frames at the head of the lane, in order; from now on they count as sent."""
        taken = []
        while self._unsent and self._unsent[0].state is State.DECIDED:
            slot = self._unsent.popleft()
            _step(slot, State.DECIDED, State.SENT)
            taken.append(slot)
        return taken

    def confirm(self, slot: Slot[T]) -> list[Slot[T]]:
        """Mark a frame's outputs as confirmed; gives the frames that may be acknowledged now, in order."""
        _step(slot, State.SENT, State.CONFIRMED)
        ready = []
        while self._unacked and self._unacked[0].state is State.CONFIRMED:
            ready.append(self._unacked.popleft())
        return ready


def _step(slot: Slot[T], expected: State, then: State) -> None:
    if slot.state is not expected:
        raise ValueError(f"offset {slot.offset} is {slot.state.name}, expected {expected.name}")
    slot.state = then
