"""The histogram of latencies: the one place that fixes its buckets, and quantiles from its counts. Pure.

Used by the fold of windows and by whoever adds windows up: counts of several windows are added bucket by bucket, their
quantiles are not. Knows no event.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import zip_longest

PER_DECADE = 10
EDGES_MS = tuple(10 ** (step / PER_DECADE) for step in range(5 * PER_DECADE + 1))
"""Upper edges, included, from 1 ms to 100 s, each 1.26 times the one before; one more bucket lies above the last."""
BUCKETS = len(EDGES_MS) + 1


def bucket(latency_ms: float) -> int:
    """The number of the bucket that a latency falls into, 0 to BUCKETS - 1."""
    return bisect_left(EDGES_MS, latency_ms)


def added(histograms: Iterable[Sequence[int]]) -> tuple[int, ...]:
    """The sum of histograms, bucket by bucket; a short one has nothing in the buckets that it lacks."""
    total: tuple[int, ...] = ()
    for counts in histograms:
        total = tuple(a + b for a, b in zip_longest(total, counts, fillvalue=0))
    return total


def quantile_ms(counts: Sequence[int], share: float) -> float | None:
    """The latency in milliseconds below which `share` (0 to 1) of the frames lie; None where there are none.

    Linear between a bucket's edges, so at most a bucket's width (26 %) from the truth; above the last edge it is that
    edge.
    """
    rank, below = share * sum(counts), 0
    for number, count in enumerate(counts):
        if count and below + count >= rank:
            low = EDGES_MS[number - 1] if number else 0.0
            high = EDGES_MS[min(number, len(EDGES_MS) - 1)]
            return low + (high - low) * max(0.0, rank - below) / count
        below += count
    return None
