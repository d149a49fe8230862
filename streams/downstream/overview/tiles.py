"""The tiles of a view: every line at a glance, and the plan they are held against. Pure."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from schemas.records import Mode
from streams.downstream.overview.alarms import PRESSING, Alarms
from streams.downstream.overview.findings import Findings
from streams.downstream.overview.rows import Row, Station
from streams.downstream.overview.view import LineState, Tile
from streams.downstream.overview.windows import Windows
from streams.downstream.parts.views import least_binding
from streams.downstream.statistics.totals import first_pass_yield
from streams.downstream.statistics.windows import from_ms
from streams.errors import CallerError
from streams.inspection.recipes import DEFAULT_MODE, DEFAULT_VERSION

NEWEST = 5
"""Whole windows that a line's speed is measured over; without a frame for as long, and in the running one, it idles."""
TREND = 30
"""Windows of a sparkline."""


@dataclass(frozen=True, slots=True)
class Source:
    """What tiles are made of. `end_ms` is the end of the newest whole window, in ms since 1970."""

    windows: Windows
    findings: Findings
    alarms: Alarms
    planned: Mapping[str, float]
    width_ms: int
    end_ms: int
    modes: Mapping[tuple[str, str, int], Mode]
    """Of recipes, by plant, line and version."""


def tiles(source: Source, stations: Collection[Station], rows: Sequence[Row]) -> tuple[Tile, ...]:
    """A tile for every line of these stations, by name; `rows` are theirs within the span."""
    of_line: defaultdict[tuple[str, str], list[Station]] = defaultdict(list)
    for station in stations:
        of_line[station[:2]].append(station)
    in_span, trend = _by_line(rows), _by_line(_trend_rows(source))
    return tuple(_tile(source, of_line[line], in_span[line], trend[line]) for line in sorted(of_line))


def parts_per_min(source: Source, stations: Collection[Station]) -> float | None:
    """Parts of all passes and outcomes a minute over the newest whole windows; None where none of them was there."""
    wanted = set(stations)
    return _speed(source, wanted, [row for row in _trend_rows(source) if row.station in wanted])


def parse_plan(text: str) -> dict[str, float]:
    """Planned parts a minute by line, from `line-1=60,line-2=45`; CallerError for what is no such list."""
    plan: dict[str, float] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        line, _, speed = (part.strip() for part in entry.partition("="))
        try:
            planned = float(speed)
        except ValueError:
            planned = -1.0
        if not line or line in plan or not isfinite(planned) or planned <= 0:
            raise CallerError(
                "planned_parts_per_min must name each line once with parts a minute above 0, such as "
                f"line-1=60,line-2=45; came {entry!r}"
            )
        plan[line] = planned
    return plan


def _tile(source: Source, stations: Sequence[Station], rows: Sequence[Row], trend: Sequence[Row]) -> Tile:
    plant, line = stations[0][:2]
    newest = [row for station in stations if (row := source.windows.newest(station))]
    found = source.windows.columns.totals(rows)
    alarms = [alarm for station in stations for alarm in source.alarms.open(station)]
    return Tile(
        plant=plant,
        line=line,
        state=_state(source, trend, any(alarm.severity in PRESSING for alarm in alarms)),
        parts_per_min=_speed(source, stations, trend),
        planned_parts_per_min=source.planned.get(line),
        first_pass_yield=first_pass_yield(found.parts),
        not_inspected=sum(row.not_inspected for row in rows),
        open_rework=sum(map(source.findings.open_rework, stations)),
        alarms=len(alarms),
        trend=_trend(source, trend),
        newest_at=from_ms(max(row.start_ms for row in newest)) if newest else None,
        mode=least_binding(mode for row in newest for mode in _modes(source, row)),
    )


def _modes(source: Source, row: Row) -> Iterator[Mode]:
    """Of the recipes in a window, which are named `sku@version`; those that nobody knows any more are left out."""
    for name in row.recipes:
        _, _, version = name.rpartition("@")
        if version == str(DEFAULT_VERSION):
            yield DEFAULT_MODE
        elif version.isdecimal() and (mode := source.modes.get((*row.station[:2], int(version)))):
            yield mode


def _state(source: Source, rows: Sequence[Row], alarm: bool) -> LineState:
    """Of rows of a line up to the running window."""
    newest_ms = max((row.start_ms for row in rows), default=0)
    since_ms = source.end_ms - NEWEST * source.width_ms
    if newest_ms >= since_ms and any(row.not_inspected for row in rows if row.start_ms == newest_ms):
        return LineState.NOT_INSPECTED
    if alarm:
        return LineState.ALARM
    return LineState.RUNNING if any(row.frames for row in rows if row.start_ms >= since_ms) else LineState.IDLE


def _speed(source: Source, stations: Collection[Station], rows: Sequence[Row]) -> float | None:
    """Since the first window that is known of the stations, where that is one of the newest."""
    firsts = [first for station in stations if (first := source.windows.first_ms(station)) is not None]
    since_ms = max(source.end_ms - NEWEST * source.width_ms, min(firsts, default=source.end_ms))
    if since_ms >= source.end_ms:
        return None
    parts = sum(row.parts for row in rows if since_ms <= row.start_ms < source.end_ms)
    return parts * 60_000 / (source.end_ms - since_ms)


def _trend(source: Source, rows: Sequence[Row]) -> tuple[float | None, ...]:
    parts: Counter[int] = Counter()
    for row in rows:
        parts[row.start_ms // source.width_ms] += row.parts
    last = source.end_ms // source.width_ms
    windows = range(last - TREND, last)
    return tuple(parts[n] * 60_000 / source.width_ms if n in parts else None for n in windows)


def _trend_rows(source: Source) -> list[Row]:
    """The newest whole windows and the running one."""
    start_ms = source.end_ms - TREND * source.width_ms
    return list(source.windows.between(start_ms, source.end_ms + source.width_ms))


def _by_line(rows: Sequence[Row]) -> defaultdict[tuple[str, str], list[Row]]:
    found: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        found[row.station[:2]].append(row)
    return found
