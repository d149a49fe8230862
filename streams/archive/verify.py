"""Does the archive hold what the topics hold? By counts and digests, stretch by stretch.

Reads every archived stretch that is still in its topic once more, and the archive's own rows, and compares both with
what the catalogue says. Changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow.parquet as pq

from streams.archive.catalogue import Catalogue, Stretch
from streams.archive.log import Due, StretchCounter, TopicLog, add_to_digest
from streams.archive.periods import Period

Rows = dict[tuple[int, int], str]
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
    digests = await asyncio.to_thread(_archived_digests, catalogue, found.topic)
    begins = {p: begin for p, (begin, _) in (await topic_log.landmarks.bounds()).items()}
    for stretch in catalogue.stretches(found.topic):
        found.stretches += 1
        found.rows += stretch.rows
        where = f"{found.topic} partition {stretch.partition} offsets {stretch.low} to {stretch.high - 1}"
        archived = digests(stretch)
        if archived != (stretch.rows, stretch.sha256):
            found.differences.append(f"{where}: the archive holds {archived[0]} rows where {stretch.rows} were written")
        if stretch.low < stretch.high and begins.get(stretch.partition, 0) <= stretch.low:
            found.compared += 1
            again = await _read_again(topic_log, stretch)
            if (again.rows, again.sha256) != (stretch.rows, stretch.sha256):
                found.differences.append(f"{where}: the topic holds {again.rows} rows, archived were {stretch.rows}")
        progress(found.stretches)
    return found


def _files(catalogue: Catalogue, found: Verified) -> None:
    for file in catalogue.files(found.topic):
        found.files += 1
        try:
            with (catalogue.folder / file.path).open("rb") as data:
                if hashlib.file_digest(data, "sha256").hexdigest() != file.sha256:
                    found.differences.append(f"{file.path} was changed after it was written")
        except OSError as error:
            found.differences.append(f"{file.path} can't be read: {error.strerror}")


def _archived_digests(catalogue: Catalogue, topic: str) -> Callable[[Stretch], tuple[int, str]]:
    """What the archive's own rows give for a stretch: their number and their digest."""
    rows: Rows = {}
    for file in catalogue.files(topic):
        try:
            table = pq.read_table(
                catalogue.folder / file.path, columns=["partition", "offset", "event_sha256"], partitioning=None
            )
        except (OSError, ValueError):
            continue  # told by `_files`
        columns = (table.column(name).to_pylist() for name in ("partition", "offset", "event_sha256"))
        rows |= {(partition, offset): sha256 for partition, offset, sha256 in zip(*columns, strict=True)}
    order = sorted(rows)

    def digest(stretch: Stretch) -> tuple[int, str]:
        from bisect import bisect_left

        first = bisect_left(order, (stretch.partition, stretch.low))
        last = bisect_left(order, (stretch.partition, stretch.high))
        total = hashlib.sha256()
        for partition, offset in order[first:last]:
            add_to_digest(total, offset, rows[partition, offset])
        return last - first, total.hexdigest()

    return digest


async def _read_again(topic_log: TopicLog, stretch: Stretch) -> Stretch:
    due = Due(FOREVER, {stretch.partition: (stretch.low, stretch.high)}, {stretch.partition: 0})
    counter = StretchCounter(topic_log, due)
    async with topic_log.reading(due.stretches) as chunks:
        async for raw in _each(chunks):
            counter.take(raw)
    return counter.stretches()[0]


async def _each(chunks: Any) -> AsyncIterator[Any]:
    async for chunk in chunks:
        for raw in chunk:
            yield raw
