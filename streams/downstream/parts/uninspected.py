"""One alarm for a run of parts of a station that were not inspected, from the first to the next inspected one. Pure.

Place in the flow: sees every part decision of a partition in log order and puts alarms into the book. 312 uninspected
parts in a row are one alarm that grows, not 312. After a restart the run is found again from the published decisions.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.records import AlarmKind, AlarmRaised, PartDecided, PartOutcome, PartReason, Severity
from streams.downstream.parts.alarms import AlarmBook, alarm_id

KIND = AlarmKind.NOT_INSPECTED
MAX_STATIONS = 4096  # of a partition, with a run


@dataclass(slots=True, eq=False)
class _Run:
    alarm_id: UUID
    since: datetime
    parts: int
    detail: str = ""


class Uninspected:
    """The runs of uninspected parts of one partition."""

    def __init__(self, book: AlarmBook) -> None:
        self._book = book
        self._runs: OrderedDict[str, _Run] = OrderedDict()
        self._open: dict[str, AlarmRaised] = {}  # on the topic, of stations that were not seen yet

    def restore(self, parts: Iterable[PartDecided], alarms: Iterable[AlarmRaised], at: datetime) -> None:
        """Take up where the published decisions (in log order) and the alarms that stand open on the topic end."""
        self._open = {alarm.subject: alarm for alarm in alarms if alarm.kind is KIND}
        ended: set[str] = set()
        for part in parts:
            if _went_by(part):
                self._count(part)
            else:
                self._runs.pop(_station(part), None)
                ended.add(_station(part))
        for station in ended | set(self._runs):
            self._reconcile(station, station in ended, at)

    def see(self, part: PartDecided, at: datetime) -> None:
        """Take in the next decision; `at` is the time by the broker's clock."""
        station = _station(part)
        if alarm := self._open.pop(station, None):
            self._take_over(station, alarm)
        if _went_by(part):
            self._put(station, self._count(part), at)
        elif run := self._runs.pop(station, None):
            self._put(station, run, at, cleared=True)

    def _count(self, part: PartDecided) -> _Run:
        station = _station(part)
        run = self._runs.get(station)
        if run is None:
            run = _Run(alarm_id(KIND, station, part.decision_id), part.first_at, 0)
            self._runs[station] = run
            if len(self._runs) > MAX_STATIONS:
                self._runs.popitem(last=False)
        run.parts += 1
        run.detail = f"{run.parts} parts not inspected; the last: {part.detail}"
        return run

    def _reconcile(self, station: str, ended: bool, at: datetime) -> None:
        """The log of decisions is right; the alarm may be behind it, or tell of a beginning before what was read."""
        run, alarm = self._runs.get(station), self._open.pop(station, None)
        if alarm and (run is None or (ended and alarm.alarm_id != run.alarm_id)):
            self._book.published(alarm)
            self._put(station, _Run(alarm.alarm_id, alarm.since, int(alarm.value), alarm.detail), at, cleared=True)
            alarm = None
        if alarm:
            self._take_over(station, alarm)
        elif run:
            self._put(station, run, at)

    def _take_over(self, station: str, alarm: AlarmRaised) -> None:
        self._book.published(alarm)
        counted = self._runs.get(station)
        parts = max(int(alarm.value), counted.parts if counted else 0)
        self._runs[station] = _Run(alarm.alarm_id, alarm.since, parts, alarm.detail)

    def _put(self, station: str, run: _Run, at: datetime, cleared: bool = False) -> None:
        self._book.put(
            AlarmRaised(
                alarm_id=run.alarm_id,
                kind=KIND,
                severity=Severity.WARNING,
                subject=station,
                value=float(run.parts),
                since=run.since,
                at=at,
                cleared=at if cleared else None,
                detail=run.detail,
            )
        )


def _went_by(part: PartDecided) -> bool:
    """Uninspected against all intent. A part with all its views there was not inspected because its recipe only
    collects: somebody wants it so, and an alarm would stand for weeks."""
    return part.outcome is PartOutcome.NOT_INSPECTED and part.reason is not PartReason.VIEWS


def _station(part: PartDecided) -> str:
    return f"{part.plant}/{part.line}/{part.station}"
