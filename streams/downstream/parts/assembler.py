"""Collects the views of parts and decides each part once: when all views are there, or when their time is over. Pure.

Place in the flow: one assembler a partition of `verdicts`, fed in log order. Time is the append time of verdicts.

    time      0 ms     20 ms    40 ms                    5,000 ms
    part A    view 1   view 2   view 3 ▶ decided
    part B             view 1            view 3          ▶ decided: view 2 of 3 missing

A part is told by plant, line, station, part id and pass. Without a part id its views must come from one camera: their
trigger numbers less their view numbers are then the same, whatever is lost or late, and the camera's next part ends the
wait for this one. A view of a decided part is too late and changes nothing. It knows no Kafka and no clock.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from itertools import count
from typing import TypeVar
from uuid import UUID, uuid5

from schemas.records import PartDecided, VerdictIssued
from streams.downstream.parts.views import View, judged, labels, mode

PART_NAMESPACE = UUID("0f5c1c3a-52b1-4a5e-9a67-3f6f0d6c8c11")
REMEMBERED_PARTS = 4096  # decided ones, so that a late view is known for one; more than MAX_OPEN and a block read back
MAX_OPEN = 2048  # parts of a partition
MAX_HELD = 32_768  # verdicts of a partition, and verdicts behind the oldest that waits: none is acknowledged before it
MAX_VIEWS = 128  # of a part
ONE_CAMERA = "views without a part id must come from one camera"

Key = tuple[str | int | None, ...]
T = TypeVar("T")


class Fate(Enum):
    """What became of a verdict that was taken."""

    HELD = "held"  # until its part is decided
    COPY = "copy"
    LATE = "late"  # its part is decided already


@dataclass(frozen=True, slots=True)
class Seen:
    """A verdict, where it stands in its partition, and the broker's append time."""

    verdict: VerdictIssued
    offset: int
    at: datetime

    @property
    def framed_at(self) -> datetime:
        """Append time of the frame, which can't be later than its verdict's."""
        return min(self.verdict.source_timestamp, self.at)

    @property
    def triggered_at(self) -> datetime:
        return self.framed_at - timedelta(milliseconds=self.verdict.gateway_ms or 0)


@dataclass(frozen=True, slots=True)
class Decision:
    """A part's decision, and the offsets of all verdicts that waited for it."""

    part: PartDecided
    offsets: tuple[int, ...]


@dataclass(slots=True, eq=False)
class _OpenPart:
    key: Key
    first: Seen
    due: datetime
    views: dict[int, View] = field(default_factory=dict)
    verdict_ids: set[UUID] = field(default_factory=set)
    offsets: list[int] = field(default_factory=list)
    contradictions: dict[str, None] = field(default_factory=dict)  # a set in order
    expected: int = 1

    @property
    def complete(self) -> bool:
        return sum(1 <= number <= self.expected for number in self.views) >= self.expected

    def add(self, seen: Seen) -> None:
        verdict, view = seen.verdict, View.of(seen.verdict, seen.offset)
        self.verdict_ids.add(verdict.verdict_id)
        self.offsets.append(seen.offset)
        if self.offsets[1:] and verdict.views != self.first.verdict.views:
            self.contradictions["its views disagree on how many there are"] = None
        if verdict.sku != self.first.verdict.sku:
            self.contradictions["its views disagree on the SKU"] = None
        if not 1 <= verdict.view <= verdict.views:
            self.contradictions[f"there can be no view {verdict.view} of {verdict.views}"] = None
        self.expected = max(self.expected, verdict.views)
        known = self.views.get(verdict.view)
        if known is None and len(self.views) >= MAX_VIEWS:
            self.contradictions[f"more than {MAX_VIEWS} views came"] = None
        elif known is None or view.outweighs(known):
            self.views[verdict.view] = view


