"""The verdicts that a partition had when a worker was assigned it, a window of them in memory.

Place in the flow: a frame that comes again takes the verdict it has. Usually that is the few that were under way when a
worker ended; after its offsets were moved back it is all of a partition, which no memory holds. So the partition is
looked through once, from its tail to the first frame that comes, and only where each block's frames lie is noted;
then the verdicts about the next frames are read as these come. Decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

from schemas.records import VerdictIssued
from streams.bus.readback import Found, VerdictTail

WINDOW = 4096  # frames whose verdicts are held at most, 12 MB (measured, see decision 021)

Verdicts = Mapping[tuple[int, UUID], VerdictIssued]
"""By a frame's offset and its verdict_id: an offset alone may be one of a topic that was made anew."""


@dataclass(frozen=True, slots=True)
class _Block:
    """Which frames the verdicts at log offsets `low` to `high` (exclusive) are about."""

    low: int
    high: int
    first_frame: int
    last_frame: int


class PublishedVerdicts:
    """Of one partition and assignment, from frame `from_offset` on. Many frames may ask at once."""

    def __init__(self, tail: VerdictTail, partition: int, frames_topic: str, from_offset: int) -> None:
        self._tail = tail
        self._partition = partition
        self._topic = frames_topic
        self._from = from_offset
        self._lock = asyncio.Lock()
        self._blocks: list[_Block] | None = None  # in log order
        self._window: Verdicts = {}
        self.newest: Mapping[UUID, VerdictIssued] = {}  # by id, those of the tail's last block; after the first `about`
        self._low, self._high = from_offset, float(from_offset)  # the frames that the window tells of all about

    async def about(self, offset: int) -> Verdicts:
        """The effective (first) verdict of the frame at `offset`, if it has one, among those of its neighbours."""
        async with self._lock:
            if self._blocks is None:
                await self._look_through()
            if not self._low <= offset < self._high:
                await self._move_to(offset)
            return self._window

    async def _look_through(self) -> None:
        """Notes what each block is about; where that is little, it is kept and nothing is read again."""
        blocks: list[_Block] = []
        kept: dict[tuple[int, UUID], VerdictIssued] | None = {}
        async with contextlib.aclosing(self._tail.blocks(self._partition)) as reading:
            async for read in reading:
                ours = [found for found in read if found.record.source_topic == self._topic]
                if not self.newest:
                    self.newest = {found.record.verdict_id: found.record for found in reversed(ours)}
                firsts = self._firsts(ours, self._from, math.inf)
                if ours and not firsts:  # a block without any verdict, such as of aborted records, says nothing
                    break
                if firsts:
                    offsets = [offset for offset, _ in firsts]
                    blocks.append(_Block(ours[0].offset, ours[-1].offset + 1, min(offsets), max(offsets)))
                    # blocks come newest first, so the older record of a verdict replaces the newer
                    kept = kept | firsts if kept is not None and len(kept) + len(firsts) <= WINDOW else None
        self._blocks = blocks[::-1]
        if kept is not None:
            self._window, self._low, self._high = kept, self._from, math.inf

    async def _move_to(self, offset: int) -> None:
        assert self._blocks is not None, "looked through first"
        above = [block for block in self._blocks if block.last_frame >= offset]
        low, high = offset, offset + WINDOW if above else math.inf
        window: dict[tuple[int, UUID], VerdictIssued] = {}
        for block in above:
            if block.first_frame < high:
                read = await self._tail.read(self._partition, block.low, block.high)
                for key, verdict in self._firsts(read, low, high).items():
                    window.setdefault(key, verdict)
        self._window, self._low, self._high = window, low, high

    def _firsts(
        self, read: Iterable[Found[VerdictIssued]], low: int, high: float
    ) -> dict[tuple[int, UUID], VerdictIssued]:
        firsts: dict[tuple[int, UUID], VerdictIssued] = {}
        for verdict in (found.record for found in read):
            if verdict.source_topic == self._topic and low <= verdict.source_offset < high:
                firsts.setdefault((verdict.source_offset, verdict.verdict_id), verdict)
        return firsts
