"""★ The fold of one partition's verdicts, and that of its parts, into windows of event time. Pure.

Place in the flow: the service hands over every record of a partition in log order; `book.py` makes revisions of what is
found here. The two topics are folded apart, so counts are a function of each log's own order, live or read again, and
do not depend on which topic was read faster. Knows no topic, no clock and nothing of what was published.

Event time of a frame is its trigger by the broker's clock (source_timestamp less gateway_ms), of a part first_at. The
progress of a log is the largest source_timestamp (through_at) met so far, the record at hand included. A window is
settled once the progress has reached its end plus the lateness: nothing is counted in it any more. A record whose own
window is settled is late and counts in the window of its source_timestamp (through_at), or, where even that is settled,
in the window of the progress.

Because a source_timestamp is never later than the append time, all that a window is made of lies behind the first
record appended at or after the window's start; copies and triggers need `memory_ms + order_ms` more.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Generic, TypeVar
from uuid import UUID

from schemas.records import PartDecided, VerdictIssued
from streams.downstream.statistics.counts import FrameCounts, PartCounts
from streams.downstream.statistics.triggers import CameraTriggers, Shown
from streams.recent_ids import RecentIds
from streams.topics import station_key

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MEMORY_S = 300  # of ids, so that copies are known, and of a silent camera's last trigger

Station = tuple[str, str, str]
"""Plant, line, station."""
Key = tuple[Station, int]
"""A station's window, by the window's number: its start over its width."""


def to_ms(at: datetime) -> int:
    """Milliseconds since 1970."""
    return (at - EPOCH) // timedelta(milliseconds=1)


def from_ms(ms: int) -> datetime:
    return EPOCH + timedelta(milliseconds=ms)


def station_of(record: VerdictIssued | PartDecided) -> Station | None:
    """The station that a record counts for; None where its names can't be a key."""
    try:
        station_key(record.plant, record.line, record.station)
    except ValueError:
        return None
    return record.plant, record.line, record.station


@dataclass(frozen=True, slots=True)
class WindowRule:
    """How wide windows are and how long they stay open."""

    width_ms: int
    lateness_ms: int
    memory_ms: int = MEMORY_S * 1000

    @property
    def order_ms(self) -> int:
        """How long a window can be open, and so how long single trigger numbers are remembered."""
        return self.lateness_ms + self.width_ms

    def number(self, at_ms: int) -> int:
        return at_ms // self.width_ms

    def settles_ms(self, number: int) -> int:
        """The progress at which a window is settled."""
        return (number + 1) * self.width_ms + self.lateness_ms

    def covers_from(self, progress_ms: int) -> int:
        """The first window that may be open, or changed and unpublished, at this progress; see `outruns_changes`."""
        return self.number(progress_ms - self.lateness_ms - 2 * self.width_ms)

    def reads_from_ms(self, covered_from: int) -> int:
        """The append time from which a log must be read so that this window and all later ones come out right."""
        return covered_from * self.width_ms - self.memory_ms - self.order_ms


Counts = TypeVar("Counts", FrameCounts, PartCounts)


class Fold(Generic[Counts]):
    """One topic of one partition. `windows` holds what is not settled, or settled but not yet dropped.

    `covered_from` is the number of the first window that the records handed over cover from its beginning: earlier
    ones are not counted, as their counts would be incomplete.
    """

    def __init__(self, rule: WindowRule, counts: Callable[[], Counts], covered_from: float = -math.inf) -> None:
        self.rule = rule
        self.covered_from = covered_from
        self.windows: dict[Key, Counts] = {}
        self.progress_ms: int | None = None
        self.next_offset = 0
        self._changed: dict[Key, int] = {}
        self._new_counts: Callable[[], Counts] = counts
        self._ids = RecentIds()

    @property
    def changed(self) -> frozenset[Key]:
        """Windows that changed since `forget_changes`."""
        return frozenset(self._changed)

    def settled(self, number: int) -> bool:
        return self.progress_ms is not None and self.rule.settles_ms(number) <= self.progress_ms

    def outruns_changes(self, at_ms: int) -> bool:
        """Whether a record of this time would leave a change more than a window's width behind that is not forgotten.

        Changes must be published before that: so all that can be unpublished lies in windows from `covers_from` on.
        """
        first = next(iter(self._changed.values()), None)
        return first is not None and at_ms - first >= self.rule.width_ms

    def forget_changes(self) -> None:
        """What changed is published; settled windows are dropped."""
        self._changed.clear()
        for key in [key for key in self.windows if self.settled(key[1])]:
            del self.windows[key]

    def pass_over(self, offset: int) -> None:
        """Whatever lies at `offset` does not count."""
        self.next_offset = max(self.next_offset, offset + 1)

    def _begin(self, offset: int, identity: UUID, at_ms: int) -> int | None:
        """Advances the log to this record; its progress, or None where the record does not count."""
        if offset < self.next_offset:
            return None
        self.next_offset = offset + 1
        progress = self.progress_ms = at_ms if self.progress_ms is None else max(self.progress_ms, at_ms)
        known_at = self._ids.mark_of(identity.int)
        if known_at is not None and known_at >= progress - self.rule.memory_ms:
            return None
        self._ids.remember(identity.int, progress)
        return progress

    def _place(self, event_ms: int, at_ms: int, progress_ms: int) -> tuple[int, bool]:
        """The number of the window that a record counts in, and whether it is late."""
        own, fallback = self.rule.number(min(event_ms, at_ms)), self.rule.number(at_ms)
        if not self.settled(own):
            return own, False
        return (self.rule.number(progress_ms) if self.settled(fallback) else fallback), True

    def _window(self, key: Key, offset: int) -> Counts | None:
        """The counts of a window to be changed by the record at `offset`; None where they would be incomplete."""
        if key[1] < self.covered_from:
            return None
        assert self.progress_ms is not None
        counts = self.windows.setdefault(key, self._new_counts())
        counts.through_offset = offset
        self._changed.setdefault(key, self.progress_ms)
        return counts


