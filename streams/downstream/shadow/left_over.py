"""How much of this machine's processor time its line leaves over: idle, or spent on what yields to it.

Place in the flow: `service.py` asks before it compares. Lowest priority is not enough on a machine that is nearly full:
what runs there at all takes caches, memory and the broker's time from the line. Pure but for the counters that it is
given: seconds since the machine started, as the kernel counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psutil

EVERY_S = 1.0  # a share over less would be mostly chance
_LEFT = ("idle", "iowait", "nice")
_PARTS = ("user", "system", "irq", "softirq", "steal", *_LEFT)  # `guest` is part of `user`


class LeftOver:
    """Calling it gives the share, 0 to 1, over the last second or so; 1 until the first one is over."""

    def __init__(self, clock: Callable[[], float], counters: Callable[[], Any] = psutil.cpu_times) -> None:
        self._clock, self._counters = clock, counters
        self._at, self._seen, self._share = clock(), counters(), 1.0

    def __call__(self) -> float:
        now = self._clock()
        if now - self._at >= EVERY_S:
            seen = self._counters()
            spent = {name: getattr(seen, name) - getattr(self._seen, name) for name in _PARTS if name in seen._fields}
            left = sum(spent.get(name, 0.0) for name in _LEFT)
            self._at, self._seen, self._share = now, seen, left / (sum(spent.values()) or 1.0)
        return self._share
