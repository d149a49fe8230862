"""The alarm about a released model that a worker can't load: raised, and cleared once it can. Pure.

Place in the flow: `app.py` publishes what the model keeper tells. One alarm for each model and machine;
a model that is asked for in two precisions is two.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

from schemas.records import AlarmKind, AlarmRaised, Severity
from streams.inspection.limits import DETAIL_MAX_CHARS

NAMESPACE = UUID("5c1d6d1e-7d0c-5d53-8f0b-9a3f1f6e2b10")


class ModelAlarms:
    """Of one worker on the machine `host`."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._open: dict[str, AlarmRaised] = {}

    def stand(self, alarm: AlarmRaised) -> None:
        """A state on the topic; those of other machines say nothing here."""
        if alarm.kind is AlarmKind.MODEL_FAILED and alarm.alarm_id == self._id(alarm.subject):
            self._open.pop(alarm.subject, None)
            if alarm.cleared is None:
                self._open[alarm.subject] = alarm

    @property
    def open(self) -> frozenset[str]:
        """The models that an alarm stands about."""
        return frozenset(self._open)

    def failed(self, model_id: str, why: str, tries: int, is_in_force: bool, at: datetime) -> AlarmRaised:
        """The state after a failure: critical where frames that come now are judged by this model."""
        before = self._open.get(model_id)
        alarm = AlarmRaised(
            alarm_id=self._id(model_id),
            kind=AlarmKind.MODEL_FAILED,
            severity=Severity.CRITICAL if is_in_force else Severity.WARNING,
            subject=model_id,
            value=tries,
            since=before.since if before else at,
            at=at,
            detail=f"on {self._host}: {why}"[:DETAIL_MAX_CHARS],
        )
        self._open[model_id] = alarm
        return alarm

    def _id(self, model_id: str) -> UUID:
        return uuid5(NAMESPACE, f"{model_id}/{self._host}")

    def well(self, model_id: str, at: datetime) -> AlarmRaised | None:
        """The end of the alarm; None where there was none."""
        before = self._open.pop(model_id, None)
        return before and replace(before, at=at, cleared=at)
