"""Counts the triggers that a camera's frames show to be missing or repeated. Pure.

Used by the fold of windows, frame by frame in log order. A trigger counts as missing in the window of the frame that
showed the gap; where its frame arrives after all, it is taken back from there. Knows no event and no clock: `at_ms` is
the progress of the log, and everything here is a function of the last `pause_ms + order_ms` of it, so that a fold begun
that much earlier in the log finds the same.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

MAX_GAP = 10_000
"""Triggers; a longer jump is a counter that was set anew."""
MAX_KNOWN = 4 * MAX_GAP
"""Trigger numbers remembered of one camera, whatever comes."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What one frame showed.

    Triggers missing before it, whether its own was seen before, and the window in which its own counts as missing.
    """

    missing: int = 0
    repeated: bool = False
    found_of: int | None = None


@dataclass(slots=True)
class CameraTriggers:
    """The trigger numbers of one camera.

    A camera silent for longer than `pause_ms` begins anew: its jump is a pause. Numbers are remembered for `order_ms`.
    """

    pause_ms: int
    order_ms: int
    _last_seq: int | None = None
    _last_ms: int = 0
    _known: OrderedDict[int, tuple[int, int | None]] = field(default_factory=OrderedDict)
    """By number: when it was entered, and the window in which it counts as missing; None for a number that came."""

    def take(self, seq: int, window: int, at_ms: int) -> Shown:
        """The frame of trigger `seq`, counted in `window`; `at_ms` never goes back."""
        while self._known and self._outlived(at_ms):
            self._known.popitem(last=False)
        entered = self._known.pop(seq, None)
        missing = self._gap(seq, window, at_ms)
        self._known[seq] = (at_ms, None)
        self._last_seq, self._last_ms = seq, at_ms
        return Shown(missing, entered is not None and entered[1] is None, entered[1] if entered else None)

    def _outlived(self, at_ms: int) -> bool:
        entered_ms, _ = next(iter(self._known.values()))
        return entered_ms < at_ms - self.order_ms or len(self._known) > MAX_KNOWN

    def _gap(self, seq: int, window: int, at_ms: int) -> int:
        """Enters the numbers between the last frame's and this one's that are not known yet; how many there are."""
        last = self._last_seq
        if last is None or at_ms - self._last_ms > self.pause_ms or not 1 < seq - last <= MAX_GAP:
            return 0
        fresh = [number for number in range(last + 1, seq) if number not in self._known]
        self._known.update((number, (at_ms, window)) for number in fresh)
        return len(fresh)
