"""The newest figures of one camera and SKU, and the windows of them that are due to be looked at. Pure.

Of the sizes of window the smallest finds what is plain within tens of frames, the largest what is slight. Each is
looked at anew when a fifth of it is new. Between 50 and 200 lies one more, because a hundred frames are what people
are promised: what 50 frames aren't sure of needs no 200.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streams.downstream.drift.figures import NAMES, OF_MODEL, UNKNOWN

SIZES = (50, 100, 200, 1000)  # frames
LOOKS = 5  # at a window, while it is filled anew
F64 = np.ndarray[Any, np.dtype[np.float64]]
_OF_MODEL = [NAMES.index(name) for name in OF_MODEL]


class Window:
    """A ring of the newest frames' figures."""

    def __init__(self) -> None:
        self._ring = np.full((SIZES[-1], len(NAMES)), UNKNOWN, np.float64)
        self._taken = 0  # since the beginning, or since all but the newest were dropped

    def __len__(self) -> int:
        return min(self._taken, len(self._ring))

    def add(self, figures: Sequence[float]) -> None:
        self._ring[self._taken % len(self._ring)] = figures
        self._taken += 1

    def due(self) -> list[int]:
        """The sizes to look at now, after a frame was added."""
        return [size for size in SIZES if self._taken >= size and self._taken % (size // LOOKS) == 0]

    def newest(self, size: int) -> F64:
        """[n, figures], the oldest first; n is `size`, or less where there are fewer."""
        count = min(size, len(self))
        places = np.arange(self._taken - count, self._taken) % len(self._ring)
        return self._ring[places]

    def keep(self, size: int) -> None:
        """Drops all but the newest: what was before is over."""
        kept = self.newest(size)
        self._ring[: len(kept)] = kept
        self._taken = len(kept)

    def forget_model(self) -> None:
        """Another model judges: what the one before said counts no more."""
        self._ring[:, _OF_MODEL] = UNKNOWN
