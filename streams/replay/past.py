"""Frames of the past in order of append time: from the archive as far as the topic has lost them, then from the topic.

Both are one line of offsets by partition. A frame that only the archive has comes with where its picture is; what was
no event is passed over. Memory is bounded by a fetch a partition and a day's rows of the archive.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import FrameCaptured
from streams.archive.catalogue import Catalogue
from streams.archive.session import Narrow, connect
from streams.bus.spans import Raw, read_offsets
from streams.inspection.decide import Source
from streams.inspection.inspector import check
from streams.replay.planning import Range
from streams.replay.selection import Selection

FETCH_MAX_BYTES = 4 << 20  # a partition
CHUNK = 256
_DAY = """
SELECT event, appended_at, f.partition, f."offset", picture_ref, picture_sha256
FROM frames f JOIN reach ON f.partition = reach.partition
WHERE day = $day AND "offset" >= reach.low AND "offset" < reach.high
ORDER BY appended_at, f.partition, f."offset"
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the archive keeps a picture; None for a picture that it did not keep."""

    reference: str | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Past:
    """A frame of the past and where it stands in the topic; `kept` for one that only the archive has."""

    frame: FrameCaptured
    source: Source
    kept: Kept | None = None

    @property
    def nbytes(self) -> int:
        return len(self.frame.image or b"")


class PastFrames:
    """Reads the frames that a run is about. `topic` is the full name of the frames topic."""

    def __init__(
        self, bootstrap: str, topic: str, codec: Codec, archive: Catalogue | None, selection: Selection
    ) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._codec = codec
        self._archive = archive
        self._selection = selection

    async def read(self, starts: Mapping[int, int], reach: Range) -> AsyncGenerator[list[Past]]:
        """Chunks of the frames at or after `starts` (by partition; others are left out), up to the range's ends."""
        ends = {p: min(reach.begins[p], reach.highs[p]) for p in starts}  # retention may have passed the range's end
        archived = {p: (start, ends[p]) for p, start in starts.items() if start < ends[p]}
        async for chunk in self._archived(archived):
            yield chunk
        there = {p: (max(start, reach.lows[p]), reach.highs[p]) for p, start in starts.items()}
        there = {p: span for p, span in there.items() if span[0] < span[1]}
        async with (
            read_offsets(self._bootstrap, self._topic, there, fetch_max_bytes=FETCH_MAX_BYTES) as reading,
            aclosing(reading.chunks()) as chunks,
        ):
            async for raws in chunks:
                yield [past for raw in raws if (past := self._from_topic(raw))]

    async def _archived(self, stretches: Mapping[int, tuple[int, int]]) -> AsyncGenerator[list[Past]]:
        if self._archive is None or not stretches:
            return
        asked = self._selection
        files = self._archive.files("frames", plant=asked.plant, line=asked.line)
        for day in sorted({file.day for file in files}):
            rows = await asyncio.to_thread(self._rows, day, stretches)
            for first in range(0, len(rows), CHUNK):
                yield [past for row in rows[first : first + CHUNK] if (past := self._from_archive(row))]

    def _rows(self, day: str, stretches: Mapping[int, tuple[int, int]]) -> list[tuple[Any, ...]]:
        narrow = Narrow(plant=self._selection.plant, line=self._selection.line, since=day, until=day)
        lows, highs = zip(*stretches.values(), strict=True)
        with connect(self._archive, narrow=narrow) as db:
            db.register("reach", pa.table({"partition": list(stretches), "low": list(lows), "high": list(highs)}))
            return db.execute(_DAY, {"day": day}).fetchall()

    def _from_archive(self, row: tuple[Any, ...]) -> Past | None:
        event, at, partition, offset, reference, sha256 = row
        return self._past(event, partition, offset, at.astimezone(UTC), Kept(reference, sha256))

    def _from_topic(self, raw: Raw) -> Past | None:
        at = datetime.fromtimestamp(raw.timestamp / 1000, UTC)
        return self._past(raw.value, raw.partition, raw.offset, at, None)

    def _past(self, value: bytes | None, partition: int, offset: int, at: datetime, kept: Kept | None) -> Past | None:
        """None for what inspection would not take for a frame either, and for frames that are not asked for."""
        try:
            if value is None:
                return None
            frame = self._codec.decode(value, FrameCaptured)
            check(frame)
        except (SchemaInvalidError, SchemaUnknownError, ValueError):
            return None
        if not self._selection.takes(frame, partition, offset, at):
            return None
        if kept and kept.reference:
            frame = dataclasses.replace(frame, image_ref=kept.reference)
        return Past(frame, Source(self._topic, partition, offset, at), kept)
