"""How much one worker may hold, in bytes and in time; `now` is seconds of a made-up clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inspection.budget import FIRST_LIMIT, SMALLEST_LIMIT, Budget


def busy(rate: float, seconds: float, budget: Budget) -> None:
    """Completes `rate` frames a second for some seconds, never idle."""
    budget.admit(1, 0.0)
    for done in range(1, int(rate * seconds) + 1):
        budget.admit(1, done / rate)
        budget.release(1, done / rate)


def test_bytes_are_bounded() -> None:
    budget = Budget(max_bytes=100, max_s=2.0)
    budget.admit(60, 0.0)
    assert budget.admits(40)
    assert not budget.admits(41)


def test_what_leaves_makes_room() -> None:
    budget = Budget(max_bytes=100, max_s=2.0)
    budget.admit(60, 0.0)
    budget.admit(40, 0.0)
    assert not budget.admits(1)
    budget.release(60, 0.1)
    assert budget.admits(60)
    assert (budget.frames, budget.bytes) == (1, 40)


def test_a_frame_larger_than_the_budget_joins_alone() -> None:
    budget = Budget(max_bytes=100, max_s=2.0)
    assert budget.admits(1000)
    budget.admit(1000, 0.0)
    assert not budget.admits(0), "nothing joins it"
    budget.release(1000, 0.1)
    budget.admit(1, 0.2)
    assert not budget.admits(1000), "and it joins nothing"


def test_until_a_rate_is_known_a_fixed_number_of_frames_may_join() -> None:
    budget = Budget(max_bytes=1 << 30, max_s=2.0)
    for _ in range(FIRST_LIMIT):
        assert budget.admits(1)
        budget.admit(1, 0.0)
    assert not budget.admits(1)


def test_work_held_is_bounded_by_the_measured_rate_times_the_seconds() -> None:
    budget = Budget(max_bytes=1 << 30, max_s=2.0)
    busy(100, 3.0, budget)
    assert budget.limit == pytest.approx(200, rel=0.05)


def test_the_limit_follows_a_rate_that_changes() -> None:
    budget = Budget(max_bytes=1 << 30, max_s=2.0, rate=400.0)
    busy(50, 10.0, budget)
    assert budget.limit == pytest.approx(100, rel=0.2)


def test_a_slow_engine_still_gets_a_batch() -> None:
    budget = Budget(max_bytes=1 << 30, max_s=2.0)
    busy(1, 10.0, budget)
    assert budget.limit == SMALLEST_LIMIT


def test_idle_time_is_not_taken_for_slowness() -> None:
    """One frame every 10 s, done in 10 ms: that says nothing about what the worker could do."""
    budget = Budget(max_bytes=1 << 30, max_s=2.0)
    for i in range(20):
        budget.admit(1, 10.0 * i)
        budget.release(1, 10.0 * i + 0.01)
    assert budget.limit == FIRST_LIMIT


@given(st.lists(st.integers(0, 150), max_size=60), st.data())
def test_the_budget_is_kept_and_never_blocks_an_idle_worker(sizes: list[int], data: st.DataObject) -> None:
    budget, held, now = Budget(max_bytes=100, max_s=2.0), list[int](), 0.0
    for size in sizes:
        now += 0.1
        if budget.admits(size):
            budget.admit(size, now)
            held.append(size)
        else:
            assert held, "with nothing under way every frame may join"
            budget.release(held.pop(data.draw(st.integers(0, len(held) - 1))), now)
        assert (budget.frames, budget.bytes) == (len(held), sum(held))
        assert len(held) == 1 or budget.bytes <= 100


def test_the_least_may_be_under_way_at_any_rate_and_bytes_bound_it_still() -> None:
    budget = Budget(max_bytes=300, max_s=2.0, least=256)
    assert budget.limit == 256
    busy(4.0, 3.0, budget)
    assert budget.rate == pytest.approx(4.0, rel=0.5)
    assert budget.limit == 256
    while budget.admits(1):
        budget.admit(1, 3.0)
    assert budget.frames == 256
    assert not Budget(max_bytes=10, max_s=2.0, least=256, frames=1, bytes=10).admits(1)
