"""A good part to compare with: the newest OK frame of the same SKU, camera and view that still lies in `frames`.

Place in the flow: asked when a case opens. Reads the same-numbered partition of `verdicts` backwards, a few blocks at
most, and remembers for a while what it found. Knows no page.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from schemas.records import FrameCaptured, Outcome, VerdictIssued
from streams.bus.readback import Found
from streams.downstream.rework.cases import Case

log = logging.getLogger(__name__)
BLOCKS = 4  # of 1,024 verdicts, looked through for one picture
TRIES = 3  # frames asked for, the newest first: one may be gone
KEPT = 256
KEPT_FOR = timedelta(minutes=10)
NONE_KEPT_FOR = timedelta(seconds=30)  # the first good part may come any moment
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Reference:
    """Where the frame of a good part lies."""

    partition: int
    offset: int
    taken_at: datetime

    @property
    def address(self) -> str:
        """Of its picture."""
        return f"/frames/{self.partition}/{self.offset}/picture"


class Verdicts(Protocol):
    """`streams.bus.readback.TopicTail` of verdicts, or a stand-in."""

    def blocks(self, partition: int, before: int | None = None) -> AsyncGenerator[list[Found[VerdictIssued]]]: ...


class Frames(Protocol):
    """`streams.bus.frames_at.FrameReader`, or a stand-in."""

    async def fetch(self, partition: int, offset: int) -> FrameCaptured | None: ...


Like = tuple[str, str, str, str, str, int]


class References:
    """See the module. `clock` gives the time that entries are kept by."""

    def __init__(self, verdicts: Verdicts, frames: Frames, clock: Callable[[], datetime]) -> None:
        self._verdicts = verdicts
        self._frames = frames
        self._clock = clock
        self._known: OrderedDict[Like, tuple[datetime, Reference | None]] = OrderedDict()

    async def find(self, case: Case) -> Reference | None:
        """The good part for a case; None where none is near, or where Kafka can't be asked just now."""
        like = (case.plant, case.line, case.station, case.camera, case.sku, case.view)
        known = self._known.get(like)
        if known is not None and self._clock() < known[0]:
            return known[1]
        try:
            async with asyncio.timeout(PATIENCE_S):
                found = await self._search(case)
        except Exception as error:  # whatever a Kafka that restarts trips over; the case is decided without
            log.warning("no good part to compare with could be looked for: %s: %s", type(error).__name__, error)
            return None
        self._known[like] = (self._clock() + (KEPT_FOR if found else NONE_KEPT_FOR), found)
        if len(self._known) > KEPT:
            self._known.popitem(last=False)
        return found

    async def _search(self, case: Case) -> Reference | None:
        tries = 0
        async with contextlib.aclosing(self._verdicts.blocks(case.partition)) as blocks:
            looked_through = 0
            async for block in blocks:
                for verdict in (read.record for read in reversed(block) if is_good_part_of(read.record, case)):
                    if await self._is_there(verdict):
                        return Reference(verdict.source_partition, verdict.source_offset, verdict.source_timestamp)
                    tries += 1
                looked_through += 1
                if looked_through >= BLOCKS or tries >= TRIES:
                    break
        return None

    async def _is_there(self, verdict: VerdictIssued) -> bool:
        frame = await self._frames.fetch(verdict.source_partition, verdict.source_offset)
        return frame is not None and frame.frame_id == verdict.frame_id


def is_good_part_of(verdict: VerdictIssued, case: Case) -> bool:
    """Whether a verdict is about a good part that looks as the case's should."""
    same = ("plant", "line", "station", "camera", "sku", "view")
    is_like = all(getattr(verdict, name) == getattr(case, name) for name in same)
    if case.verdict is None:  # a sample doesn't say its view
        is_like = is_like and verdict.views == 1
    return is_like and verdict.outcome is Outcome.OK and not verdict.simulated
