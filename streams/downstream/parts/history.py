"""What the topics say about a partition before its first verdict of an assignment is taken: read back from their tails.

Place in the flow: between Kafka and the pure core, once for every partition and assignment. Decided parts are never
decided again, cameras go on from the number they had reached, and open alarms can still be cleared.
"""

from __future__ import annotations

import contextlib
from typing import Any, TypeVar

from schemas.codec import Codec
from schemas.records import AlarmRaised, Event, PartDecided, VerdictIssued
from streams.bus.readback import Found, TopicTail
from streams.downstream.parts.assembler import REMEMBERED_PARTS, Seen
from streams.downstream.parts.partition import Before
from streams.downstream.parts.starts import start_of
from streams.topics import ALARMS, PARTS, VERDICTS

VERDICTS_READ = 1024  # before the first one: where each camera was
ALARMS_READ = 8192  # of all stations
PARTS_AT_ONCE = 32  # looked at in search of the newest

R = TypeVar("R", bound=Event)


class PartsHistory:
    """Readers of the three topics; use it as an async context manager, or start() and stop() it."""

    def __init__(self, bootstrap: str, prefix: str, codec: Codec) -> None:
        self._parts = TopicTail(bootstrap, prefix + PARTS.name, PartDecided, codec)
        self._verdicts = TopicTail(bootstrap, prefix + VERDICTS.name, VerdictIssued, codec)
        self._alarms = TopicTail(bootstrap, prefix + ALARMS.name, AlarmRaised, codec)

    async def start(self) -> None:
        for tail in self._tails:
            await tail.start()

    async def stop(self) -> None:
        for tail in self._tails:
            await tail.stop()

    async def before(self, partition: int, first: int) -> Before:
        """Everything about a partition whose first verdict to be taken is at offset `first`."""
        verdicts = await _last(self._verdicts, partition, VERDICTS_READ, first)
        alarms = {found.record.alarm_id: found.record for found in await _last(self._alarms, 0, ALARMS_READ)}
        return Before(
            parts=await self._decided(partition, first),
            verdicts=[Seen(v.record, v.offset, v.timestamp) for v in verdicts if not v.record.simulated],
            alarms=list(alarms.values()),
        )

    async def start_at(self, partition: int, committed: int | None) -> int:
        """Where `verdicts` is to be read from; the committed offset, unless that was moved or lost."""
        found = await self._parts.last(partition, lambda part: bool(part.views), PARTS_AT_ONCE)
        decided = max((view.verdict_offset for view in found.record.views), default=None) if found else None
        begin, end = await self._verdicts.bounds(partition)
        return start_of(committed, begin, end, decided)

    async def _decided(self, partition: int, first: int) -> list[PartDecided]:
        """At least the last REMEMBERED_PARTS decisions, and on until a block has none about `first` or later."""
        parts: list[PartDecided] = []
        async with contextlib.aclosing(self._parts.blocks(partition)) as blocks:
            async for found in blocks:
                block = [f.record for f in found]
                parts = block + parts
                newer = any(view.verdict_offset >= first for part in block for view in part.views)
                if len(parts) >= REMEMBERED_PARTS and block and not newer:
                    break
        return parts

    @property
    def _tails(self) -> tuple[TopicTail[Any], ...]:
        return self._parts, self._verdicts, self._alarms


async def _last(tail: TopicTail[R], partition: int, number: int, before: int | None = None) -> list[Found[R]]:
    """The last records below offset `before`, at least `number` of them where there are so many."""
    last: list[Found[R]] = []
    async with contextlib.aclosing(tail.blocks(partition, before)) as blocks:
        async for block in blocks:
            last = block + last
            if len(last) >= number:
                break
    return last
