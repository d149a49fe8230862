"""`lineside deadletters list|show|redrive`: what could not be handled, for people."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import AuditEntry, DeadLetter, FrameCaptured, Reason
from streams.bus.frames_at import RecordReader
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.downstream.audit.log import AuditLog
from streams.downstream.letters.book import (
    ACTION,
    Entry,
    Letter,
    Place,
    State,
    entries,
    letter_of,
    next_attempt,
    why_not,
)
from streams.errors import CallerError
from streams.inspection.inspector import check
from streams.settings import Settings
from streams.tail import plain, safe
from streams.topics import AUDIT, DEADLETTERS, frames_of, frames_topic, station_key
from streams.whole_file import write_whole


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which letters: by place, or all that fit. What is None or empty asks nothing; `until` is exclusive."""

    places: Sequence[Place] = ()
    reason: Reason | None = None
    plant: str | None = None
    line: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    state: State | None = None

    def takes(self, entry: Entry) -> bool:
        letter = entry.letter
        plant, line = letter.plant_and_line or (None, None)
        return (
            (not self.places or letter.place in self.places)
            and self.reason in (None, letter.record.reason)
            and self.plant in (None, plant)
            and self.line in (None, line)
            and (self.since is None or letter.at >= self.since)
            and (self.until is None or letter.at < self.until)
            and self.state in (None, entry.state)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RedriveOptions:
    """Who sends letters again, and why."""

    by: str
    why: str
    again: bool = False
    dry_run: bool = False
    as_json: bool = False


def list_letters(settings: Settings, asked: Asked, as_json: bool) -> None:
    """Show letters, oldest first, and how many there are by reason and state."""
    found = asyncio.run(letters(settings, codec_for(settings), asked))
    if as_json:
        for entry in found:
            print(json.dumps(entry.to_json()))
        return
    table = Table("place", "at", "reason", "state", "from", "part", "detail", title=f"{len(found)} dead letters")
    for entry in found:
        letter, frame = entry.letter, entry.letter.frame
        source = f"{letter.record.source_topic} {letter.record.source_partition}:{letter.record.source_offset}"
        cells = (str(letter.place), f"{letter.at:%Y-%m-%d %H:%M:%S}", letter.record.reason, entry.state, source)
        table.add_row(*map(_cell, (*cells, (frame and frame.part_id) or "", letter.record.detail)))
    Console().print(table)
    counts = Counter((entry.letter.record.reason, entry.state) for entry in found)
    print(", ".join(f"{reason} {state.lower()} {n}" for (reason, state), n in sorted(counts.items())) or "none")


def show_letter(settings: Settings, place: Place, out: Path | None, as_json: bool) -> None:
    """One letter whole; with `out` its original bytes are written there."""
    codec = codec_for(settings)
    (entry,) = asyncio.run(letters(settings, codec, Asked(places=[place])))
    record = asyncio.run(_read(settings, codec, place))
    if out:
        if record.value is None:
            raise CallerError(f"letter {place} has no bytes to write: {entry.letter.no_frame}")
        value = record.value
        try:
            write_whole(out, lambda beside: beside.write_bytes(value))
        except OSError as error:
            raise CallerError(f"{out} can't be written: {error.strerror}") from error
    frame = entry.letter.frame
    more = {"headers": _headers(record), "frame": plain(frame) if frame else entry.letter.no_frame}
    if as_json:
        print(json.dumps({**entry.to_json(), **more}, indent=2))
        return
    table = Table("", "", title=f"Dead letter {place}", show_header=False)
    for name, value in {**entry.to_json(), **more}.items():
        if value is not None:
            table.add_row(name, _cell(value if isinstance(value, str) else json.dumps(value)))
    Console().print(table)


def redrive(settings: Settings, asked: Asked, options: RedriveOptions) -> int:
    """Send the frames of letters again and say of each what was done; the exit status: 1 where a named one was not."""
    rows = asyncio.run(redriven(settings, asked, options))
    if options.as_json:
        for row in rows:
            print(json.dumps(row))
    else:
        table = Table("place", "what", "why", title="Sent again" if not options.dry_run else "Would be sent again")
        for row in rows:
            table.add_row(row["place"], row["what"], _cell(row["why"]))
        Console().print(table)
    return int(bool(asked.places) and any(row["what"] == "left" for row in rows))


async def redriven(settings: Settings, asked: Asked, options: RedriveOptions) -> list[dict[str, str]]:
    """Audits and sends each letter that may be sent; a row for every letter that was asked for."""
    codec, rows = codec_for(settings), []
    async with (
        Publisher(settings.bootstrap, settings.topic_prefix, codec) as publisher,
        _reader(settings, codec) as reader,
    ):
        redriver = _Redriver(settings, codec, reader, publisher, options)
        for entry in await letters(settings, codec, asked):
            row = {
                "place": str(entry.letter.place),
                "what": "left",
                "why": why_not(entry, frames_topic(settings), options.again),
            }
            if not row["why"]:
                row |= {"what": "would be sent" if options.dry_run else "sent", "why": entry.letter.record.reason.value}
                if not options.dry_run:
                    await redriver.send(entry.letter.place)
            rows.append(row)
    return rows


class _Redriver:
    """Sends the frames of letters again, each after its entry in the audit log."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        reader: RecordReader[DeadLetter],
        publisher: Publisher,
        options: RedriveOptions,
    ) -> None:
        self._frames = frames_of(settings.pool)
        self._codec = codec
        self._reader = reader
        self._publisher = publisher
        self._options = options
        self._audit = AuditLog(publisher, "deadletters", lambda: datetime.now(UTC))

    async def send(self, place: Place) -> None:
        record = await _whole(self._reader, place)
        frame = _frame(self._codec, record.value or b"")
        if isinstance(frame, str):
            raise CallerError(f"letter {place} can't be read any more: {frame}")
        sent = next_attempt(frame)
        before = {"reason": record.reason.value, "attempt": frame.attempt, "frame_id": frame.frame_id}
        after = {"attempt": sent.attempt}
        actor, why = self._options.by, self._options.why
        await self._audit.record(actor, ACTION, place.subject, before=before, after=after, reason=why)
        key = record.key if record.key is not None else station_key(frame.plant, frame.line, frame.station)
        await (await self._publisher.send(self._frames, sent, key=key, partition=record.source_partition))


async def letters(settings: Settings, codec: Codec, asked: Asked) -> list[Entry]:
    """The letters asked for, with what became of them; CallerError for one that is not there."""
    found: list[Letter] = []
    subscription: Subscription[DeadLetter] = Subscription(
        DEADLETTERS, asked.since or "earliest", settings=settings, codec=codec, follow=False
    )
    async with aclosing(aiter(subscription)) as events:
        async for event in events:
            place = Place(event.partition, event.offset)
            found.append(letter_of(place, event.timestamp, event.record, lambda value: _frame(codec, value)))
    known = [entry for entry in entries(found, await _audit(settings, codec, found)) if asked.takes(entry)]
    if missing := set(asked.places) - {entry.letter.place for entry in known}:
        raise CallerError(f"there is no dead letter {min(missing)}; `lineside deadletters list` shows what there is")
    return sorted(known, key=lambda entry: (entry.letter.at, entry.letter.place))


async def _audit(settings: Settings, codec: Codec, found: Sequence[Letter]) -> list[AuditEntry]:
    """Who sent letters again: what was audited since the first of them."""
    if not found:
        return []
    subscription: Subscription[AuditEntry] = Subscription(
        AUDIT, min(letter.at for letter in found), settings=settings, codec=codec, follow=False
    )
    async with aclosing(aiter(subscription)) as events:
        return [event.record async for event in events if event.record.action == ACTION]


def _reader(settings: Settings, codec: Codec) -> RecordReader[DeadLetter]:
    return RecordReader(settings.bootstrap, settings.topic_prefix + DEADLETTERS.name, codec, DeadLetter)


async def _read(settings: Settings, codec: Codec, place: Place) -> DeadLetter:
    async with _reader(settings, codec) as reader:
        return await _whole(reader, place)


async def _whole(reader: RecordReader[DeadLetter], place: Place) -> DeadLetter:
    record = await reader.fetch(place.partition, place.offset)
    if record is None:
        raise CallerError(f"dead letter {place} has expired meanwhile")
    return record


def _frame(codec: Codec, value: bytes) -> FrameCaptured | str:
    """The frame in a letter, or why there is none: as inspection would say today."""
    try:
        frame: FrameCaptured = codec.decode(value, FrameCaptured)
        check(frame)
    except (SchemaInvalidError, SchemaUnknownError, ValueError) as error:
        return str(error)
    return frame


def _headers(record: DeadLetter) -> dict[str, str | None]:
    return {h.key: None if h.value is None else h.value.decode(errors="backslashreplace") for h in record.headers}


def _cell(value: Any) -> str:
    return escape(safe(str(value)))
