"""The bounded memory of ids: what is known, for how long, and which of several marks counts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.recent_ids import RecentIds


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 1 << 64, (1 << 128) - 1, 7]), st.integers(-(2**62), 2**62)), max_size=20),
    st.integers(1, 6),
)
def test_it_knows_what_a_list_of_the_newest_would_know(remembered: list[tuple[int, int]], size: int) -> None:
    ids = RecentIds(size)
    for identity, mark in remembered:
        ids.remember(identity, mark)
    kept = remembered[-size:]
    for identity in (0, 1, 1 << 64, (1 << 128) - 1, 7, 9):
        assert ids.mark_of(identity) == max((mark for known, mark in kept if known == identity), default=None)


def test_marks_before_1970_count_too() -> None:
    ids = RecentIds()
    ids.remember(5, -1)
    assert ids.mark_of(5) == -1
    assert ids.mark_of(0) is None
