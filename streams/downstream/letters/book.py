"""What became of every dead letter, which of them may be sent again, and as what. Pure.

A frame is sent again as its next attempt: an event and a verdict of its own, without deadline. A letter whose frame
failed again is over: the newer letter tells of it. Nothing is sent again for ever.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from schemas.records import AuditEntry, DeadLetter, FrameCaptured, Reason
from streams.errors import CallerError

ACTION = "deadletter.redrive"
MOST_ATTEMPTS = 3
_PLACE = re.compile(r"([0-9]{1,5}):([0-9]{1,18})")
Decode = Callable[[bytes], FrameCaptured | str]
"""A frame, or why these bytes are none."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a letter lies in `deadletters`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @property
    def subject(self) -> str:
        """How the audit log names it."""
        return f"deadletters/{self}"


class State(StrEnum):
    """What became of a letter."""

    OPEN = "OPEN"
    REDRIVEN = "REDRIVEN"
    FAILED_AGAIN = "FAILED_AGAIN"


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter without its bytes. `frame` is without its picture, None with `no_frame` saying why."""

    place: Place
    at: datetime
    record: DeadLetter
    nbytes: int | None
    frame: FrameCaptured | None
    no_frame: str

    @property
    def plant_and_line(self) -> tuple[str, str] | None:
        """Of the frame, else of the key."""
        if self.frame is not None:
            return self.frame.plant, self.frame.line
        parts = (self.record.key or b"").decode(errors="replace").split("/")
        return (parts[0], parts[1]) if len(parts) == 3 else None


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter, what became of it, and who sent it again when."""

    letter: Letter
    state: State = State.OPEN
    redriven: AuditEntry | None = None

    def to_json(self) -> dict[str, Any]:
        letter, frame, by = self.letter, self.letter.frame, self.redriven
        return {
            "place": str(letter.place),
            "at": letter.at.isoformat(),
            "reason": letter.record.reason.value,
            "detail": letter.record.detail,
            "state": self.state.value,
            "redriven_by": by and by.actor,
            "redriven_at": by and by.at.isoformat(),
            "source_topic": letter.record.source_topic,
            "source_partition": letter.record.source_partition,
            "source_offset": letter.record.source_offset,
            "key": None if letter.record.key is None else letter.record.key.decode(errors="backslashreplace"),
            "nbytes": letter.nbytes,
            "frame_id": frame and str(frame.frame_id),
            "attempt": frame and frame.attempt,
            "part_id": frame and frame.part_id,
        }


def letter_of(place: Place, at: datetime, record: DeadLetter, decode: Decode) -> Letter:
    """A letter as it is listed: its bytes and its picture are left behind."""
    frame, no_frame = None, "its bytes were not kept" if record.reason is not Reason.TOMBSTONE else "it had no value"
    if record.value is not None:
        found = decode(record.value)
        frame, no_frame = (None, found) if isinstance(found, str) else (dataclasses.replace(found, image=None), "")
    bare = dataclasses.replace(record, value=None)
    return Letter(place, at, bare, None if record.value is None else len(record.value), frame, no_frame)


def entries(letters: Iterable[Letter], audit: Iterable[AuditEntry]) -> list[Entry]:
    """Letters in the order of the log with what became of them; later letters about the same event are left out."""
    redriven = {entry.subject: entry for entry in audit if entry.action == ACTION}
    first: dict[tuple[str, int, int], Letter] = {}
    for letter in letters:
        first.setdefault(
            (letter.record.source_topic, letter.record.source_partition, letter.record.source_offset), letter
        )
    last_attempt: dict[Any, int] = {}
    for frame in (letter.frame for letter in first.values() if letter.frame):
        last_attempt[frame.frame_id] = max(frame.attempt, last_attempt.get(frame.frame_id, 0))
    return [_entry(letter, redriven, last_attempt) for letter in first.values()]


def _entry(letter: Letter, redriven: Mapping[str, AuditEntry], last_attempt: Mapping[Any, int]) -> Entry:
    by = redriven.get(letter.place.subject)
    if letter.frame and last_attempt[letter.frame.frame_id] > letter.frame.attempt:
        return Entry(letter, State.FAILED_AGAIN, by)
    return Entry(letter, State.REDRIVEN if by else State.OPEN, by)


def why_not(entry: Entry, frames_topic: str, again: bool) -> str:
    """Why a letter's frame is not sent again; empty where it may be. `again`: although that was done before."""
    letter, by = entry.letter, entry.redriven
    if letter.record.source_topic != frames_topic:
        return f"it came from {letter.record.source_topic}; only events of {frames_topic} can be sent again"
    if letter.frame is None:
        return f"there is no frame in it to send: {letter.no_frame}"
    if entry.state is State.FAILED_AGAIN:
        return "its frame was sent again and failed again: see the newer letter"
    if letter.frame.attempt >= MOST_ATTEMPTS:
        return (
            f"its frame was tried {letter.frame.attempt} times, no frame is tried more often than {MOST_ATTEMPTS} times"
        )
    if entry.state is State.REDRIVEN and by and not again:
        return f"{by.actor} sent it again at {by.at:%Y-%m-%d %H:%M:%S}; with --again the same attempt is sent once more"
    return ""


def next_attempt(frame: FrameCaptured) -> FrameCaptured:
    """The frame as it is sent again: the same picture and id, another attempt, no deadline."""
    return dataclasses.replace(frame, attempt=frame.attempt + 1, deadline_ms=None)


def parse_place(text: str) -> Place:
    """`PARTITION:OFFSET`; CallerError for anything else."""
    if not (match := _PLACE.fullmatch(text)):
        raise CallerError(
            f"a dead letter is named PARTITION:OFFSET, such as 3:17, as the list shows it; came {text!r:.80}"
        )
    return Place(int(match[1]), int(match[2]))
