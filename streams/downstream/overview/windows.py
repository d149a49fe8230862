"""The windows that an overview holds: the newest revision of each, by time and station. Pure.

Revisions may come in any order and more than once. Knows nothing of what is shown.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Collection, Iterator
from itertools import pairwise

from schemas.records import LineWindow
from streams.downstream.overview.rows import Columns, Row, Station
from streams.downstream.overview.view import Changeover
from streams.downstream.statistics.windows import from_ms


class Windows:
    """Rows of all stations. `through` is, by partition, the last offset of `verdicts` counted in."""

    def __init__(self) -> None:
        self.columns = Columns()
        self.through: dict[int, int] = {}
        self._slots: dict[int, dict[tuple[Station, int], Row]] = {}
        self._starts: list[int] = []
        self._of_station: defaultdict[Station, list[int]] = defaultdict(list)  # ascending starts
        self._newest: dict[Station, Row] = {}  # that has frames
        self._changeovers: dict[Station, tuple[Changeover, ...]] = {}

    def take(self, window: LineWindow) -> bool:
        """Whether this revision is the newest of its window; ValueError for what can be no window."""
        row = self.columns.row(window)
        slot = self._slots.get(row.start_ms)
        if slot is None:
            slot = self._slots[row.start_ms] = {}
            insort(self._starts, row.start_ms)
        before = slot.get((row.station, row.width_ms))
        if before is not None and before.revision > row.revision:
            return False
        slot[row.station, row.width_ms] = row
        if before is None:
            insort(self._of_station[row.station], row.start_ms)
        if before is None or (before.models, before.recipes) != (row.models, row.recipes):
            self._changeovers.pop(row.station, None)
        self.through[window.partition] = max(window.through_offset, self.through.get(window.partition, -1))
        newest = self._newest.get(row.station)
        if row.frames and (newest is None or newest.start_ms <= row.start_ms):
            self._newest[row.station] = row
        return True

    @property
    def stations(self) -> tuple[Station, ...]:
        return tuple(sorted(self._of_station))

    @property
    def width_ms(self) -> int | None:
        """Width of the newest windows; None where there are none."""
        return next(iter(self._slots[self._starts[-1]].values())).width_ms if self._starts else None

    def newest(self, station: Station) -> Row | None:
        """The station's newest window that has frames."""
        return self._newest.get(station)

    def first_ms(self, station: Station) -> int | None:
        """Start of the oldest window held of a station; None where there is none."""
        starts = self._of_station.get(station)
        return starts[0] if starts else None

    def __len__(self) -> int:
        return sum(map(len, self._of_station.values()))

    def between(self, start_ms: int, end_ms: int) -> Iterator[Row]:
        """Rows of windows that begin within [start, end), by their beginning."""
        low, high = bisect_left(self._starts, start_ms), bisect_left(self._starts, end_ms)
        for start in self._starts[low:high]:
            yield from self._slots[start].values()

    def changeovers(self, stations: Collection[Station], start_ms: int, end_ms: int) -> tuple[Changeover, ...]:
        """Those at which something began within [start, end), by time."""
        start, end = from_ms(start_ms), from_ms(end_ms)
        found = (change for station in stations for change in self._changes_of(station) if start <= change.at < end)
        return tuple(sorted(found, key=lambda change: (change.at, change.station, change.kind)))

    def forget(self, before_ms: int) -> None:
        """Drop windows that began before."""
        gone = self._starts[: bisect_left(self._starts, before_ms)]
        if not gone:
            return
        self._starts = self._starts[len(gone) :]
        for start in gone:
            del self._slots[start]
        for station, starts in list(self._of_station.items()):
            starts[:] = starts[bisect_left(starts, before_ms) :]
            if not starts:
                del self._of_station[station]
                self._newest.pop(station, None)
        self._changeovers.clear()

    def _changes_of(self, station: Station) -> tuple[Changeover, ...]:
        if station not in self._changeovers:
            rows = [
                row
                for start in dict.fromkeys(self._of_station.get(station, ()))
                for (of, _), row in self._slots[start].items()
                if of == station and row.frames
            ]
            self._changeovers[station] = tuple(
                change for before, after in pairwise(rows) for change in _between(before, after)
            )
        return self._changeovers[station]


def _between(before: Row, after: Row) -> Iterator[Changeover]:
    """What is at work in a window and was not in the one before; what ends without a successor is none."""
    for kind, then, now in (("recipe", before.recipes, after.recipes), ("model", before.models, after.models)):
        if then is now or not then:
            continue
        began = [name for name in now if name not in then]
        if began:
            ended = [name for name in then if name not in now] or then
            yield Changeover(from_ms(after.start_ms), after.station, kind, ", ".join(ended), ", ".join(began))
