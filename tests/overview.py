"""Records of a plant for tests of the overview: windows, and whatever else a view shows, by minute."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from schemas.records import AlarmRaised, LineWindow, PartDecided, PartOutcome, Recipe
from streams.bus.subscriber import Received
from streams.downstream.overview.fold import Fold
from streams.downstream.overview.view import Span, View
from streams.downstream.rework.cases import Scope
from tests.builders import recipe
from tests.contracts.samples import ALARM, PART

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
NAMESPACE = UUID(int=3)
WIDTH_MS = 60_000
EVERYTHING = Scope()
BUCKETS = 52


def minute(n: float) -> datetime:
    return START + timedelta(minutes=n)


def span(first: float, last: float, *, live: bool = False) -> Span:
    return Span(minute(first), minute(last), live)


def window(n: int, **changes: Any) -> LineWindow:
    """The window that begins n minutes after START: 20 frames of as many parts, one of them NG."""
    fields: dict[str, Any] = {
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "window_start": minute(n),
        "width_ms": WIDTH_MS,
        "revision": 0,
        "final": True,
        "partition": 0,
        "through_offset": 20 * n,
        "frames": 20,
        "outcomes": {"OK": 19, "NG": 1},
        "labels": {"scratch": 1},
        "parts": {"OK": 19, "NG": 1},
        "models": {"m1": 20},
        "recipes": {"A@1": 20},
        "latency_counts": (0, 0, 0, 20),
        "deadline_ms": 200,
        "at": minute(n + 1),
    }
    return LineWindow(**fields | changes)


def alarm(name: str, **changes: Any) -> AlarmRaised:
    fields: dict[str, Any] = {
        "alarm_id": uuid5(NAMESPACE, name),
        "subject": "p1/l1/s1",
        "since": START,
        "at": START,
        "cleared": None,
    }
    return dataclasses.replace(ALARM, **fields | changes)


def part(n: int, seconds: float, outcome: PartOutcome = PartOutcome.NOT_INSPECTED, **changes: Any) -> PartDecided:
    """The n-th part, triggered `seconds` after START."""
    fields: dict[str, Any] = {
        "decision_id": uuid5(NAMESPACE, f"part {n}"),
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "outcome": outcome,
        "first_at": START + timedelta(seconds=seconds),
    }
    return dataclasses.replace(PART, **fields | changes)


def in_force(sku: str, version: int, **changes: Any) -> Recipe:
    return recipe(sku=sku, version=version, **changes)


def read(record: Any, offset: int = 0, at: datetime = START, partition: int = 0) -> Received[Any]:
    return Received(record, partition, offset, at, None)


def fold(*windows: LineWindow, **planned: float) -> Fold:
    found = Fold(planned, WIDTH_MS)
    for one in windows:
        found.window(read(one))
    return found


def view_of(found: Fold, of: Span, now: float = 60, scope: Scope = EVERYTHING) -> View:
    """The view at `now` minutes after START."""
    return found.view(scope, of, minute(now))


def plant(stations: int, windows: int) -> Iterator[LineWindow]:
    """A plant with two stations a line."""
    for n in range(windows):
        for station in range(stations):
            changes = {"line": f"l{station // 2}", "station": f"s{station}", "partition": station % 12}
            counts = tuple(3 if 10 < bucket < 20 else 0 for bucket in range(BUCKETS))
            yield window(n, **changes, latency_counts=counts, reasons={"LATE": n % 3}, missing_triggers=n % 2)
