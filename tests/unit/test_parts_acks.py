"""Verdicts wait for their parts, and are acknowledged in offset order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.downstream.parts.acks import Prefix


def test_an_offset_waits_for_all_before_it() -> None:
    """5 7 8 │ done 8, 7: none │ done 5: all"""
    prefix, acked = Prefix(), list[int]()
    for offset in (5, 7, 8):
        prefix.open(offset, lambda offset=offset: acked.append(offset))  # type: ignore[misc]

    for done, expected in (((8,), []), ((7,), []), ((5,), [5, 7, 8])):
        for ack in prefix.done(done):
            ack()
        assert acked == expected
    assert len(prefix) == 0


def test_offsets_only_grow() -> None:
    prefix = Prefix()
    prefix.open(5, lambda: None)

    with pytest.raises(ValueError, match="offset 5 after 5"):
        prefix.open(5, lambda: None)


@given(st.permutations(range(8)))
def test_what_is_acknowledged_is_always_a_prefix_of_what_is_done(order: list[int]) -> None:
    prefix, acked, finished = Prefix(), list[int](), set[int]()
    for offset in range(8):
        prefix.open(offset, lambda offset=offset: acked.append(offset))  # type: ignore[misc]
    for offset in order:
        finished.add(offset)
        for ack in prefix.done([offset]):
            ack()
        assert acked == list(range(len(acked)))
        assert len(acked) == next((n for n in range(9) if n not in finished), 8)
