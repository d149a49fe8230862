"""Which frames share a batch and when it leaves; `now` and deadlines are seconds of one made-up clock."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inspection.batching import Batch, Batcher, Flush

LINGER_S = 0.005


def batcher(*frames: tuple[str, float, float], max_batch: int = 4, patience_s: float = 2.0) -> Batcher[str]:
    """Frames as (name, when it came, when it expires)."""
    made: Batcher[str] = Batcher(max_batch, LINGER_S, patience_s)
    for name, now, expires_at in frames:
        made.add(name, now, expires_at)
    return made


def test_nothing_waits_nothing_leaves() -> None:
    assert batcher().take(0.0, on_their_way=0) is None
    assert batcher().due_at() == math.inf


def test_a_free_engine_with_nothing_on_its_way_takes_what_there_is_at_once() -> None:
    assert batcher(("a", 0.0, 9.0)).take(0.0, on_their_way=0) == Batch(["a"], Flush.IDLE)


def test_a_batch_waits_for_frames_on_their_way_but_no_longer_than_linger() -> None:
    """
    t (ms)    0      4.9     5
              a came         a leaves, alone; another frame is still being decoded
    """
    waiting = batcher(("a", 0.0, 9.0))
    assert waiting.due_at() == pytest.approx(LINGER_S)
    assert waiting.take(0.0049, on_their_way=1) is None
    assert waiting.take(waiting.due_at(), on_their_way=1) == Batch(["a"], Flush.LINGER)


def test_linger_counts_from_the_oldest_frame_not_the_most_urgent() -> None:
    waiting = batcher(("old", 0.0, 9.0), ("urgent", 0.004, 0.01))
    assert waiting.take(LINGER_S, on_their_way=1) == Batch(["urgent", "old"], Flush.LINGER)


def test_a_full_batch_leaves_whatever_is_on_its_way_and_leaves_the_rest() -> None:
    waiting = batcher(*((str(i), 0.0, 9.0) for i in range(5)))
    assert waiting.take(0.0, on_their_way=3) == Batch(["0", "1", "2", "3"], Flush.FULL)
    assert len(waiting) == 1


def test_the_earliest_deadline_goes_first_and_equal_ones_in_order_of_coming() -> None:
    waiting = batcher(("late", 0.0, 1.5), ("first", 0.0, 1.0), ("soon", 0.0, 0.5), ("second", 0.0, 1.0), max_batch=9)
    batch = waiting.take(0.0, on_their_way=0)
    assert batch is not None
    assert batch.items == ["soon", "first", "second", "late"]


def test_a_flood_of_urgent_frames_cannot_starve_one_without_a_deadline() -> None:
    """Every 100 ms come 2 frames with 300 ms each, as many as the engine takes; "patient" came at 0."""
    waiting = batcher(("patient", 0.0, math.inf), max_batch=2)
    for tick in range(30):
        now = tick / 10
        for i in range(2):
            waiting.add(f"urgent {tick}.{i}", now, now + 0.3)
        batch = waiting.take(now, on_their_way=0)
        assert batch is not None
        if "patient" in batch.items:
            assert 1.6 <= now <= 2.0, "not before its turn and not after its patience"
            return
    pytest.fail("the frame without a deadline never left")


@given(
    st.lists(st.tuples(st.floats(0, 10), st.one_of(st.just(math.inf), st.floats(0, 20))), min_size=1, max_size=40),
    st.integers(1, 8),
    st.integers(0, 3),
)
def test_every_frame_leaves_exactly_once_in_batches_within_the_limit(
    frames: list[tuple[float, float]], max_batch: int, on_their_way: int
) -> None:
    waiting: Batcher[int] = Batcher(max_batch, LINGER_S)
    for number, (now, expires_at) in enumerate(frames):
        waiting.add(number, now, expires_at)
    left: list[int] = []
    while len(waiting):
        batch = waiting.take(max(0.0, waiting.due_at()), on_their_way)
        assert batch is not None, "at due_at() a batch must leave"
        assert 1 <= len(batch.items) <= max_batch
        left += batch.items
    assert sorted(left) == list(range(len(frames)))
    dues = [min(frames[n][1], frames[n][0] + 2.0) for n in left]
    assert dues == sorted(dues), "the most urgent first"
