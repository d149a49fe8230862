"""Do the figures of a window of frames come from where their reference comes from? Pure statistics, knows no camera.

Two tests, neither of which assumes a shape: the rank sum (Mann and Whitney 1947), which finds a shift soonest, and
Kolmogorov and Smirnov's largest distance, which finds any change. Both weigh the window's size and the reference's, so
that few frames must differ more than many. What is sure but next to nothing is no shift: it must also be large, in
ranks and in the figure's own unit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np

LEAST_EFFECT = 0.2  # of 1: by so much more often is a frame of the window above one of the reference than below
QUIET_EFFECT = 0.7 * LEAST_EFFECT  # an alarm stands until it is less
_TWO_TESTS = 2
_DISTANCE_FACTOR = math.e  # of 2 exp(-2 m d^2), for two samples of any size (Wei and Dudley 2012 need no more)
_BETWEEN = np.linspace(0.1, 0.9, 9)  # shares at which quantiles are compared

F64 = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Usual:
    """How a figure is distributed when all is well: ascending quantiles at even shares, by so many `frames`."""

    quantiles: tuple[float, ...]
    frames: int

    def below(self, limit: float) -> Usual:
        """The same of those frames alone whose figure is less; without any, no quantiles are left."""
        if not self.quantiles or self.quantiles[-1] < limit:
            return self
        share = float(_ranks(np.array([limit]), self.quantiles)[0])
        kept = int(self.frames * share)
        if kept < 1:
            return Usual((), 0)
        shares = np.linspace(0, 1, len(self.quantiles))
        return Usual(tuple(np.interp(shares * share, shares, self.quantiles).tolist()), kept)

    def at(self, share: float) -> float:
        return float(np.interp(share, np.linspace(0, 1, len(self.quantiles)), self.quantiles))


@dataclass(frozen=True, slots=True, eq=False)
class Shift:
    """How a window's figure differs from what is usual.

    `effect`, 0 to 1: the larger of how much more often it is above than below, and of the distributions' distance. `p`
    is that of chance, both tests together.
    """

    effect: float
    p: float
    ascending: F64  # the window's figures

    @property
    def middle(self) -> float:
        return float(np.median(self.ascending))

    def moved(self, usual: Usual) -> float:
        """The largest distance of quantiles, in the figure's unit."""
        now = np.interp(_BETWEEN, np.linspace(0, 1, len(self.ascending)), self.ascending)
        before = np.interp(_BETWEEN, np.linspace(0, 1, len(usual.quantiles)), usual.quantiles)
        return float(np.abs(now - before).max())


def compare(values: F64, usual: Usual) -> Shift:
    """Of finite figures [n], n at least 1, and 2 quantiles or more."""
    n, frames = len(values), usual.frames
    ascending = np.sort(values)
    low, high = _shares(ascending, usual.quantiles)
    rank = 2 * abs(float((low + high).mean()) / 2 - 0.5)
    z = rank / 2 / math.sqrt((1 / n + 1 / frames) / 12)
    distance = _distance(ascending, low, high)
    by_distance = 2 * _DISTANCE_FACTOR * math.exp(-2 * distance * distance * n * frames / (n + frames))
    p = min(1.0, _TWO_TESTS * min(math.erfc(z / math.sqrt(2)), by_distance))
    return Shift(max(rank, distance), p, ascending)


def sure(shifts: Mapping[str, Shift], alpha: float) -> list[str]:
    """Those that chance would name with a probability of `alpha`, all together (Holm 1979); the surest first."""
    found: list[str] = []
    for place, name in enumerate(sorted(shifts, key=lambda name: shifts[name].p)):
        if shifts[name].p > alpha / (len(shifts) - place):
            break
        found.append(name)
    return found


def least_sure_effect(frames: int, reference: int, alpha: float) -> float:
    """The effect from which on a window of so many frames is sure of one figure, by the rank sum."""
    z = NormalDist().inv_cdf(1 - alpha / _TWO_TESTS / 2)
    return min(1.0, 2 * z * math.sqrt((1 / frames + 1 / reference) / 12))


def _ranks(values: F64, quantiles: tuple[float, ...]) -> F64:
    """The share of the reference below each value; of several that are equal the middle."""
    low, high = _shares(values, quantiles)
    middle: F64 = (low + high) / 2
    return middle


def _shares(values: F64, quantiles: tuple[float, ...]) -> tuple[F64, F64]:
    """The share of the reference below each value, and at or below: they differ where many of it are equal."""
    known, low, high = _steps(quantiles)
    at = np.clip(np.searchsorted(known, values, "right") - 1, 0, len(known) - 1)
    after = np.minimum(at + 1, len(known) - 1)
    gap = known[after] - known[at]
    part = np.where(gap > 0, (values - known[at]) / np.where(gap > 0, gap, 1), 0)
    between = high[at] + np.clip(part, 0, 1) * (low[after] - high[at])
    is_known = values == known[at]
    below = np.where(is_known, low[at], np.where(values < known[0], 0, np.where(values > known[-1], 1, between)))
    through = np.where(is_known, high[at], below)
    return below, through


@lru_cache(maxsize=4096)
def _steps(quantiles: tuple[float, ...]) -> tuple[F64, F64, F64]:
    """Different quantiles, and the shares below each, and at or below."""
    known, first, count = np.unique(np.asarray(quantiles, np.float64), return_index=True, return_counts=True)
    most = len(quantiles) - 1
    return known, first / most, (first + count - 1) / most


def _distance(ascending: F64, low: F64, high: F64) -> float:
    """The largest difference of the two shares at or below a value, and below it, over the window's values."""
    n = len(ascending)
    below = np.searchsorted(ascending, ascending, "left") / n
    through = np.searchsorted(ascending, ascending, "right") / n
    return float(max(np.abs(below - low).max(), np.abs(through - high).max()))
