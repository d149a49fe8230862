"""What a page shows, as its address says it: scope, period, wall mode. The same address gives the same view. Pure.

Place in the flow: page, CSV and links agree here on what a query means. What can't be meant is left out. Times in an
address are the plant's. Knows no view.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from enum import StrEnum
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from streams.downstream.overview.view import Span
from streams.downstream.rework.cases import Scope
from streams.errors import CallerError

LONGEST = timedelta(days=31)
_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DAY = timedelta(days=1)


class Period(StrEnum):
    """A span by name; all but LAST_SHIFT and CUSTOM end now."""

    H1 = "1h"
    H8 = "8h"
    H24 = "24h"
    D7 = "7d"
    SHIFT = "shift"
    LAST_SHIFT = "last-shift"
    CUSTOM = "custom"


DEFAULT_PERIOD = Period.H8
WHOLE = Scope()
_LENGTHS = {
    Period.H1: timedelta(hours=1),
    Period.H8: timedelta(hours=8),
    Period.H24: _DAY,
    Period.D7: 7 * _DAY,
}


@dataclass(frozen=True, slots=True)
class Address:
    """`start` and `end` are aware, and there where the period is CUSTOM."""

    scope: Scope = WHOLE
    period: Period = DEFAULT_PERIOD
    start: datetime | None = None
    end: datetime | None = None
    wall: bool = False


@dataclass(frozen=True, slots=True)
class Calendar:
    """The plant's time: its zone, when shifts begin, and the step that live spans move by."""

    zone: ZoneInfo
    shift_starts: tuple[time, ...]
    step: timedelta

    def span(self, address: Address, now: datetime) -> Span:
        """The stretch of time of an address. Live spans end with the step that is running, so that all pages share."""
        running = self._step_end(now)
        if address.period is Period.CUSTOM and address.start and address.end:
            return Span(address.start, address.end)
        if address.period is Period.SHIFT:
            return Span(self._shifts(now)[-1], running, live=True)
        if address.period is Period.LAST_SHIFT:
            before, last = self._shifts(now)[-2:]
            return Span(before, last)
        return Span(running - _LENGTHS.get(address.period, _LENGTHS[DEFAULT_PERIOD]), running, live=True)

    def _step_end(self, now: datetime) -> datetime:
        since = timedelta(seconds=now.timestamp()) % self.step
        return now - since + self.step

    def _shifts(self, now: datetime) -> list[datetime]:
        """Beginnings of shifts up to now, at least two, in the order of time."""
        today = now.astimezone(self.zone).date()
        days = [today - n * _DAY for n in (2, 1, 0)]
        starts = sorted(
            datetime.combine(day, at, self.zone).astimezone(now.tzinfo) for day in days for at in self.shift_starts
        )
        return [start for start in starts if start <= now]


def parse_shifts(text: str) -> tuple[time, ...]:
    """`06:00,14:00,22:00`; CallerError for what is no list of times."""
    try:
        starts = tuple(sorted({time.fromisoformat(part.strip()) for part in text.split(",") if part.strip()}))
    except ValueError:
        starts = ()
    if not starts or any(start.tzinfo for start in starts):
        raise CallerError(f"shift_starts must be times of a day such as 06:00,14:00,22:00; came {text!r}")
    return starts


def parse_address(query: Mapping[str, str], zone: ZoneInfo) -> Address:
    """The address of a query; names, periods and times that can't be are as if they were not there."""
    plant, line, station = (_name(query.get(key)) for key in ("plant", "line", "station"))
    asked = query.get("span", DEFAULT_PERIOD)
    period = Period(asked) if asked in set(Period) else DEFAULT_PERIOD
    start, end = (_time(query.get(key), zone) for key in ("from", "to"))
    if period is not Period.CUSTOM:
        start = end = None
    elif start is None or end is None or not timedelta() < end - start <= LONGEST:
        period, start, end = DEFAULT_PERIOD, None, None
    return Address(Scope(plant, line, station), period, start, end, query.get("wall") == "1")


def query_of(address: Address, zone: ZoneInfo) -> str:
    """The address as a query string, without what is so by default."""
    scope = address.scope
    fields = [("plant", scope.plant), ("line", scope.line), ("station", scope.station)]
    if address.period is not DEFAULT_PERIOD:
        fields.append(("span", address.period))
    fields += [(key, local_text(at, zone)) for key, at in (("from", address.start), ("to", address.end)) if at]
    fields.append(("wall", "1" if address.wall else None))
    return urlencode([(key, value) for key, value in fields if value is not None])


def local_text(at: datetime, zone: ZoneInfo) -> str:
    """A time as the browser's field for times has it: the plant's, to the minute."""
    return at.astimezone(zone).strftime("%Y-%m-%dT%H:%M")


def _name(text: str | None) -> str | None:
    return text if text and _NAME.fullmatch(text) else None


def _time(text: str | None, zone: ZoneInfo) -> datetime | None:
    try:
        at = datetime.fromisoformat(text or "")
        return (at if at.tzinfo else at.replace(tzinfo=zone)).astimezone(ZoneInfo("UTC"))
    except (ValueError, OverflowError):
        return None
