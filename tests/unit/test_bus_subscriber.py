"""Where a subscription begins, and which of several copies it hands on, without a broker."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from uuid import UUID

import pytest

from streams.bus.positions import Start, starting_offset
from streams.bus.subscriber import FirstOnly, Subscription, subscribe_events
from streams.errors import CallerError
from streams.settings import Settings
from streams.topics import DEFECTS
from tests.contracts.samples import DEFECT, FRAME, VERDICT, defect, verdict

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("start", "by_time", "expected"),
    [
        ("earliest", None, 10),
        ("latest", None, 20),
        (15, None, 15),
        (3, None, 10),  # retention has taken it
        (99, None, 20),  # not there yet: wait for what comes, never begin from the front again
        ({1: 12}, None, 12),
        (NOON, 17, 17),
        (NOON, None, 20),  # nothing so late
    ],
)
def test_a_start_is_brought_into_what_the_partition_holds(start: Start, by_time: int | None, expected: int) -> None:
    assert starting_offset(start, 1, begin=10, end=20, by_time=by_time) == expected


def test_the_first_record_of_a_verdict_in_log_order_counts() -> None:
    first = FirstOnly()
    assert [first.is_copy(verdict(n), offset) for offset, n in enumerate((1, 2, 1, 3, 2))] == [
        *(False, False, True, False, True)
    ]


def test_a_defect_is_a_copy_by_its_verdict() -> None:
    first = FirstOnly()
    assert not first.is_copy(DEFECT, 0)
    assert first.is_copy(DEFECT, 1)


def test_the_same_record_again_is_a_redelivery_and_no_copy() -> None:
    first = FirstOnly()
    assert [first.is_copy(VERDICT, offset) for offset in (5, 5, 6)] == [False, False, True]


def test_events_without_a_verdict_are_never_copies() -> None:
    first = FirstOnly()
    assert [first.is_copy(FRAME, offset) for offset in (0, 1)] == [False, False]


def test_memory_of_ids_is_bounded() -> None:
    first = FirstOnly(remembered=2)
    assert [first.is_copy(defect(n), offset) for offset, n in enumerate((1, 2, 3, 1))] == [False, False, False, False]


def test_ids_that_share_a_half_or_are_all_zeros_are_told_apart() -> None:
    first = FirstOnly()
    ids = (0, 1, 1 << 64, (1 << 64) + 1, 2**128 - 1)
    copies = [
        first.is_copy(dataclasses.replace(verdict(1), verdict_id=UUID(int=n)), offset)
        for offset, n in enumerate((*ids, *ids))
    ]
    assert copies == [False] * 5 + [True] * 5


async def test_an_unknown_topic_names_the_known_ones() -> None:
    with pytest.raises(CallerError, match="no topic 'defect'; topics are frames, verdicts, defects"):
        subscribe_events("defect", settings=Settings())


async def test_a_group_cannot_end_at_the_present_end() -> None:
    with pytest.raises(CallerError, match="a group follows its topic"):
        Subscription(DEFECTS, settings=Settings(), group="rework", follow=False)


async def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(CallerError, match="needs a time zone"):
        Subscription(DEFECTS, NOON.replace(tzinfo=None), settings=Settings())
