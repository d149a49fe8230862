"""The alarms of one partition as they stand, and which of them are due to be published. Pure.

Place in the flow: conditions (triggers, uninspected parts) put their state here; the shell publishes what is due. An
alarm that is new or over is due at once, a growing one at most once a second, so that a flood is no flood of alarms.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from schemas.records import AlarmKind, AlarmRaised

ALARM_NAMESPACE = UUID("8a3f2b6e-0b7d-4f0e-9f4b-3d1f6f1c2a77")
UPDATE_EVERY = timedelta(seconds=1)
MAX_STANDING = 8192  # alarms whose last publication is remembered


def alarm_id(kind: AlarmKind, subject: str, first: object) -> UUID:
    """The same condition gets the same id again after a restart: by its kind, subject and what it began with."""
    return uuid5(ALARM_NAMESPACE, f"{kind}/{subject}/{first}")


def is_open(alarm: AlarmRaised) -> bool:
    """True for a state that stands, and whose value is a number of parts or triggers as ours are."""
    return alarm.cleared is None and 0 <= alarm.value < math.inf


class AlarmBook:
    """States of alarms; the last one put counts."""

    def __init__(self) -> None:
        self._waiting: dict[UUID, AlarmRaised] = {}
        self._published_at: OrderedDict[UUID, datetime] = OrderedDict()

    def put(self, alarm: AlarmRaised) -> None:
        """A state that people should know."""
        self._waiting[alarm.alarm_id] = alarm

    def published(self, alarm: AlarmRaised) -> None:
        """A state that stands on the topic already."""
        self._published_at[alarm.alarm_id] = alarm.at
        self._published_at.move_to_end(alarm.alarm_id)
        if len(self._published_at) > MAX_STANDING:
            self._published_at.popitem(last=False)

    def due(self, at: datetime) -> list[AlarmRaised]:
        """The alarms to be published now; they count as published from here on."""
        return self._give([alarm for alarm in self._waiting.values() if self._is_due(alarm, at)])

    def rest(self) -> list[AlarmRaised]:
        """All that wait to be due, for the end."""
        return self._give(list(self._waiting.values()))

    def _give(self, due: list[AlarmRaised]) -> list[AlarmRaised]:
        for alarm in due:
            del self._waiting[alarm.alarm_id]
            if alarm.cleared:
                self._published_at.pop(alarm.alarm_id, None)
            else:
                self.published(alarm)
        return due

    def _is_due(self, alarm: AlarmRaised, at: datetime) -> bool:
        before = self._published_at.get(alarm.alarm_id)
        return before is None or alarm.cleared is not None or abs(at - before) >= UPDATE_EVERY
