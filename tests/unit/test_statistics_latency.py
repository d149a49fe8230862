"""The histogram of latencies."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.downstream.statistics.latency import BUCKETS, EDGES_MS, added, bucket, quantile_ms


def counts_of(*latencies_ms: float) -> list[int]:
    counts = [0] * BUCKETS
    for latency_ms in latencies_ms:
        counts[bucket(latency_ms)] += 1
    return counts


def test_buckets_reach_from_one_millisecond_to_a_hundred_seconds() -> None:
    assert (EDGES_MS[0], EDGES_MS[-1]) == (1, 100_000)
    assert [bucket(ms) for ms in (0, 1, 1.1, 100_000, 100_001)] == [0, 0, 1, BUCKETS - 2, BUCKETS - 1]


def test_a_quantile_lies_between_its_buckets_edges_in_proportion() -> None:
    counts = counts_of(*[950.0] * 10)  # from 794 to 1,000
    assert quantile_ms(counts, 0.5) == pytest.approx((EDGES_MS[29] + 1000) / 2)
    assert quantile_ms(counts, 1.0) == pytest.approx(1000)


def test_nothing_has_no_quantile_and_above_the_last_edge_all_is_the_edge() -> None:
    assert quantile_ms([], 0.5) is None
    assert quantile_ms([0] * BUCKETS, 0.5) is None
    assert quantile_ms(counts_of(1e9), 0.99) == EDGES_MS[-1]


@given(st.lists(st.floats(1.01, 99_000), min_size=1, max_size=200), st.sampled_from((0.5, 0.95, 0.99)))
def test_a_quantile_is_within_a_bucket_of_the_true_one(latencies: list[float], share: float) -> None:
    true = sorted(latencies)[math.ceil(share * len(latencies)) - 1]
    found = quantile_ms(counts_of(*latencies), share)
    assert found is not None
    assert true / 1.27 <= found <= true * 1.27


def test_histograms_add_up_even_where_one_is_short() -> None:
    assert added([(1, 2), (0, 1, 5), ()]) == (1, 3, 5)
    assert added([]) == ()
