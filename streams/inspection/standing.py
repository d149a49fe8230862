"""Finds where each partition of frames must be read from, by what stands on the topics of results.

Place in the flow: asked at every assignment, between the group's committed offsets and the first fetch. A shell around
`starts.py`: reads the newest verdict and, only where that lies below the committed offset, the newest dead letter of a
partition, and says what it found. Knows no Faust.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from schemas.records import DeadLetter, VerdictIssued
from streams.inspection.metrics import InspectionMetrics
from streams.inspection.starts import start_of

log = logging.getLogger(__name__)
VERDICTS_AT_ONCE = 32  # records looked at in search of the newest
LETTERS_AT_ONCE = 4  # up to 9 MiB each


class Found(Protocol):
    """A verdict or a dead letter read back."""

    @property
    def record(self) -> VerdictIssued | DeadLetter: ...


class Tail(Protocol):
    """The part of `bus.readback.TopicTail` that is needed here."""

    async def last(self, partition: int, of: Callable[..., bool], size: int) -> Found | None: ...


class At(Protocol):
    @property
    def offset(self) -> int: ...
    @property
    def timestamp_ms(self) -> int: ...


class Frames(Protocol):
    """The part of `bus.landmarks.Landmarks` that is needed here."""

    async def of(self, partition: int, at_ms: int) -> tuple[int, int, At | None]: ...


class Standing:
    """For the partitions of one worker. `topic` is the full name of frames."""

    def __init__(self, topic: str, frames: Frames, verdicts: Tail, letters: Tail, metrics: InspectionMetrics) -> None:
        self._topic = topic
        self._frames = frames
        self._verdicts = verdicts
        self._letters = letters
        self._metrics = metrics
        self._told: dict[int, int] = {}  # by partition, up to where gone frames were counted

    async def starts(self, committed: Mapping[int, int | None]) -> dict[int, int]:
        """By partition, the offset to read from where it is not the committed one (None: nothing is committed)."""
        found = {partition: await self._start(partition, offset) for partition, offset in sorted(committed.items())}
        return {partition: start for partition, start in found.items() if start != committed[partition]}

    async def missed(self, partition: int, low: int, high: int) -> None:
        """Frames at offsets `low` to `high` (exclusive) did not come: says how many of them are deleted."""
        begin, _, _ = await self._frames.of(partition, 0)
        self._tell_gone(partition, low, min(begin, high))

    async def _start(self, partition: int, committed: int | None) -> int:
        begin, end, _ = await self._frames.of(partition, 0)
        if committed is None and end == 0:
            return begin
        verdict = await self._decided(self._verdicts, partition, VERDICTS_AT_ONCE)
        letter = None
        if verdict is None or committed is None or committed > verdict + 1:
            letter = await self._decided(self._letters, partition, LETTERS_AT_ONCE)
        known = [offset for offset in (verdict, letter) if offset is not None]
        decided = max(known) if known else None
        start = start_of(committed, begin, end, decided)
        if committed is None and decided is not None:
            log.warning(
                "%s partition %d: the group's offset is lost; reading from %d, frames that have a verdict keep it",
                *(self._topic, partition, start.offset),
            )
        if start.gone:
            self._tell_gone(partition, begin - start.gone, begin)
        if start.undone:
            self._metrics.moved.inc(start.undone)
            log.error(
                "%s partition %d: the committed offset %d was moved past %d frames without a result (the newest "
                "decided is %s); reading from %d, nothing is lost by it",
                *(self._topic, partition, committed, start.undone, decided, start.offset),
            )
        elif committed is not None and start.offset != committed:
            log.warning("%s partition %d: reading from %d, not %d", self._topic, partition, start.offset, committed)
        return start.offset

    async def _decided(self, tail: Tail, partition: int, size: int) -> int | None:
        """The newest frame of this very topic that has a result; None where none is known."""
        found = await tail.last(partition, lambda record: record.source_topic == self._topic, size)
        if found is None:
            return None
        offset, at_ms = found.record.source_offset, _ms(found.record.source_timestamp)
        begin, _, at = await self._frames.of(partition, at_ms)
        if offset < begin or (at and at.offset <= offset and at.timestamp_ms == at_ms):
            return offset
        log.warning(
            "%s partition %d: results up to offset %d are of an earlier topic of this name and count for nothing",
            *(self._topic, partition, offset),
        )
        return None

    def _tell_gone(self, partition: int, low: int, high: int) -> None:
        low = max(low, self._told.get(partition, 0))
        if low < high:
            self._told[partition] = high
            self._metrics.gone.inc(high - low)
            log.error(
                "%s partition %d: up to %d frames (offsets %d to %d) were deleted before they were inspected and have "
                "no verdict; give frames a longer retention, or run more workers",
                *(self._topic, partition, high - low, low, high - 1),
            )


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
