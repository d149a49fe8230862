"""An overview over records in memory: for pages without a broker, and for tests.

It shows its records at once, started or not. Records that are put later come in as live ones do.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from schemas.records import (
    AlarmRaised,
    AuditEntry,
    CameraReference,
    DeadLetter,
    DefectDetected,
    DefectLocated,
    Event,
    FrameCaptured,
    GateSignal,
    LineWindow,
    ModelProposed,
    ModelReleased,
    Recipe,
    SampleSelected,
    ShadowCompared,
    StationClaim,
)
from streams.bus.subscriber import Received
from streams.downstream.overview.feed import Overview, utc_now
from streams.downstream.overview.log import BEGINNING
from streams.downstream.rework.bus import Feed
from streams.settings import Settings
from streams.topics import TOPICS, Topic


class MemoryLog:
    """Implements `Log`. Everything lies in partition 0 unless told otherwise; set `lag` for what waits.

    What was appended before `since` is there to be read, but is not handed over.
    """

    def __init__(self, since: datetime) -> None:
        self._since = since
        self.connected = True
        self.lag: int | None = None
        self._logs: defaultdict[tuple[str, int], list[Received[Any]]] = defaultdict(list)
        self._takes: dict[str, Callable[[Received[Any]], None]] = {}
        self._on_connection: Callable[[], None] = lambda: None

    def put(self, record: Event, at: datetime, partition: int = 0) -> None:
        """Appends a record at a time that is not before the last, and hands it over."""
        topic = next(topic for topic in TOPICS.values() if topic.record is type(record))
        records = self._logs[topic.name, partition]
        records.append(Received(record, partition, len(records), at, None))
        if topic.name in self._takes and at >= self._since:
            with suppress(ValueError, OverflowError):
                self._takes[topic.name](records[-1])

    def connect(self, connected: bool) -> None:
        self.connected = connected
        self._on_connection()

    def attach(self, feeds: Sequence[Feed]) -> None:
        self._takes = {feed.topic.name: feed.take for feed in feeds}

    async def start(self, feeds: Sequence[Feed], on_connection: Callable[[], None]) -> None:
        self._on_connection = on_connection

    async def stop(self) -> None:
        self.connected = False

    async def stretch(
        self, topic: Topic, start: datetime, end: datetime, of: int | None = None
    ) -> dict[int, tuple[int, int]]:
        found = {}
        for (name, partition), records in self._logs.items():
            if name == topic.name and of in (None, partition):
                low, high = (bisect_left(records, at, key=lambda received: received.timestamp) for at in (start, end))
                found[partition] = (low, max(low, high))
        return found

    async def read(self, topic: Topic, partition: int, low: int, high: int) -> list[Received[Any]]:
        return self._logs[topic.name, partition][low:high]

    async def waiting(self) -> int | None:
        return self.lag


class MemoryOverview(Overview):
    """`log` takes more records in: `overview.log.put(record, at)`."""

    def __init__(self, settings: Settings, since: datetime, clock: Callable[[], datetime], log: MemoryLog) -> None:
        super().__init__(settings, since, log=log, clock=clock)
        self._held_from = self._cases_from = since
        self.log = log


def memory_overview(
    records: Iterable[Event] = (),
    *,
    settings: Settings | None = None,
    clock: Callable[[], datetime] = utc_now,
    since: datetime = BEGINNING,
    waiting: int | None = None,
) -> MemoryOverview:
    """An overview of records of any topics. Each is appended when it says that it was made (see `made_at`)."""
    log = MemoryLog(since)
    log.lag = waiting
    overview = MemoryOverview(settings or Settings(), since, clock, log)
    log.attach(overview.feeds)
    for record in sorted(records, key=made_at):
        log.put(record, made_at(record))
    return overview


def made_at(record: Event) -> datetime:
    """When a record was made, by its own account."""
    match record:
        case ShadowCompared():
            return record.compared_at
        case CameraReference():
            return record.taught_at
        case (
            LineWindow() | AlarmRaised() | ModelProposed() | DeadLetter() | StationClaim() | AuditEntry() | GateSignal()
        ):
            return record.at
        case Recipe():
            return record.created_at
        case ModelReleased():
            return record.released_at
        case SampleSelected():
            return record.selected_at
        case DefectDetected():
            return record.verdict.decided_at
        case DefectLocated():
            return record.located_at
        case FrameCaptured():
            return record.captured_at
    return record.decided_at
