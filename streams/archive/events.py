"""One period of a topic without pictures into the archive's files; the pictures of corrected frames with `outcomes`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from schemas.records import FrameCaptured, ReworkFinding, ReworkOutcome
from streams.archive.catalogue import ArchiveFile, Catalogue
from streams.archive.keeping import CORRECTED, KEPT_ALWAYS
from streams.archive.log import Due, Found, StretchCounter, TopicLog
from streams.archive.parquet import PeriodFiles
from streams.archive.periods import day_of, day_of_ms
from streams.archive.pictures import PictureKeeper
from streams.archive.tables import PICTURE_SCHEMA, PICTURES, TABLES, KeptPicture, Table, place_of
from streams.bus.frames_at import FrameReader
from streams.columns import row

log = logging.getLogger(__name__)
SEARCHED = 5_000  # frames of a partition behind the time that a decision names
Progress = Callable[[int], None]
"""Takes how many rows more were written."""


class EventArchiver:
    """Archives the periods of one topic."""

    def __init__(self, folder: Path, topic_log: TopicLog, frames: FrameReader, keeper: PictureKeeper) -> None:
        self._folder = folder
        self._log = topic_log
        self._table = TABLES[topic_log.topic.name]
        self._frames = frames
        self._keeper = keeper

    async def archive(self, due: Due, catalogue: Catalogue, progress: Progress) -> None:
        """Writes the period's files and commits them."""
        files = PeriodFiles(self._folder, self._table.name, self._table.schema, str(due.period.start_ms))
        day = day_of_ms(due.period.start_ms)  # of all that it holds, should the brokers' clock have jumped
        kept, counter = KeptFiles(self._folder, f"corrected-{due.period.start_ms}"), StretchCounter(self._log, due)
        async with self._log.reading(due.stretches) as chunks:
            async for chunk in chunks:
                for raw in chunk:
                    if found := counter.take(raw):
                        place = (*place_of(found.event.record), day)
                        files.add(place, row_of(self._table, found, found.is_copy, found.sha256, found.value))
                        if isinstance(found.event.record, ReworkOutcome) and not found.is_copy:
                            await self._keep_corrected(found.event.record, found.event.partition, kept)
                progress(len(chunk))
        catalogue.commit(counter.stretches(), [*files.finish(), *kept.finish()])

    async def _keep_corrected(self, decision: ReworkOutcome, partition: int, kept: KeptFiles) -> None:
        """The picture of a frame that passed and that a person decided about. Others are kept with their frames."""
        if decision.verdict_outcome in KEPT_ALWAYS or decision.finding is ReworkFinding.WITHDRAWN:
            return

        def is_it(frame: FrameCaptured) -> bool:
            return frame.frame_id == decision.frame_id

        found = await self._frames.find_at(partition, decision.inspected_at, is_it, SEARCHED)
        if found is None:
            log.warning("frame %s was corrected after it had expired: its picture is not kept", decision.frame_id)
        else:
            offset, frame = found
            kept.add(day_of(decision.inspected_at), await self._keeper.keep(frame, partition, offset, CORRECTED, None))


class KeptFiles:
    """Rows about kept pictures, as files of their own."""

    def __init__(self, folder: Path, name: str) -> None:
        self._files = PeriodFiles(folder, PICTURES, PICTURE_SCHEMA, name)

    def add(self, day: str, picture: KeptPicture | None) -> None:
        if picture is not None:
            values = [getattr(picture, field.name) for field in PICTURE_SCHEMA]
            self._files.add((picture.plant, picture.line, day), values)

    def finish(self) -> list[ArchiveFile]:
        return self._files.finish()


def row_of(table: Table, found: Found, *more: Any) -> list[Any]:
    """An event's row: its columns, then `more`."""
    return [*row(table.columns, found.event), *more]
