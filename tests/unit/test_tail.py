"""What `lineside tail` shows of an event, and what it understands as a start."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from schemas import records
from streams.bus.subscriber import Received
from streams.errors import CallerError
from streams.tail import human_line, json_line, parse_start
from tests.contracts.samples import DEAD_LETTER, DEFECT, FRAME, RECIPE, SAMPLES, VERDICT

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = b"leipzig/L1/S2"


def received(record: records.Event, key: bytes | None = KEY) -> Received[Any]:
    return Received(record, 3, 41, NOW, key)


def line(record: records.Event, key: bytes | None = KEY) -> str:
    return human_line(received(record, key)).plain


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("earliest", "earliest"),
        ("latest", "latest"),
        ("41", 41),
        ("3:41", {3: 41}),
        ("90s", NOW - timedelta(seconds=90)),
        ("10m", NOW - timedelta(minutes=10)),
        ("2h ago", NOW - timedelta(hours=2)),
        ("7d", NOW - timedelta(days=7)),
        ("2026-03-01T12:00Z", NOW),
        ("2026-03-01T13:00:00+01:00", NOW),
        ("2026-03-01", datetime(2026, 3, 1).astimezone(UTC)),  # local, as a person means it
    ],
)
def test_a_start_as_people_write_it(text: str, start: Any) -> None:
    assert parse_start(text, NOW) == start


@pytest.mark.parametrize("text", ["", "-1", "yesterday", "1:2:3", "10 parsecs", "2026-13-01", "٣"])
def test_a_start_that_is_none_shows_the_forms(text: str) -> None:
    with pytest.raises(CallerError, match="neither earliest, latest, an offset, partition:offset"):
        parse_start(text, NOW)


def test_a_verdict_is_time_key_outcome_part_and_findings() -> None:
    assert line(VERDICT) == (
        "2026-03-01 12:00:00.000Z  leipzig/L1/S2  NG      cell-60  P-0001  top #1099511627776  "
        "scratch 0.938 (limit 0.5), dent 0.750 at r1 (limit 0.625)"
    )


def test_a_verdict_without_findings_shows_its_best_scores_and_one_without_scores_its_reason() -> None:
    good = dataclasses.replace(VERDICT, outcome=records.Outcome.OK, findings=(), scores={"dent": 0.1, "ok": 0.9})
    assert line(good).endswith("ok 0.900, dent 0.100")
    late = dataclasses.replace(VERDICT, outcome=records.Outcome.ERROR, reason=records.Reason.LATE, deadline_met=False)
    assert line(late).endswith("ERROR   cell-60  P-0001  top #1099511627776  LATE  late")


def test_the_other_events_say_what_matters_of_them() -> None:
    assert "MONO8 16x16 0.3 kB  scratch" in line(FRAME)
    assert "claim check" in line(dataclasses.replace(FRAME, image=None, image_ref="frames/1"))
    assert line(DEFECT).endswith("frames/40/40aff2e9")
    assert "SCHEMA_INVALID  lineside.frames 7:41  2 bytes" in line(DEAD_LETTER, b"\xff\x00")
    assert "v4 ADVISE  cell-resnet18@3  scratch 0.5  from 2026-03-01T12:05:00.123Z by an engineer" in line(RECIPE)


@pytest.mark.parametrize("name", SAMPLES)
def test_no_text_of_an_event_can_steer_the_terminal(name: str) -> None:
    evil = "\x1b[2J\x07\r\n\u202e[red]"
    record = SAMPLES[name]
    texts = {f.name: evil for f in dataclasses.fields(record) if type(getattr(record, f.name)) is str}
    if isinstance(record, records.DefectDetected):
        texts["verdict"] = dataclasses.replace(VERDICT, sku=evil)  # type: ignore[assignment]
    shown = line(dataclasses.replace(record, **texts), evil.encode())
    assert shown.isprintable()
    assert "[red]" in shown


def test_the_outcome_is_coloured_on_a_terminal_and_plain_in_a_file() -> None:
    terminal, file = io.StringIO(), io.StringIO()
    Console(file=terminal, force_terminal=True, color_system="standard", width=300).print(human_line(received(VERDICT)))
    Console(file=file, width=300).print(human_line(received(VERDICT)))
    assert "\x1b[1;31mNG" in terminal.getvalue()
    assert "\x1b" not in file.getvalue()


def test_json_has_everything_and_digests_in_place_of_bytes() -> None:
    event = json.loads(json_line(received(DEAD_LETTER, b"\xff\x00")))
    assert (event["type"], event["partition"], event["offset"], event["key"]) == ("DeadLetter", 3, 41, "\\xff\x00")
    assert event["timestamp"] == "2026-03-01T12:00:00.000Z"
    assert event["record"]["value"]["bytes"] == 2
    assert event["record"]["reason"] == "SCHEMA_INVALID"
    assert event["record"]["headers"][1] == {"key": "empty", "value": None}


def test_json_is_one_line_and_strict_whatever_the_event_holds() -> None:
    odd = dataclasses.replace(VERDICT, detail="a\nb\u2028", scores={"ok": float("nan"), "ng": float("inf")})
    text = json_line(received(odd))
    assert text.isascii()
    assert "\n" not in text
    assert json.loads(text, parse_constant=pytest.fail)["record"]["scores"] == {"ok": "nan", "ng": "inf"}
