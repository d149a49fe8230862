"""How many passes of a period are audited, and with which probability each of them was chosen. Pure.

A period is a stratum: of its N different pictures passed, k are drawn without replacement by the smallest keyed
hashes (bottom-k; Duffield, Lund and Thorup 2007), when the period has closed and N is known. What may be spent in
expectation, x, is a share of what the day's budget has left: the share that yesterday's volume, evened out over hours,
lets one expect in this part of the day. It is known before anything is drawn and never 0, so nothing passed is beyond
the audit. Whole numbers come from systematic rounding (Madow 1949): with one start u a day, k = floor(u + X + x) -
floor(u + X) for X spent before, so that E[k] = x, each picture's inclusion probability is exactly x / N, and the budget
is never exceeded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import floor

LEVEL_SHARE = 0.25  # of the day's plan, spread evenly: a part of the day without volume yesterday gets its audits too


@dataclass(frozen=True, slots=True)
class Allotment:
    """`count` pictures of a period are drawn, each with the probability `inclusion`."""

    count: int
    inclusion: float


def expected_shares(volumes: Sequence[int], slots_an_hour: int = 1) -> tuple[float, ...]:
    """The share of a day's passes expected in each slot, from the day before; evenly where that had none.

    Within an hour all slots expect the same: what single minutes held yesterday is chance, and to follow it would make
    inclusion probabilities, and with them the interval, needlessly unequal.
    """
    total, level = sum(volumes), 1 / len(volumes)
    if not total:
        return (level,) * len(volumes)
    hours = [volumes[first : first + slots_an_hour] for first in range(0, len(volumes), slots_an_hour)]
    even = [sum(hour) / len(hour) for hour in hours for _ in hour]
    return tuple(LEVEL_SHARE * level + (1 - LEVEL_SHARE) * volume / total for volume in even)


@dataclass(slots=True)
class AuditDay:
    """The audits of one line's day. `start` is the day's draw in [0, 1). Slots come in order, each at most once."""

    budget: int
    start: float
    shares: Sequence[float]
    spent: float = field(default=0.0, init=False)  # in expectation
    _left: Sequence[float] = field(init=False)  # shares of a slot and all that follow it

    def __post_init__(self) -> None:
        self.start = min(self.start, 1 - 2**-32)  # far enough below 1 that no rounding of a sum spends one too many
        self._left = list(accumulate(reversed(self.shares)))[::-1]

    def allot(self, slot: int, population: int) -> Allotment:
        """What a closed period with `population` different pictures passed gets."""
        if not population:
            return Allotment(0, 0.0)
        due = (self.budget - self.spent) * self.shares[slot] / self._left[slot]
        before = self.start + self.spent
        self.spent += (spend := min(float(population), due))
        return Allotment(min(population, floor(self.start + self.spent) - floor(before)), spend / population)
