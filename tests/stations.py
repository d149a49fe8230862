"""A rework station's desk and seats on topics in memory, for tests."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from schemas.records import (
    DefectDetected,
    Finding,
    Outcome,
    Reason,
    ReworkOutcome,
    StationClaim,
)
from streams.downstream.rework.cases import Case, Scope
from streams.downstream.rework.desk import Desk
from streams.downstream.rework.memory_bus import MemoryBus, MemoryTopics
from streams.inspection.decide import Judgement
from streams.settings import Settings
from streams.topics import CLAIMS, DEFECTS, OUTCOMES, station_key
from streams.web.station.seat import Seat
from streams.web.station.seats import Seats
from tests.builders import frame, until, verdict

KEY = station_key("p1", "l1", "s1")
GOOD = frozenset({"good"})


def defect(number: int, part_id: str | None = None, score: float = 0.9) -> DefectDetected:
    """A rejected part, `number` seconds after the first."""
    scratch = Finding(label="scratch", score=score, threshold=0.5)
    judged = Judgement(Outcome.NG, Reason.SCORE, findings=(scratch,), scores={"good": 1 - score, "scratch": score})
    at = datetime.now(UTC) - timedelta(minutes=10) + timedelta(seconds=number)
    made = verdict(frame(number, part_id=part_id or f"P{number}"), judged, number)
    return DefectDetected(verdict=dataclasses.replace(made, source_timestamp=at), image_ref="file:///x")


@dataclasses.dataclass
class Station:
    """A desk at work on topics in memory."""

    topics: MemoryTopics
    bus: MemoryBus
    desk: Desk
    seats: Seats
    ahead: timedelta = timedelta()  # of the station's clock
    signed_in: bool = True

    def reject(self, *defects: DefectDetected) -> None:
        for record in defects:
            self.topics.put(DEFECTS, record, key=KEY, partition=0)

    def seat(self, operator: str) -> Seat:
        """A seat with a page before it."""
        seat = self.seats.of(operator)
        seat.on_change(lambda _: None, lambda: self.signed_in)
        seat.refresh()
        return seat

    @property
    def outcomes(self) -> list[ReworkOutcome]:
        return self.topics.records(OUTCOMES)

    def claims(self) -> list[StationClaim]:
        return self.topics.records(CLAIMS)


@contextlib.asynccontextmanager
async def station_at_work(folder: Path) -> AsyncIterator[Station]:
    topics = MemoryTopics()
    bus = topics.bus()
    settings = Settings(data_dir=folder, second_review_share=0.0)
    async with Desk(settings, "R2", Scope(None, "l1", "s1"), bus=bus) as desk:
        made = Station(topics, bus, desk, Seats(desk, lambda: datetime.now(UTC) + made.ahead, GOOD))
        desk.on_change(made.seats.refresh)
        yield made


async def saved(seat: Seat) -> None:
    await until(lambda: seat.saving is None)


def part_of(case: Case | None) -> str | None:
    return case.part_id if case else None
