"""One period of `frames` into the archive: every frame without its picture, and the pictures that are kept.

Pictures of frames that did not pass are put away while the frames are read; of those that passed, a sample is drawn
when the whole period is known, and fetched again. Frames wait for their verdicts, because these decide.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from schemas.codec import Codec
from schemas.records import FrameCaptured, VerdictIssued
from streams.archive.catalogue import Catalogue
from streams.archive.events import KeptFiles, Progress, placed
from streams.archive.keeping import SHARE, Allowance, Passed, choose, kept_for
from streams.archive.log import Due, Found, StretchCounter, TopicLog
from streams.archive.parquet import PeriodFiles
from streams.archive.periods import day_of, day_of_ms
from streams.archive.pictures import PictureKeeper
from streams.archive.tables import TABLES, without_picture
from streams.archive.verdicts import LiveOutcomes
from streams.bus.frames_at import FrameReader, committed_by
from streams.downstream.sampling.reading import INSPECTION_GROUP
from streams.inspection.decide import verdict_id
from streams.settings import DAY_S, Settings

log = logging.getLogger(__name__)
MIB = 1 << 20
Line = tuple[str, str]


class FrameArchiver:
    """Archives the periods of `frames`."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        logs: Mapping[str, TopicLog],
        frames: FrameReader,
        keeper: PictureKeeper,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._frames_log, self._verdicts_log = logs["frames"], logs["verdicts"]
        self._frames = frames
        self._keeper = keeper
        share_of_day = settings.archive_period_s / DAY_S
        nbytes = int(settings.archive_ok_mib_per_line_day * MIB * share_of_day)
        self._allowance = Allowance(settings.archive_ok_share, nbytes)

    async def archive(self, due: Due, catalogue: Catalogue, now_ms: int, progress: Progress) -> bool:
        """Writes the period's files and commits them; False where verdicts are still to come."""
        inspected = await self._inspected(due)  # asked first: what is committed has its verdict already
        outcomes = await self._outcomes(due)
        if not outcomes.complete and not inspected:
            if now_ms < due.period.end_ms + self._settings.archive_patience_s * 1000:
                return False
            log.warning("frames of a period are archived without all their verdicts: inspection has not come so far")
        name = str(due.period.start_ms)
        files = PeriodFiles(self._settings.archive_dir, "frames", TABLES["frames"].schema, name)
        kept, counter = KeptFiles(self._settings.archive_dir, name), StretchCounter(self._frames_log, due)
        passed: dict[Line, list[Passed]] = defaultdict(list)
        async with self._frames_log.reading(due.stretches) as chunks:
            async for chunk in chunks:
                for raw in chunk:
                    if found := counter.take(raw):
                        await self._take(found, outcomes, files, kept, passed)
                progress(len(chunk))
        for line, candidates in sorted(passed.items()):
            await self._keep_share(line, candidates, name, kept)
        catalogue.commit(counter.stretches(), [*files.finish(), *kept.finish()])
        return True

    async def _take(
        self,
        found: Found,
        outcomes: LiveOutcomes,
        files: PeriodFiles,
        kept: KeptFiles,
        passed: dict[Line, list[Passed]],
    ) -> None:
        event, frame = found.event, found.event.record
        outcome = outcomes.outcome(event.partition, event.offset)
        judged = outcome and (outcome.value, str(verdict_id(frame.frame_id, frame.attempt)))
        archived = self._codec.encode(without_picture(frame))
        files.add(*placed(TABLES["frames"], found, *(judged or (None, None)), found.sha256, archived))
        if why := kept_for(outcome):
            picture = await self._keeper.keep(frame, event.partition, event.offset, why, 1.0)
            kept.add(day_of(event.timestamp), picture)
        elif (nbytes := await self._keeper.size(frame)) is not None:
            passed[frame.plant, frame.line].append(Passed(event.partition, event.offset, frame.frame_id, nbytes))

    async def _keep_share(self, line: Line, candidates: list[Passed], period: str, kept: KeptFiles) -> None:
        chosen = choose(candidates, self._allowance, f"{'/'.join(line)}/{period}")
        day = day_of_ms(int(period))
        for at in chosen.frames:
            frame: FrameCaptured | None = await self._frames.fetch(at.partition, at.offset)
            if frame is None:
                log.warning("a frame chosen to be kept has expired: partition %d offset %d", at.partition, at.offset)
                continue
            kept.add(day, await self._keeper.keep(frame, at.partition, at.offset, SHARE, chosen.probability))

    async def _outcomes(self, due: Due) -> LiveOutcomes:
        """The live outcomes of the period's frames, as far as they are published."""
        outcomes = LiveOutcomes(self._frames_log.name, due.stretches)
        firsts = await self._verdicts_log.landmarks.first_at(due.period.start_ms)
        ends = {p: end for p, (_, end) in (await self._verdicts_log.landmarks.bounds()).items()}
        stretches = {p: (at.offset, ends[p]) for p, at in firsts.items() if at and at.offset < ends[p]}
        async with self._verdicts_log.reading(stretches) as chunks:
            async for chunk in chunks:
                for raw in chunk:
                    verdict: Any = self._verdicts_log.decoded(raw)
                    if isinstance(verdict, VerdictIssued):
                        outcomes.add(raw.partition, verdict)
                if outcomes.complete:
                    break
        return outcomes

    async def _inspected(self, due: Due) -> bool:
        """Whether every frame of the period has the verdict that it will ever have."""
        group = self._settings.topic_prefix + INSPECTION_GROUP
        committed = await committed_by(self._settings.bootstrap, group, self._frames_log.name)
        return all(committed.get(p, 0) >= high for p, (low, high) in due.stretches.items() if low < high)
