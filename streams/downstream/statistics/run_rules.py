"""The alarm of a station whose share of bad parts is out of control. Pure.

Place in the flow: the service asks after each final window and publishes what comes back to `alarms`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from schemas.records import AlarmKind, AlarmRaised, Severity
from streams.downstream.statistics.control_chart import ChartPoint, newest_point
from streams.downstream.statistics.past import PastWindow, StationPast
from streams.downstream.statistics.windows import Station

NAMESPACE = UUID("7b1f6f0a-52f1-4c0e-9c39-0f5b0c8f2f6d")
CHARTED_WINDOWS = 25
"""Final windows on the chart: the number that Shewhart's practice asks for to set limits."""
LEAST_WINDOWS = 10
LEAST_PARTS = 10
"""Inspected parts; a window with fewer is left out."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the chart says of a station's newest final window, `number`."""

    number: int
    point: ChartPoint


def judge(past: StationPast) -> Judgement | None:
    """The newest final window on its chart; None where there is too little to tell."""
    charted = [(number, past.windows[number]) for number in past.numbers if _counts(past.windows[number])]
    charted = charted[-CHARTED_WINDOWS:]
    if len(charted) < LEAST_WINDOWS:
        return None
    return Judgement(charted[-1][0], newest_point([window.sample for _, window in charted]))


def next_alarm(
    station: Station, point: ChartPoint, width: timedelta, standing: AlarmRaised | None, at: datetime
) -> AlarmRaised | None:
    """What to publish, given the newest record of the station's alarm: raised, cleared, or nothing to say."""
    lasts = standing is not None and standing.cleared is None
    if point.rules and not lasts:
        subject = "/".join(station)
        return AlarmRaised(
            alarm_id=uuid5(NAMESPACE, f"{subject}/{point.start.isoformat()}"),
            kind=AlarmKind.RUN_RULE,
            severity=Severity.WARNING,
            subject=subject,
            value=point.share or 0.0,
            limit=point.upper,
            since=point.start,
            at=at,
            detail=_detail(point),
        )
    if standing is not None and lasts and not point.rules and point.start > standing.since:
        return replace(standing, value=point.share or 0.0, limit=point.upper, at=at, cleared=point.start + width)
    return None


def charted_from(number: int) -> int:
    """The first window that may stand on the chart of this one, if every window has parts enough."""
    return number - CHARTED_WINDOWS


def _counts(window: PastWindow) -> bool:
    return window.final and window.sample.n >= LEAST_PARTS


def _detail(point: ChartPoint) -> str:
    return f"{point.bad} of {point.n} parts not OK, in control to {point.upper:.2%}: {', '.join(point.rules)}"
