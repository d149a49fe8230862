"""One period of `frames` into the archive: every frame without its picture, and the pictures that are kept.

Pictures of frames that did not pass are put away while the frames are read; of those that passed, a sample is drawn
when the whole period is known, and fetched again. Frames wait for their verdicts, because these decide.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.codec import Codec
from schemas.records import FrameCaptured, VerdictIssued
from streams.archive.catalogue import Catalogue
from streams.archive.events import KeptFiles, Progress, row_of
from streams.archive.keeping import SHARE, Allowance, Passed, choose, kept_for
from streams.archive.log import Due, Found, StretchCounter, TopicLog
from streams.archive.parquet import PeriodFiles
from streams.archive.periods import day_of_ms
from streams.archive.pictures import PictureKeeper
from streams.archive.tables import TABLES, without_picture
from streams.archive.verdicts import LiveOutcomes
from streams.bus.frames_at import FrameReader, committed_by
from streams.inspection.decide import verdict_id
from streams.settings import DAY_S, Settings
from streams.topics import FRAMES, VERDICTS, inspection_group

log = logging.getLogger(__name__)
MIB = 1 << 20
Line = tuple[str, str]


class _FramePeriod:
    """What one period is written to, and the frames of it that passed, by line."""

    def __init__(self, folder: Path, due: Due, frames_log: TopicLog, outcomes: LiveOutcomes) -> None:
        self.name = str(due.period.start_ms)
        self.day = day_of_ms(due.period.start_ms)
        self.outcomes = outcomes
        self.files = PeriodFiles(folder, FRAMES.name, TABLES[FRAMES.name].schema, self.name)
        self.kept = KeptFiles(folder, self.name)
        self.counter = StretchCounter(frames_log, due)
        self.passed: dict[Line, list[Passed]] = defaultdict(list)


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
        self._frames_log, self._verdicts_log = logs[FRAMES.name], logs[VERDICTS.name]
        self._frames = frames
        self._keeper = keeper
        share_of_day = settings.archive_period_s / DAY_S
        nbytes = int(settings.archive_ok_mib_per_line_day * MIB * share_of_day)
        self._allowance = Allowance(settings.archive_ok_share, nbytes)

    async def archive(self, due: Due, catalogue: Catalogue, now_ms: int, progress: Progress) -> bool:
        """Writes the period's files and commits them; False where verdicts are still to come."""
        inspected = await self._inspected(due)  # asked first: what is committed has its verdict already
        outcomes = await self._outcomes(due, progress)
        if not outcomes.complete and not inspected:
            if now_ms < due.period.end_ms + self._settings.archive_patience_s * 1000:
                return False
            log.warning("frames of a period are archived without all their verdicts: inspection has not come so far")
        period = _FramePeriod(self._settings.archive_dir, due, self._frames_log, outcomes)
        async with self._frames_log.reading(due.stretches) as chunks:
            async for chunk in chunks:
                for raw in chunk:
                    if found := period.counter.take(raw):
                        await self._take(found, period)
                progress(len(chunk))
        for line, candidates in sorted(period.passed.items()):
            await self._keep_share(line, candidates, period)
            progress(0)
        catalogue.commit(period.counter.stretches(), [*period.files.finish(), *period.kept.finish()])
        return True

    async def _take(self, found: Found, period: _FramePeriod) -> None:
        frame, at = found.event.record, (found.event.partition, found.event.offset)
        outcome = period.outcomes.outcome(*at)
        judged = (outcome.value, str(verdict_id(frame.frame_id, frame.attempt))) if outcome else (None, None)
        archived = self._codec.encode(without_picture(frame))
        place = (frame.plant, frame.line, period.day)
        period.files.add(place, row_of(TABLES[FRAMES.name], found, *judged, found.sha256, archived))
        if why := kept_for(outcome, period.outcomes.collected(*at)):
            period.kept.add(period.day, await self._keeper.keep(frame, *at, why, 1.0))
        elif (nbytes := await self._keeper.size(frame)) is not None:
            period.passed[frame.plant, frame.line].append(Passed(*at, frame.frame_id, nbytes))

    async def _keep_share(self, line: Line, candidates: list[Passed], period: _FramePeriod) -> None:
        chosen = choose(candidates, self._allowance, f"{'/'.join(line)}/{period.name}")
        for at in chosen.frames:
            frame: FrameCaptured | None = await self._frames.fetch(at.partition, at.offset)
            if frame is None:
                log.warning("a frame chosen to be kept has expired: partition %d offset %d", at.partition, at.offset)
                continue
            picture = await self._keeper.keep(frame, at.partition, at.offset, SHARE, chosen.probability)
            period.kept.add(period.day, picture)

    async def _outcomes(self, due: Due, progress: Progress) -> LiveOutcomes:
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
                progress(0)
                if outcomes.complete:
                    break
        return outcomes

    async def _inspected(self, due: Due) -> bool:
        """Whether every frame of the period has the verdict that it will ever have."""
        group = self._settings.topic_prefix + inspection_group(self._settings.pool)
        committed = await committed_by(self._settings.bootstrap, group, self._frames_log.name)
        return all(committed.get(p, 0) >= high for p, (low, high) in due.stretches.items() if low < high)
