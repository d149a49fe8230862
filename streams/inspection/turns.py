"""Who gets a device next: of all models with a batch to give, the one whose most urgent frame is due first.

Place in the flow: the engine rooms of one worker share one of these, so that many models are no more batches at once
than the device has places for. Without a deadline a frame counts as due some seconds after it came (`batching.py`): no
line starves. Pure but for the rooms that it starts. Knows no engine and no clock.
"""

from __future__ import annotations

from typing import Protocol


class InLine(Protocol):
    """A room, as far as it is asked here."""

    def urgency(self) -> float | None:
        """When the most urgent frame of the batch that may leave now is due; None where none may."""

    def start(self) -> bool:
        """Give that batch to the engine; False where none of it was in time any more."""

    def come_back(self) -> None:
        """Ask again when a batch must leave though it is not full: there is a place, and nobody may take it yet."""


class Turns:
    """Of rooms that share a device with `places` for batches."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._busy = 0
        self._rooms: list[InLine] = []

    def join(self, room: InLine) -> None:
        self._rooms.append(room)

    def leave(self, room: InLine) -> None:
        """Also for one that has left before."""
        self._rooms = [other for other in self._rooms if other is not room]

    def over(self) -> None:
        """A batch has come back."""
        self._busy -= 1
        self.pump()

    def pump(self) -> None:
        """Start what may start. Called whenever a frame has come, or fails to, and when a batch is over."""
        while self._busy < self._places and (room := self._next()) is not None:
            if room.start():
                self._busy += 1
        if self._busy < self._places:  # else the next batch that is over asks again
            for room in self._rooms:
                room.come_back()

    def _next(self) -> InLine | None:
        ready = [(due, number) for number, room in enumerate(self._rooms) if (due := room.urgency()) is not None]
        return self._rooms[min(ready)[1]] if ready else None
