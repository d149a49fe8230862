"""When a camera stood under an alarm of drift, by the append times of the alarm's states. Pure.

Place in the flow: what is taken then is unlike what the model learned from, so people should say what it shows. Which
frames are chosen, `line.py` decides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from schemas.records import AlarmKind, AlarmRaised, VerdictIssued
from streams.downstream.sampling.strategies import one_line

KINDS = (AlarmKind.PICTURE_DRIFT, AlarmKind.SCORE_DRIFT)


@dataclass(frozen=True, slots=True)
class _Span:
    alarm_id: UUID
    start: datetime
    end: datetime | None
    detail: str


class Drifts:
    """Of all cameras. States come in the order of their append times."""

    def __init__(self) -> None:
        self._spans: dict[str, list[_Span]] = {}

    def take(self, alarm: AlarmRaised, at: datetime) -> None:
        """A state of an alarm and its append time."""
        if alarm.kind not in KINDS:
            return
        spans = self._spans.setdefault(alarm.subject, [])
        place = next((n for n, s in enumerate(spans) if s.alarm_id == alarm.alarm_id and s.end is None), None)
        if place is None and alarm.cleared is None:
            spans.append(_Span(alarm.alarm_id, at, None, alarm.detail))
        elif place is not None and alarm.cleared is not None:
            spans[place] = replace(spans[place], end=at)

    def why(self, verdict: VerdictIssued, at: datetime) -> str | None:
        """Why a frame appended at a time is worth having; None where its camera stood under no such alarm."""
        subject = f"{verdict.plant}/{verdict.line}/{verdict.station}/{verdict.camera}"
        for span in self._spans.get(subject, ()):
            if span.start <= at and (span.end is None or at < span.end):
                return f"Its camera had drifted: {one_line(span.detail)}"
        return None

    def forget(self, before: datetime) -> None:
        """Lets go of what ended before this time."""
        for subject, spans in list(self._spans.items()):
            self._spans[subject] = [span for span in spans if span.end is None or span.end >= before]
            if not self._spans[subject]:
                del self._spans[subject]