class FrameFold(Fold[FrameCounts]):
    """The verdicts of one partition. Those of a replay count only where `simulated` asks for them, and alone."""

    def __init__(self, rule: WindowRule, covered_from: float = -math.inf, *, simulated: bool = False) -> None:
        super().__init__(rule, FrameCounts, covered_from)
        self._simulated = simulated
        self._cameras: OrderedDict[tuple[Station, str], tuple[CameraTriggers, int]] = OrderedDict()

    def time_of(self, verdict: VerdictIssued, appended_at: datetime) -> int:
        """What the verdict does to the progress, in milliseconds since 1970."""
        return to_ms(min(verdict.source_timestamp, appended_at))

    def take(self, verdict: VerdictIssued, offset: int, appended_at: datetime) -> None:
        """The verdict at `offset`; a copy, a redelivery and a replay's verdict change nothing."""
        station = station_of(verdict)
        if verdict.simulated != self._simulated or station is None:
            self.pass_over(offset)
            return
        at_ms = self.time_of(verdict, appended_at)
        progress = self._begin(offset, verdict.verdict_id, at_ms)
        if progress is None:
            return
        gateway_ms = max(0, verdict.gateway_ms or 0)
        number, late = self._place(at_ms - gateway_ms, at_ms, progress)
        key = station, number
        if counts := self._window(key, offset):
            counts.add(verdict, gateway_ms + to_ms(appended_at) - at_ms)
            counts.late_frames += late
        if verdict.attempt == 1:  # the trigger of a redriven frame was dealt with at its first attempt
            shown = self._camera((station, verdict.camera), progress).take(verdict.trigger_seq, number, progress)
            self._count_triggers(key, offset, shown)

    def _count_triggers(self, key: Key, offset: int, shown: Shown) -> None:
        if counts := self.windows.get(key):
            counts.missing_triggers += shown.missing
            counts.repeated_triggers += shown.repeated
        if shown.found_of is not None and not self.settled(shown.found_of):
            earlier = self._window((key[0], shown.found_of), offset)
            if earlier:
                earlier.missing_triggers -= 1

    def _camera(self, name: tuple[Station, str], progress: int) -> CameraTriggers:
        memory = max(self.rule.memory_ms, self.rule.order_ms)
        while self._cameras and next(iter(self._cameras.values()))[1] < progress - memory:
            self._cameras.popitem(last=False)
        found = self._cameras.pop(name, None)
        triggers = found[0] if found else CameraTriggers(self.rule.memory_ms, self.rule.order_ms)
        self._cameras[name] = (triggers, progress)
        return triggers


class PartFold(Fold[PartCounts]):
    """The decisions about parts of one partition."""

    def __init__(self, rule: WindowRule, covered_from: float = -math.inf) -> None:
        super().__init__(rule, PartCounts, covered_from)

    def time_of(self, part: PartDecided, appended_at: datetime) -> int:
        """What the part does to the progress, in milliseconds since 1970."""
        return to_ms(min(part.through_at, appended_at))

    def take(self, part: PartDecided, offset: int, appended_at: datetime) -> None:
        """The part at `offset`; a copy and a redelivery change nothing."""
        station = station_of(part)
        if station is None:
            self.pass_over(offset)
            return
        at_ms = self.time_of(part, appended_at)
        progress = self._begin(offset, part.decision_id, at_ms)
        if progress is None:
            return
        number, late = self._place(to_ms(part.first_at), at_ms, progress)
        if counts := self._window((station, number), offset):
            (counts.parts if part.pass_no <= 1 else counts.reworked)[part.outcome.value] += 1
            counts.late_parts += late
