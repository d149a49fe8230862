"""A p-chart: is the share of bad parts of a line in control? Pure.

Used by statistics for its alarm and by the dashboard. Limits and zones are exact ones of the binomial with the pooled
share, each point by its own n: a point is beyond "k sigma" where a count so far out has at most the probability that
the normal distribution has beyond k sigma. So small n, rare defects and a lower limit of 0 need no exception: no bad
part among few is never a signal. Run rules: Western Electric 1956 and L. S. Nelson, "The Shewhart Control Chart: Tests
for Special Causes", Journal of Quality Technology 16 (1984); those of his eight that suit shares: 1, 2, 3, 5 and 6.

Knows no event and no clock.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from statistics import NormalDist

BEYOND_3_SIGMA = "beyond-3-sigma"
NINE_ON_ONE_SIDE = "nine-on-one-side"
SIX_IN_A_TREND = "six-in-a-trend"
TWO_OF_THREE_BEYOND_2_SIGMA = "two-of-three-beyond-2-sigma"
FOUR_OF_FIVE_BEYOND_1_SIGMA = "four-of-five-beyond-1-sigma"
RULES = (
    BEYOND_3_SIGMA,
    NINE_ON_ONE_SIDE,
    SIX_IN_A_TREND,
    TWO_OF_THREE_BEYOND_2_SIGMA,
    FOUR_OF_FIVE_BEYOND_1_SIGMA,
)
TAILS = tuple(1 - NormalDist().cdf(k) for k in (0, 1, 2, 3))
"""Largest probability of what lies beyond k sigma on one side, by k; 0 sigma is the centre."""
OF_ZONES = (
    (3, 1, 1, BEYOND_3_SIGMA),
    (0, 9, 9, NINE_ON_ONE_SIDE),
    (2, 2, 3, TWO_OF_THREE_BEYOND_2_SIGMA),
    (1, 4, 5, FOUR_OF_FIVE_BEYOND_1_SIGMA),
)
"""Zone in sigma, how many points, of how many in a row, the rule."""
TREND = 6
LONGEST_RUN = max(TREND, *(among for _, _, among, _ in OF_ZONES))
"""Points that a rule looks at, at most."""
REMEMBERED = 1024  # counts whose place is known: a day's chart, drawn again and again; each new count moves its centre


@dataclass(frozen=True, slots=True)
class Sample:
    """`bad` of `n` parts in the window that begins at `start`."""

    start: datetime
    n: int
    bad: int

    def __post_init__(self) -> None:
        if not 0 <= self.bad <= self.n:
            raise ValueError(f"expected 0 <= bad <= n; came {self.bad} of {self.n}")


@dataclass(frozen=True, slots=True)
class ChartPoint:
    """`share` is None of nothing. `lower` and `upper` are the outermost shares that are still in control."""

    start: datetime
    n: int
    bad: int
    share: float | None
    lower: float | None
    upper: float | None
    rules: tuple[str, ...]
    """The rules that this point completes."""


@dataclass(frozen=True, slots=True)
class PChart:
    """`centre` is the pooled share, None where there are no parts."""

    centre: float | None
    points: tuple[ChartPoint, ...]


@dataclass(frozen=True, slots=True)
class _Placed:
    """A point's share, and its zone: 1 (just beyond the centre) to 4 (beyond 3 sigma), with the sign of its side.

    0 is the centre itself: neither side is as improbable as one half.
    """

    share: float
    zone: int


def p_chart(samples: Sequence[Sample]) -> PChart:
    """The chart of samples in the order of time. A sample of no parts is shown without a share; runs go on over it."""
    centre = _pooled(samples)
    points, run = [], list[_Placed]()
    for sample in samples:
        if centre is not None and sample.n:
            run.append(_placed(sample, centre))
        points.append(_point(sample, centre, run))
    return PChart(centre, tuple(points))


def newest_point(samples: Sequence[Sample]) -> ChartPoint:
    """The last point of `p_chart(samples)`, for a fraction of the work; there must be one."""
    centre = _pooled(samples)
    seen = [sample for sample in samples if sample.n][-LONGEST_RUN:]
    return _point(samples[-1], centre, [_placed(sample, centre) for sample in seen] if centre is not None else [])


def _pooled(samples: Sequence[Sample]) -> float | None:
    total = sum(sample.n for sample in samples)
    return sum(sample.bad for sample in samples) / total if total else None


def _placed(sample: Sample, centre: float) -> _Placed:
    return _Placed(sample.bad / sample.n, _zone(sample.bad, sample.n, centre))


def _point(sample: Sample, centre: float | None, run: Sequence[_Placed]) -> ChartPoint:
    """The point of a sample, which is the last of `run` if it has parts."""
    if centre is None or not sample.n:
        return ChartPoint(sample.start, 0, 0, None, None, None, ())
    lower, upper = _limits(sample.n, centre)
    return ChartPoint(sample.start, sample.n, sample.bad, run[-1].share, lower, upper, _rules(run))


def _rules(run: Sequence[_Placed]) -> tuple[str, ...]:
    """The rules that the last point of a run completes."""
    side = 1 if run[-1].zone > 0 else -1
    broken = {rule for sigma, count, among, rule in OF_ZONES if _beyond(run, side, sigma, count, among)}
    shares = [placed.share for placed in run[-TREND:]]
    steps = [b - a for a, b in pairwise(shares)]
    if len(shares) == TREND and (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        broken.add(SIX_IN_A_TREND)
    return tuple(rule for rule in RULES if rule in broken)


def _beyond(run: Sequence[_Placed], side: int, sigma: int, count: int, among: int) -> bool:
    """Whether the last point and `count` of the last `among` lie more than `sigma` out on this side."""
    out = [placed.zone * side > sigma for placed in run[-among:]]
    return out[-1] and sum(out) >= count


def import_costly() -> None:
    """Load what charts and exact intervals compute with, a second and some 75 MiB: before the work, not during it."""
    importlib.import_module("scipy.special")
    importlib.import_module("scipy.stats")


@lru_cache(REMEMBERED)
def _zone(bad: int, n: int, centre: float) -> int:
    """How far out a count lies; see `_Placed.zone`."""
    from scipy.special import bdtr, bdtrc  # a moment of start-up that only charts need

    above = float(bdtrc(bad - 1, n, centre)) if bad else 1.0  # P(X >= bad)
    below = float(bdtr(bad, n, centre))  # P(X <= bad)
    if above <= TAILS[0]:
        return sum(above <= tail for tail in TAILS)
    return -sum(below <= tail for tail in TAILS)


@lru_cache(REMEMBERED)
def _limits(n: int, centre: float) -> tuple[float, float]:
    """The outermost shares of n parts that are not beyond 3 sigma."""
    from scipy.stats import binom

    low, high = binom.ppf((TAILS[3], 1 - TAILS[3]), n, centre)
    return float(low) / n, float(high) / n
