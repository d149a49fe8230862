"""What the query of a request says, and the cursor that goes on with it."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.web.api.cursor import Cursor, parse_cursor, parse_position, position_text
from streams.web.api.query import EPOCH, Filters, Form, form_of, parse_time, to_ms
from streams.web.api.resources import RESOURCES
from tests.contracts.samples import ALARM, DEFECT, OUTCOME, PART, VERDICT, WINDOW

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POSITIONS = st.dictionaries(st.integers(0, 9_999), st.integers(0, 10**17), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("15m", NOW - timedelta(minutes=15)),
        ("2 h ago", NOW - timedelta(hours=2)),
        ("0s", NOW),
        ("999999d", EPOCH),
        ("2026-03-01T12:00Z", NOW),
        ("2026-03-01T13:00:00+01:00", NOW),
        ("2026-03-01T13:00:00 01:00", NOW),
        ("20260301T120000Z", NOW),
        ("0001-01-01T00:00+00:00", EPOCH),
    ],
)
def test_times_are_iso_8601_with_a_zone_or_ago(text: str, expected: datetime) -> None:
    assert parse_time(text, NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-03-01", "2026-03-01T12:00", "15", "-5m", "9999999m", "9999-12-31T23:59-23:00", "\x00"],
)
def test_what_is_no_time_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected a time with its zone .* or a time ago"):
        parse_time(text, NOW)


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_between_two_milliseconds_begins_at_the_later(us: int) -> None:
    assert to_ms(EPOCH + timedelta(microseconds=us)) == -(-us // 1000)


@pytest.mark.parametrize(
    ("asked", "accept", "expected"),
    [
        (None, None, Form.JSON),
        (None, "*/*", Form.JSON),
        (None, "text/html,application/xhtml+xml,*/*;q=0.8", Form.JSON),
        (None, "text/csv", Form.CSV),
        (None, "application/json;q=0.5, application/vnd.apache.parquet", Form.PARQUET),
        (None, "application/x-ndjson;q=1.0,*/*;q=0", Form.NDJSON),
        (None, "text/html", None),
        (None, "text/csv;q=nonsense", None),
        (Form.CSV, "application/json", Form.CSV),
    ],
)
def test_the_form_is_that_asked_for_else_the_best_accepted(
    asked: Form | None, accept: str | None, expected: Form | None
) -> None:
    assert form_of(asked, accept) is expected


@given(POSITIONS, st.integers(0, 10**14), st.none() | st.integers(0, 10**14))
def test_a_cursor_comes_back_as_it_was(position: dict[int, int], since: int, until: int | None) -> None:
    cursor = Cursor(position, since, until, "0123456789abcdef")
    text = cursor.text()
    assert parse_cursor(text, cursor.of) == cursor
    assert all(c.isalnum() or c in "-_" for c in text)


def test_a_cursor_of_other_filters_is_refused() -> None:
    of = Filters(plant="a").digest("defects")
    text = Cursor({0: 1}, 0, None, of).text()
    for other in (
        Filters(plant="b").digest("defects"),
        Filters(plant="a").digest("verdicts"),
        Filters().digest("defects"),
    ):
        with pytest.raises(ValueError, match="other filters"):
            parse_cursor(text, other)


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


GOOD = {"since": 0, "until": None, "at": "0:1", "of": "x"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "!",
        "é",
        "AAAA",
        "a" * 20_001,
        encoded([]),
        encoded({}),
        encoded(GOOD | {"more": 1}),
        encoded(GOOD | {"since": True}),
        encoded(GOOD | {"since": 1.5}),
        encoded(GOOD | {"until": "now"}),
        encoded(GOOD | {"at": ""}),
        encoded(GOOD | {"at": "0:-1"}),
        encoded(GOOD | {"at": "0:1,"}),
        encoded(GOOD | {"at": {"0": 1}}),
        base64.urlsafe_b64encode(b"[" * 9_000).decode(),
    ],
)
def test_a_forged_cursor_is_a_value_error_and_nothing_worse(text: str) -> None:
    with pytest.raises(ValueError):
        parse_cursor(text, "x")


@given(st.text(max_size=60))
def test_any_text_as_a_position_is_read_or_refused(text: str) -> None:
    try:
        position = parse_position(text)
    except ValueError:
        return
    assert parse_position(position_text(position)) == position


@pytest.mark.parametrize(
    ("name", "record", "good", "bad"),
    [
        (
            "defects",
            DEFECT,
            {"label": "dent", "outcome": "NG", "part_id": "P-0001", "plant": "leipzig"},
            {"label": "ok"},
        ),
        ("verdicts", VERDICT, {"label": "scratch", "line": "L1", "station": "S2"}, {"part_id": "P-0002"}),
        ("parts", PART, {"outcome": "NOT_INSPECTED", "label": "scratch"}, {"outcome": "OK"}),
        ("outcomes", OUTCOME, {"outcome": "CONFIRMED", "label": "dent"}, {"label": "scratch"}),
        ("alarms", ALARM, {"plant": "leipzig", "line": "L1", "station": "S2"}, {"station": "S3"}),
        ("line-stats", WINDOW, {"station": "S2"}, {"plant": "L1"}),
    ],
)
def test_filters_keep_what_they_ask_for(name: str, record: object, good: dict[str, str], bad: dict[str, str]) -> None:
    resource = RESOURCES[name]
    for asked in (good, bad, {}):
        resource.check(Filters(**asked))
    assert resource.matches(good, record)  # type: ignore[arg-type]
    assert resource.matches({}, record)  # type: ignore[arg-type]
    assert not resource.matches(bad, record)  # type: ignore[arg-type]
    assert not resource.matches(good | bad, record)  # type: ignore[arg-type]


def test_a_filter_that_means_nothing_here_is_refused() -> None:
    with pytest.raises(ValueError, match="alarms have no outcome; filters are line, plant, station"):
        RESOURCES["alarms"].check(Filters(outcome="NG"))
    with pytest.raises(ValueError, match="outcome is one of UNKNOWN, OK, NG, UNSURE, ERROR; came 'ng'"):
        RESOURCES["defects"].check(Filters(outcome="ng"))
