"""Windows added up, and what is said of the sum."""

from __future__ import annotations

from dataclasses import replace

import pytest

from models.evaluate import rate
from schemas.records import LineWindow
from streams.downstream.statistics.latency import BUCKETS
from streams.downstream.statistics.totals import first_pass_yield, newest, parts_per_minute, totals
from tests.line_stats import at

COUNTS = (0,) * 20 + (4,) + (0,) * (BUCKETS - 21)
WINDOW = LineWindow(
    plant="p1",
    line="l1",
    station="s1",
    window_start=at(0),
    width_ms=60_000,
    revision=0,
    final=True,
    partition=0,
    through_offset=1,
    frames=4,
    outcomes={"OK": 3, "NG": 1},
    labels={"dent": 1},
    parts={"OK": 2, "NG": 1, "NOT_INSPECTED": 1},
    reworked={"OK": 1},
    missing_triggers=2,
    latency_counts=COUNTS,
    at=at(70),
)
NEXT = replace(WINDOW, window_start=at(60), outcomes={"OK": 4}, labels={}, parts={"OK": 4}, reworked={}, frames=4)


def test_counts_of_windows_are_added_and_quantiles_are_those_of_the_sum() -> None:
    found = totals([WINDOW, NEXT])
    assert (found.windows, found.frames, found.missing_triggers) == (2, 8, 4)
    assert found.outcomes == {"OK": 7, "NG": 1}
    assert found.labels == {"dent": 1}
    assert found.parts == {"OK": 6, "NG": 1, "NOT_INSPECTED": 1}
    assert sum(found.latency_counts) == 8
    assert found.latency_ms(0.5) == pytest.approx((10 ** (19 / 10) + 100) / 2)


def test_of_several_revisions_only_the_highest_counts_and_of_equal_ones_the_later() -> None:
    higher = replace(WINDOW, revision=3, frames=9)
    assert totals([higher, WINDOW, NEXT]).frames == 13
    assert totals([higher, replace(higher, frames=10)]).frames == 10


def test_stations_are_kept_apart() -> None:
    assert len(newest([WINDOW, replace(WINDOW, station="s2")])) == 2


def test_nothing_adds_up_to_nothing() -> None:
    found = totals([])
    assert (found.frames, found.latency_ms(0.95)) == (0, None)
    assert first_pass_yield(found.parts).value is None


def test_first_pass_yield_is_of_inspected_parts_of_pass_one() -> None:
    assert first_pass_yield(WINDOW.parts) == rate(2, 3)


def test_parts_a_minute() -> None:
    assert parts_per_minute(totals([WINDOW, NEXT]), 120) == pytest.approx(4.5)
    assert parts_per_minute(totals([WINDOW]), 0) is None
