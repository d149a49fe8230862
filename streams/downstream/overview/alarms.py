"""The alarms that an overview holds: the newest state of each. Pure.

States may come in any order and more than once. Knows nothing of windows.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime
from uuid import UUID

from schemas.records import AlarmKind, AlarmRaised, Severity
from streams.downstream.overview.rows import Station
from streams.downstream.overview.view import Span
from streams.topics import station_key

OF_THE_INSTALLATION = (AlarmKind.CERTIFICATE_EXPIRES, AlarmKind.SECRET_OLD, AlarmKind.MODEL_FAILED)
PRESSING = (Severity.WARNING, Severity.CRITICAL)


class Alarms:
    """By station; an alarm about a camera is its station's."""

    def __init__(self) -> None:
        self._of_station: defaultdict[Station, dict[UUID, AlarmRaised]] = defaultdict(dict)

    def take(self, alarm: AlarmRaised) -> bool:
        """Whether this state is news; ValueError for a subject that is no station or camera.

        What is about the installation, as its certificates are, stands on no station's board.
        """
        if alarm.kind in OF_THE_INSTALLATION:
            return False
        states = self._of_station[_station(alarm.subject)]
        known = states.get(alarm.alarm_id)
        if known is not None and known.at >= alarm.at:
            return False
        states[alarm.alarm_id] = alarm
        return True

    @property
    def stations(self) -> Collection[Station]:
        return self._of_station.keys()

    def open(self, station: Station) -> list[AlarmRaised]:
        return [alarm for alarm in self._of_station.get(station, {}).values() if alarm.cleared is None]

    def shown(self, stations: Collection[Station], span: Span) -> tuple[AlarmRaised, ...]:
        """Open ones first, the newest first; then those that were cleared within the span."""
        found = [
            alarm
            for station in stations
            for alarm in self._of_station.get(station, {}).values()
            if alarm.cleared is None or span.start <= alarm.cleared < span.end
        ]
        return tuple(sorted(found, key=lambda alarm: (alarm.cleared is None, alarm.since), reverse=True))

    def forget(self, before: datetime) -> None:
        """Drop alarms that were cleared before this time."""
        for states in self._of_station.values():
            for alarm_id in list(_cleared_before(states, before)):
                del states[alarm_id]


def _cleared_before(states: dict[UUID, AlarmRaised], before: datetime) -> Iterator[UUID]:
    return (alarm_id for alarm_id, alarm in states.items() if alarm.cleared is not None and alarm.cleared < before)


def _station(subject: str) -> Station:
    names = subject.split("/")
    if len(names) not in (3, 4):
        raise ValueError(
            f"an alarm's subject must be plant/line/station or plant/line/station/camera; came {subject!r}"
        )
    plant, line, station = names[:3]
    station_key(plant, line, station)
    return plant, line, station
