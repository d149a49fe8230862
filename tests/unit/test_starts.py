"""Where a partition of frames is read from, for every way in which offsets can be wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.inspection.metrics import InspectionMetrics
from streams.inspection.standing import Standing
from streams.inspection.starts import AGAIN, FAR, Start, start_of

LATE = 10 * AGAIN
NEWEST = 3 * FAR


@pytest.mark.parametrize(
    ("committed", "begin", "end", "decided", "expected"),
    [
        pytest.param(7, 0, 9, 6, Start(7), id="as usual"),
        pytest.param(5, 0, 9, 6, Start(5), id="decided and not committed yet"),
        pytest.param(0, 0, 9, 6, Start(0), id="moved to the beginning: all comes again"),
        pytest.param(
            0, 0, NEWEST + 9, NEWEST, Start(NEWEST + 1 - AGAIN), id="moved far back: the last ones come again"
        ),
        pytest.param(None, 0, NEWEST + 9, NEWEST, Start(NEWEST + 1 - AGAIN), id="forgotten: the last ones come again"),
        pytest.param(
            NEWEST + 1 - FAR, 0, NEWEST + 9, NEWEST, Start(NEWEST + 1 - FAR), id="a crash with much under way"
        ),
        pytest.param(
            None, NEWEST + 1 - FAR, NEWEST + 9, NEWEST, Start(NEWEST + 1 - FAR), id="a crash before any commit"
        ),
        pytest.param(None, 0, 9, None, Start(0), id="nothing committed, nothing decided"),
        pytest.param(None, 7, 9, 2, Start(7, gone=4), id="forgotten, and some of it is deleted"),
        pytest.param(0, 0, 9, None, Start(0), id="never read"),
        pytest.param(9, 0, 9, 6, Start(0, undone=2), id="moved to the end"),
        pytest.param(LATE + 9, 0, LATE + 9, LATE, Start(LATE + 1 - AGAIN, undone=8), id="some decided ones come again"),
        pytest.param(9, 0, 9, None, Start(0, undone=9), id="moved to the end before anything was decided"),
        pytest.param(99, 0, 9, 6, Start(0, undone=2), id="moved beyond the end"),
        pytest.param(9, 7, 9, 2, Start(7, undone=2, gone=4), id="moved to the end, and some of it is deleted"),
        pytest.param(3, 7, 9, 2, Start(7, gone=4), id="deleted above the committed offset"),
        pytest.param(3, 7, 9, 5, Start(7, gone=1), id="decided above the committed offset, then deleted"),
        pytest.param(3, 7, 9, None, Start(7, gone=4), id="deleted, nothing decided"),
        pytest.param(7, 7, 7, 6, Start(7), id="all decided, all deleted"),
    ],
)
def test_where_a_partition_is_read_from(
    committed: int | None, begin: int, end: int, decided: int | None, expected: Start
) -> None:
    assert start_of(committed, begin, end, decided) == expected


@dataclass(frozen=True)
class Result:
    source_offset: int
    source_timestamp: datetime
    source_topic: str = "x.frames"

    @property
    def record(self) -> Result:
        return self


@dataclass(frozen=True)
class At:
    offset: int
    timestamp_ms: int


T0 = datetime(2026, 3, 1, tzinfo=UTC)


def time_of(offset: int, created: datetime = T0) -> datetime:
    return created + timedelta(seconds=offset)


class Topic:
    """Frames 0 to `end`, one a second since the topic was created."""

    def __init__(self, end: int, created: datetime = T0, begin: int = 0) -> None:
        self.end, self.created, self.begin = end, created, begin

    async def of(self, partition: int, at_ms: int) -> tuple[int, int, At | None]:
        for offset in range(self.begin, self.end):
            ms = round(time_of(offset, self.created).timestamp() * 1000)
            if ms >= at_ms:
                return self.begin, self.end, At(offset, ms)
        return self.begin, self.end, None


class Tail:
    def __init__(self, *results: Result) -> None:
        self.results, self.asked = results, 0

    async def last(self, partition: int, of: Callable[[Any], bool], size: int) -> Result | None:
        self.asked += 1
        return next((found for found in reversed(self.results) if of(found)), None)


def standing(topic: Topic, verdicts: Tail, letters: Tail) -> tuple[Standing, CollectorRegistry]:
    registry = CollectorRegistry()
    return Standing("x.frames", topic, verdicts, letters, InspectionMetrics(registry)), registry


async def test_dead_letters_are_results_too_and_are_looked_at_only_where_they_matter() -> None:
    verdicts, letters = Tail(Result(4, time_of(4))), Tail(Result(6, time_of(6)))
    there, _ = standing(Topic(7), verdicts, letters)
    assert await there.starts({0: 5}) == {}
    assert letters.asked == 0
    assert await there.starts({0: 7}) == {}, "5 and 6 have dead letters"
    assert letters.asked == 1


async def test_results_of_an_earlier_topic_of_the_same_name_hide_no_frame(caplog: pytest.LogCaptureFixture) -> None:
    there, _ = standing(Topic(9, T0 + timedelta(days=1)), Tail(Result(500, time_of(500))), Tail())
    assert await there.starts({0: 9}) == {0: 0}
    assert "earlier topic of this name" in caplog.text


async def test_results_of_another_topic_count_for_nothing() -> None:
    there, _ = standing(Topic(9), Tail(Result(3, time_of(3)), Result(8, time_of(8), "other.frames")), Tail())
    assert await there.starts({0: 9}) == {0: 0}
    assert await there.starts({0: 4}) == {}


async def test_deleted_frames_are_counted_once_however_often_it_looks(caplog: pytest.LogCaptureFixture) -> None:
    there, registry = standing(Topic(9, begin=7), Tail(Result(2, time_of(2))), Tail())
    for _ in range(3):
        assert await there.starts({0: 3}) == {0: 7}
    assert registry.get_sample_value("lineside_frames_gone_total") == 4
    assert caplog.text.count("up to 4 frames (offsets 3 to 6) were deleted") == 1
    await there.missed(0, 3, 9)
    assert registry.get_sample_value("lineside_frames_gone_total") == 4


async def test_a_gap_that_nothing_was_deleted_in_is_none() -> None:
    there, registry = standing(Topic(9), Tail(), Tail())
    await there.missed(0, 3, 7)
    assert registry.get_sample_value("lineside_frames_gone_total") == 0


async def test_what_has_no_committed_offset_begins_with_what_is_there_and_what_is_gone_is_told() -> None:
    there, registry = standing(Topic(9, begin=7), Tail(Result(2, time_of(2))), Tail())
    assert await there.starts({0: None}) == {0: 7}
    assert registry.get_sample_value("lineside_frames_gone_total") == 4
