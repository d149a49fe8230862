"""A set of trigger numbers as a few ranges, never counted out. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from schemas.records import SequenceRange


class Ranges:
    """Disjoint ranges in ascending order, at most `most` of them; what does not fit is left out."""

    def __init__(self, ranges: Iterable[SequenceRange] = (), most: int = 64) -> None:
        self._most = most
        self._ranges: list[tuple[int, int]] = []
        for r in ranges:
            self.add(r.first, r.last)

    def __bool__(self) -> bool:
        return bool(self._ranges)

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return sum(last - first + 1 for first, last in self._ranges)

    @property
    def last(self) -> int:
        """The highest number; there must be one."""
        return self._ranges[-1][1]

    def add(self, first: int, last: int) -> bool:
        """Put the numbers from `first` to `last` in, ranges that touch become one; False where there is no room."""
        if first > last:
            return True
        apart = [r for r in self._ranges if r[1] < first - 1 or r[0] > last + 1]
        joined = [r for r in self._ranges if r not in apart]
        merged = (min([first, *(r[0] for r in joined)]), max([last, *(r[1] for r in joined)]))
        if len(apart) >= self._most:
            return False
        self._ranges = sorted([*apart, merged])
        return True

    def remove(self, number: int) -> bool:
        """Take a number out; False where it is not in."""
        index = bisect_right(self._ranges, (number, float("inf"))) - 1
        if index < 0 or self._ranges[index][1] < number:
            return False
        first, last = self._ranges[index]
        left = [r for r in ((first, number - 1), (number + 1, last)) if r[0] <= r[1]]
        if len(self._ranges) + len(left) - 1 <= self._most:
            self._ranges[index : index + 1] = left
        return True

    def as_records(self) -> tuple[SequenceRange, ...]:
        return tuple(SequenceRange(first=first, last=last) for first, last in self._ranges)
