"""Blocks of parts that nobody inspected, kept as parts come in. Pure.

The rule of a block is `blocks` of `streams/downstream/parts`; here one part after the other is held against the block
that is open, so that memory is that of the blocks. Parts of a station come in the order of the log.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection
from datetime import datetime

from schemas.records import PartDecided, PartOutcome
from streams.downstream.overview.rows import Station
from streams.downstream.overview.view import Span
from streams.downstream.parts.blocks import Block, blocks
from streams.topics import station_key

KEPT = 500
"""Blocks a station, the newest; beyond that nobody looks at single ones."""


class Uninspected:
    """The newest blocks of each station."""

    def __init__(self) -> None:
        self._closed: defaultdict[Station, deque[Block]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._open: dict[Station, Block] = {}

    def take(self, part: PartDecided) -> bool:
        """Whether a block changed; ValueError where the station is no key."""
        station_key(part.plant, part.line, part.station)
        station = (part.plant, part.line, part.station)
        before = self._open.get(station)
        if part.outcome is not PartOutcome.NOT_INSPECTED:
            self._close(station)
            return False
        if before is not None and len(blocks((before.last, part))) == 1:
            reasons = Counter(before.reasons)
            reasons[part.reason] += 1
            self._open[station] = Block(*station, before.first, part, before.count + 1, reasons)
        else:
            self._close(station)
            self._open[station] = blocks((part,))[0]
        return True

    def shown(self, stations: Collection[Station], span: Span) -> tuple[Block, ...]:
        """Blocks that reach into the span, the newest first."""
        found = [
            block
            for station in stations
            for block in self._of(station)
            if block.started_at < span.end and block.ended_at >= span.start
        ]
        return tuple(sorted(found, key=lambda block: block.started_at, reverse=True))

    def older(self, found: Uninspected) -> None:
        """Take in what was found in parts before all that came here."""
        for station in found._closed.keys() | found._open.keys():
            later = list(self._closed[station])
            self._closed[station] = deque([*found._of(station), *later], maxlen=KEPT)

    def forget(self, before: datetime) -> None:
        """Drop blocks that ended before this time."""
        for station, closed in self._closed.items():
            self._closed[station] = deque((block for block in closed if block.ended_at >= before), maxlen=KEPT)

    def _of(self, station: Station) -> list[Block]:
        last = self._open.get(station)
        return [*self._closed.get(station, ()), *((last,) if last else ())]

    def _close(self, station: Station) -> None:
        if (block := self._open.pop(station, None)) is not None:
            self._closed[station].append(block)
