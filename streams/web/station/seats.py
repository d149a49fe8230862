"""The seats of one station, by operator: made when somebody sits down, forgotten when nothing is lost with them."""

from __future__ import annotations

from streams.downstream.rework.desk import Desk
from streams.web.station.seat import Clock, Seat


class Seats:
    """See the module. `good` names the classes that are no defect."""

    def __init__(self, desk: Desk, clock: Clock, good: frozenset[str]) -> None:
        self._desk = desk
        self._clock = clock
        self._good = good
        self._seats: dict[str, Seat] = {}

    def of(self, operator: str) -> Seat:
        if operator not in self._seats:
            self._seats[operator] = Seat(self._desk, operator, self._clock, self._good)
        return self._seats[operator]

    def refresh(self) -> None:
        for seat in self._seats.values():
            seat.refresh()

    def vacate(self, operator: str) -> None:
        """Forget a seat that nobody looks at and that saves nothing."""
        seat = self._seats.get(operator)
        if seat is not None and not seat.watched and seat.saving is None:
            seat.leave()
            del self._seats[operator]
