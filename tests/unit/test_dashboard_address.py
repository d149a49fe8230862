"""The dashboard's address: the same one gives the same view; what can't be meant is left out."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from urllib.parse import parse_qsl
from zoneinfo import ZoneInfo

import pytest

from streams.downstream.overview.view import Span
from streams.downstream.rework.cases import Scope
from streams.errors import CallerError
from streams.web.dashboard.address import Address, Calendar, Period, parse_address, parse_shifts, query_of

BERLIN = ZoneInfo("Europe/Berlin")
CALENDAR = Calendar(BERLIN, parse_shifts("06:00,14:00,22:00"), timedelta(minutes=1))
NOW = datetime(2026, 7, 31, 13, 5, 20, tzinfo=UTC)  # 15:05:20 in the plant


@pytest.mark.parametrize(
    "address",
    [
        Address(),
        Address(Scope("p1", "l1", "s1"), Period.LAST_SHIFT, wall=True),
        Address(Scope("p1"), Period.CUSTOM, NOW.replace(second=0), NOW.replace(second=0) + timedelta(hours=2)),
    ],
)
def test_an_address_comes_back_from_its_query(address: Address) -> None:
    assert parse_address(dict(parse_qsl(query_of(address, BERLIN))), BERLIN) == address


@pytest.mark.parametrize(
    "query",
    [
        {"span": "forever"},
        {"span": "custom"},
        {"span": "custom", "from": "2026-07-31T10:00", "to": "2026-07-31T09:00"},
        {"span": "custom", "from": "2020-01-01T10:00", "to": "2026-07-31T09:00"},
        {"span": "custom", "from": "<script>", "to": "9999-99-99"},
        {"line": "<b>l1</b>"},
        {"plant": "x" * 1000},
    ],
)
def test_what_can_not_be_meant_is_left_out(query: dict[str, str]) -> None:
    assert parse_address(query, BERLIN) == Address()


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        (Period.H1, datetime(2026, 7, 31, 12, 6, tzinfo=UTC), datetime(2026, 7, 31, 13, 6, tzinfo=UTC)),
        (Period.SHIFT, datetime(2026, 7, 31, 12, 0, tzinfo=UTC), datetime(2026, 7, 31, 13, 6, tzinfo=UTC)),
        (Period.LAST_SHIFT, datetime(2026, 7, 31, 4, 0, tzinfo=UTC), datetime(2026, 7, 31, 12, 0, tzinfo=UTC)),
    ],
)
def test_a_period_is_a_span_in_the_plants_time(period: Period, start: datetime, end: datetime) -> None:
    span = CALENDAR.span(Address(period=period), NOW)
    assert (span.start, span.end) == (start, end)
    assert span.live is (period is not Period.LAST_SHIFT)


def test_before_the_first_shift_of_a_day_the_last_one_began_yesterday() -> None:
    early = datetime(2026, 7, 31, 3, 0, tzinfo=UTC)  # 05:00 in the plant
    span = CALENDAR.span(Address(period=Period.SHIFT), early)
    assert span.start == datetime(2026, 7, 30, 20, 0, tzinfo=UTC)


def test_all_pages_of_one_step_share_their_span() -> None:
    spans = {CALENDAR.span(Address(), NOW + timedelta(seconds=s)) for s in range(0, 30, 5)}
    assert len(spans) == 1


def test_a_custom_span_is_as_it_was_asked_for() -> None:
    asked = Span(NOW - timedelta(hours=3), NOW - timedelta(hours=1))
    assert CALENDAR.span(Address(period=Period.CUSTOM, start=asked.start, end=asked.end), NOW) == asked


def test_shifts_are_times_of_a_day() -> None:
    assert parse_shifts("14:00, 06:00") == (time(6), time(14))
    with pytest.raises(CallerError, match="shift_starts"):
        parse_shifts("six o'clock")
