"""Does the archive hold what the topics hold? By counts and digests, stretch by stretch.

Reads every archived stretch that is still in its topic once more, and the archive's own rows, and compares both with
what the catalogue says. Changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

import pyarrow.parquet as pq

from streams.archive.catalogue import Catalogue, Stretch
from streams.archive.log import Due, StretchCounter, TopicLog, add_to_digest
from streams.archive.periods import Period, day_of_ms

COLUMNS = ("partition", "offset", "event_sha256")
FOREVER = Period(0, 1 << 62)


@dataclass(slots=True)
class Verified:
    """One topic's answer. `differences` are sentences."""

    topic: str
    stretches: int = 0
    rows: int = 0
    compared: int = 0  # stretches that the topic still holds whole
    files: int = 0
    differences: list[str] = field(default_factory=list)


async def verify(catalogue: Catalogue, topic_log: TopicLog, progress: Callable[[int], None]) -> Verified:
    """Compares a topic; `progress` takes the stretches compared so far."""
    found = Verified(topic_log.topic.name)
    await asyncio.to_thread(_files, catalogue, found)
    begins = {p: begin for p, (begin, _) in (await topic_log.landmarks.bounds()).items()}
    rows = _DayRows(catalogue, found.topic)
    stretches = sorted(catalogue.stretches(found.topic), key=lambda stretch: (stretch.period, stretch.partition))
    for _, of_period in groupby(stretches, key=lambda stretch: stretch.period):
        together = list(of_period)
        for stretch in together:
            archived = await asyncio.to_thread(rows.digest, stretch)
            if archived != (stretch.rows, stretch.sha256):
                said = f"the archive holds {archived[0]} rows where {stretch.rows} were written"
                found.differences.append(f"{_where(stretch)}: {said}")
        held = [s for s in together if s.low < s.high and begins.get(s.partition, 0) <= s.low]
        found.differences += await _compared(topic_log, held)
        found.stretches += len(together)
        found.rows += sum(stretch.rows for stretch in together)
        found.compared += len(held)
        progress(found.stretches)
    return found


def _where(stretch: Stretch) -> str:
    return f"{stretch.topic} partition {stretch.partition} offsets {stretch.low} to {stretch.high - 1}"


def _files(catalogue: Catalogue, found: Verified) -> None:
    for file in catalogue.files(found.topic):
        found.files += 1
        try:
            with (catalogue.folder / file.path).open("rb") as data:
                if hashlib.file_digest(data, "sha256").hexdigest() != file.sha256:
                    found.differences.append(f"{file.path} was changed after it was written")
        except OSError as error:
            found.differences.append(f"{file.path} can't be read: {error.strerror}")


class _DayRows:
    """What the archive's own rows give for stretches; holds one day's at a time."""

    def __init__(self, catalogue: Catalogue, topic: str) -> None:
        self._catalogue = catalogue
        self._topic = topic
        self._day = ""
        self._digests: dict[tuple[int, int], str] = {}
        self._order: list[tuple[int, int]] = []

    def digest(self, stretch: Stretch) -> tuple[int, str]:
        """How many rows lie in a stretch, and their digest."""
        self._turn_to(day_of_ms(stretch.period.start_ms))
        first = bisect_left(self._order, (stretch.partition, stretch.low))
        last = bisect_left(self._order, (stretch.partition, stretch.high))
        total = hashlib.sha256()
        for partition, offset in self._order[first:last]:
            add_to_digest(total, offset, self._digests[partition, offset])
        return last - first, total.hexdigest()

    def _turn_to(self, day: str) -> None:
        if day == self._day:
            return
        self._day, self._digests = day, {}
        for file in self._catalogue.files(self._topic, since=day, until=day):
            try:
                table = pq.read_table(self._catalogue.folder / file.path, columns=list(COLUMNS), partitioning=None)
            except (OSError, ValueError):
                continue  # told by `_files`
            for partition, offset, sha256 in zip(*(table.column(c).to_pylist() for c in COLUMNS), strict=True):
                self._digests[partition, offset] = sha256
        self._order = sorted(self._digests)


async def _compared(topic_log: TopicLog, held: Sequence[Stretch]) -> list[str]:
    """How the topic differs from stretches of different partitions, which are read at once."""
    if not held:
        return []
    due = Due(FOREVER, {s.partition: (s.low, s.high) for s in held}, {s.partition: 0 for s in held})
    counter = StretchCounter(topic_log, due)
    async with topic_log.reading(due.stretches, lookback=0) as chunks:  # what is a copy is no part of the digest
        async for raw in _each(chunks):
            counter.take(raw)
    again = {stretch.partition: stretch for stretch in counter.stretches()}
    return [
        f"{_where(s)}: the topic holds {again[s.partition].rows} rows, archived were {s.rows}"
        for s in held
        if (again[s.partition].rows, again[s.partition].sha256) != (s.rows, s.sha256)
    ]


async def _each(chunks: Any) -> AsyncIterator[Any]:
    async for chunk in chunks:
        for raw in chunk:
            yield raw