class Assembler:
    """The parts of one partition. Times go in as arguments; `now` is only what a decision is stamped with."""

    def __init__(self) -> None:
        self._open: OrderedDict[Key, _OpenPart] = OrderedDict()
        self._due: list[tuple[datetime, int, Key]] = []
        self._order = count()
        self._anonymous: dict[tuple[str, str], Key] = {}  # the open part of a camera, by station and camera
        self._decided: OrderedDict[Key, tuple[datetime, datetime]] = OrderedDict()  # first trigger, end of the wait
        self._held = 0
        self._through: datetime | None = None

    @property
    def open_parts(self) -> int:
        return len(self._open)

    def remember(self, part: PartDecided, timeout_ms: int) -> None:
        """Take in a decision that is published already, as if it had been made here."""
        self._advance(part.through_at)
        if part.part_id is not None or part.views:
            self._remember(_key_of(part), part.first_at, part.first_at + timedelta(milliseconds=max(0, timeout_ms)))

    def expire(self, at: datetime, now: datetime) -> list[Decision]:
        """Decide every part whose wait is over at `at`, the longest waiting first."""
        decided = []
        while self._due and self._due[0][0] <= at:
            due, _, key = heapq.heappop(self._due)
            part = self._open.get(key)
            if part and part.due == due:
                decided.append(self._decide(part, now))
        return decided

    def take(self, seen: Seen, timeout_ms: int, now: datetime) -> tuple[Fate, list[Decision]]:
        """Take the next verdict in, after `expire` for its time; `timeout_ms` counts where it opens a part."""
        self._advance(seen.framed_at)
        verdict, key = seen.verdict, part_key(seen.verdict)
        part = self._open.get(key)
        if part is None and self._is_late(key, seen):
            return Fate.LATE, []
        decided = self._end_of_anonymous(verdict, key, now)
        if part is None:
            part = self._begin(key, seen, timeout_ms)
        elif verdict.verdict_id in part.verdict_ids:
            return Fate.COPY, decided
        part.add(seen)
        self._held += 1
        if part.complete:
            decided.append(self._decide(part, now))
        while self._is_full(seen.offset):
            decided.append(self._decide(next(iter(self._open.values())), now, "too many parts wait for their views"))
        return Fate.HELD, decided

    def _is_full(self, offset: int) -> bool:
        """True where too much waits: parts, their verdicts, or all verdicts since the oldest part's first."""
        if not self._open:
            return False
        behind = offset - next(iter(self._open.values())).first.offset
        return len(self._open) > MAX_OPEN or self._held > MAX_HELD or behind > MAX_HELD

    def _begin(self, key: Key, seen: Seen, timeout_ms: int) -> _OpenPart:
        part = _OpenPart(key, seen, seen.at + timedelta(milliseconds=max(0, timeout_ms)))
        self._open[key] = part
        heapq.heappush(self._due, (part.due, next(self._order), key))
        if len(self._due) > 4 * MAX_OPEN:  # most of them decided long before they are due
            self._due = [entry for entry in self._due if entry[2] in self._open]
            heapq.heapify(self._due)
        if seen.verdict.part_id is None:
            self._anonymous[_camera(seen.verdict)] = key
        return part

    def _is_late(self, key: Key, seen: Seen) -> bool:
        """True for a view of a decided part; a redriven frame never opens one, for its part was decided without it."""
        if seen.verdict.attempt > 1:
            return True
        if key not in self._decided:
            return False
        first_at, until = self._decided[key]
        named = seen.verdict.part_id is not None
        return named or first_at - (until - first_at) <= seen.triggered_at <= until  # a counter may start again

    def _end_of_anonymous(self, verdict: VerdictIssued, key: Key, now: datetime) -> list[Decision]:
        """The camera's own next part ends the wait for the one before."""
        if verdict.part_id is not None or verdict.attempt > 1:
            return []
        before = self._anonymous.get(_camera(verdict), key)
        return [self._decide(self._open[before], now)] if before != key else []

    def _decide(self, part: _OpenPart, now: datetime, remark: str = "") -> Decision:
        del self._open[part.key]
        self._held -= len(part.offsets)
        first = part.first.verdict
        if first.part_id is None:
            self._anonymous.pop(_camera(first), None)
        waited = max(part.due - part.first.at, timedelta(0))
        self._remember(part.key, part.first.triggered_at, part.first.triggered_at + waited)
        assert self._through is not None, "a part has a view"
        return Decision(_decided(part, remark, self._through, now), tuple(part.offsets))

    def _remember(self, key: Key, first_at: datetime, until: datetime) -> None:
        self._decided.setdefault(key, (first_at, until))
        self._decided.move_to_end(key)
        if len(self._decided) > REMEMBERED_PARTS:
            self._decided.popitem(last=False)

    def _advance(self, framed_at: datetime) -> None:
        self._through = framed_at if self._through is None else max(self._through, framed_at)


def _decided(part: _OpenPart, remark: str, through: datetime, now: datetime) -> PartDecided:
    first, views = part.first.verdict, [part.views[number] for number in sorted(part.views)]
    remarks = [*part.contradictions, *filter(None, [remark])]
    judgement = judged(part.views, part.expected, remarks)
    detail = judgement.detail
    if first.part_id is None and len(views) < part.expected:
        detail += f"; {ONE_CAMERA}"
    return PartDecided(
        decision_id=decision_id(first),
        plant=first.plant,
        line=first.line,
        station=first.station,
        sku=first.sku,
        part_id=first.part_id,
        lot_id=first.lot_id,
        order_id=first.order_id,
        pass_no=first.pass_no,
        outcome=judgement.outcome,
        reason=judgement.reason,
        detail=detail,
        views_expected=part.expected,
        views=tuple(view.shown for view in views),
        labels=labels(views),
        mode=mode(views),
        recipe_version=_common(view.recipe_version for view in views),
        model_id=_common(view.model_id for view in views),
        first_at=part.first.triggered_at,
        through_at=through,
        decided_at=now,
    )


def decision_id(first: VerdictIssued) -> UUID:
    """uuid5 of plant, line, station, part and pass; without a part id, of the part's first verdict."""
    if first.part_id is None:
        return uuid5(PART_NAMESPACE, str(first.verdict_id))
    return uuid5(PART_NAMESPACE, f"{first.plant}/{first.line}/{first.station}/{first.part_id}/{first.pass_no}")


def part_key(verdict: VerdictIssued) -> Key:
    """What the views of one part and pass have in common."""
    station = f"{verdict.plant}/{verdict.line}/{verdict.station}"
    if verdict.part_id is not None:
        return station, verdict.part_id, verdict.pass_no
    return station, verdict.camera, verdict.sku, verdict.pass_no, verdict.trigger_seq - verdict.view


def _key_of(part: PartDecided) -> Key:
    station = f"{part.plant}/{part.line}/{part.station}"
    if part.part_id is not None:
        return station, part.part_id, part.pass_no
    view = part.views[0]
    return station, view.camera, part.sku, part.pass_no, view.trigger_seq - view.view


def _camera(verdict: VerdictIssued) -> tuple[str, str]:
    return f"{verdict.plant}/{verdict.line}/{verdict.station}", verdict.camera


def _common(values: Iterable[T]) -> T | None:
    """The value that all have; None where they differ."""
    found = set(values)
    return found.pop() if len(found) == 1 else None
