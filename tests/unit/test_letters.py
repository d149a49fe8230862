"""What became of dead letters, and which may be sent again: from letters and audit entries alone."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.records import AuditEntry, DeadLetter, FrameCaptured, Reason
from streams.downstream.audit.chain import AuditChain, Change
from streams.downstream.letters.book import (
    ACTION,
    Entry,
    Letter,
    Place,
    State,
    entries,
    letter_of,
    next_attempt,
    parse_place,
    why_not,
)
from streams.errors import CallerError
from tests.builders import frame

AT = datetime(2026, 3, 1, tzinfo=UTC)
FRAME = frame(1, deadline_ms=500)


def letter(offset: int, of: FrameCaptured | None = FRAME, source_offset: int | None = None, **changes: Any) -> Letter:
    fields: dict[str, Any] = {
        "reason": Reason.ENGINE_FAILED,
        "detail": "",
        "source_topic": "lineside.frames",
        "source_partition": 0,
        "source_offset": offset if source_offset is None else source_offset,
        "source_timestamp": AT,
        "key": b"p1/l1/s1",
        "value": b"bytes",
        "at": AT,
    }
    place, at = Place(0, offset), AT + timedelta(seconds=offset)
    return letter_of(place, at, DeadLetter(**fields | changes), lambda value: of or "no frame")


def redriven(*places: Place) -> list[AuditEntry]:
    chain = AuditChain("deadletters/1")
    return [chain.next(Change("ana", ACTION, place.subject), AT) for place in places]


def only(found: list[Entry]) -> Entry:
    (entry,) = found
    return entry


def test_a_letter_is_open_until_it_is_sent_and_over_when_its_frame_failed_again() -> None:
    assert only(entries([letter(0)], [])).state is State.OPEN
    assert only(entries([letter(0)], redriven(Place(0, 0)))).state is State.REDRIVEN
    assert only(entries([letter(0)], redriven(Place(0, 1)))).state is State.OPEN
    both = entries([letter(0), letter(1, next_attempt(FRAME))], redriven(Place(0, 0)))
    assert [entry.state for entry in both] == [State.FAILED_AGAIN, State.OPEN]


def test_copies_of_a_letter_and_other_entries_of_the_audit_do_not_count() -> None:
    assert len(entries([letter(0), letter(1, source_offset=0)], [])) == 1
    chain = AuditChain("users/1")
    other = chain.next(Change("ana", "user.add", Place(0, 0).subject), AT)
    assert only(entries([letter(0)], [other])).state is State.OPEN


@pytest.mark.parametrize(
    ("of", "why"),
    [
        (letter(0), ""),
        (letter(0, source_topic="lineside.verdicts"), "it came from lineside.verdicts; only events of lineside.frames"),
        (letter(0, of=None), "there is no frame in it to send: no frame"),
        (letter(0, value=None, reason=Reason.TOMBSTONE), "it had no value"),
        (letter(0, value=None), "its bytes were not kept"),
        (letter(0, of=dataclasses.replace(FRAME, attempt=2)), ""),
        (letter(0, of=dataclasses.replace(FRAME, attempt=3)), "was tried 3 times, no frame is tried more often"),
    ],
)
def test_why_a_letter_is_not_sent_again(of: Letter, why: str) -> None:
    said = why_not(Entry(of), "lineside.frames", again=False)
    assert (why in said) if why else said == ""


def test_a_letter_that_was_sent_is_sent_once_more_only_when_told_to() -> None:
    entry = only(entries([letter(0)], redriven(Place(0, 0))))
    assert "ana sent it again at 2026-03-01 00:00:00" in why_not(entry, "lineside.frames", again=False)
    assert why_not(entry, "lineside.frames", again=True) == ""


def test_the_next_attempt_is_the_same_picture_without_deadline() -> None:
    again = next_attempt(FRAME)
    assert (again.attempt, again.deadline_ms) == (FRAME.attempt + 1, None)
    assert dataclasses.replace(again, attempt=FRAME.attempt, deadline_ms=FRAME.deadline_ms) == FRAME


def test_a_letter_belongs_to_the_line_of_its_frame_else_of_its_key() -> None:
    assert letter(0, of=dataclasses.replace(FRAME, line="l9")).plant_and_line == ("p1", "l9")
    assert letter(0, of=None).plant_and_line == ("p1", "l1")
    assert letter(0, of=None, key=b"\xff").plant_and_line is None
    assert letter(0, of=None, key=None).plant_and_line is None


def test_places_are_read_as_they_are_shown() -> None:
    assert parse_place(str(Place(3, 17))) == Place(3, 17)
    for wrong in ("", "3", "3:", "-1:2", "3:17\n", "3:1.5", "\u0663:1"):
        with pytest.raises(CallerError, match="is named PARTITION:OFFSET"):
            parse_place(wrong)
