"""Where a reader begins in a topic, and how far a group has come.

Used by the subscriber. Knows offsets, times and commits, but no records.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Literal

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

log = logging.getLogger(__name__)

Start = Literal["latest", "earliest"] | datetime | int | Mapping[int, int]


def starting_offset(start: Start, partition: int, begin: int, end: int, by_time: int | None = None) -> int:
    """Where to begin in a partition that holds the offsets [begin, end); `by_time` is the broker's answer."""
    if isinstance(start, datetime):
        return end if by_time is None else by_time
    if isinstance(start, str):
        return begin if start == "earliest" else end
    return min(max(start if isinstance(start, int) else start[partition], begin), end)


async def starting_offsets(
    consumer: AIOKafkaConsumer, start: Start, tps: Iterable[TopicPartition]
) -> dict[TopicPartition, int]:
    tps = list(tps)
    begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    found: Mapping[TopicPartition, Any] = {}
    if isinstance(start, datetime):
        found = await consumer.offsets_for_times(dict.fromkeys(tps, max(0, int(start.timestamp() * 1000))))
    by_time = {tp: at.offset for tp, at in found.items() if at is not None}
    return {tp: starting_offset(start, tp.partition, begins[tp], ends[tp], by_time.get(tp)) for tp in tps}


class Commits(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """At-least-once bookkeeping of a group: an event counts as done when the next one is asked for."""

    def __init__(self, consumer: AIOKafkaConsumer, start: Start, interval_s: float) -> None:
        self._consumer = consumer
        self._start = start
        self._interval_s = interval_s
        self._next: dict[TopicPartition, int] = {}
        self._assignments = 0
        self._last_commit_s = 0.0

    def mark(self) -> int:
        """Identifies the present assignment; hand it to `done` with what was taken under it."""
        return self._assignments

    def done(self, tp: TopicPartition, offset: int, mark: int) -> None:
        if mark == self._assignments:
            self._next[tp] = offset + 1

    async def commit_if_due(self) -> None:
        if asyncio.get_running_loop().time() - self._last_commit_s >= self._interval_s:
            await self.commit()

    async def commit(self) -> None:
        """Commits what is done. A commit that fails only means that events come again."""
        self._last_commit_s = asyncio.get_running_loop().time()
        if not self._next:
            return
        taken, self._next = self._next, {}
        try:
            await self._consumer.commit(taken)
        except (CommitFailedError, IllegalStateError):
            log.info("the group was rebalanced before a commit: a few events will come again")
        except KafkaError as error:
            log.warning("offsets not committed, to be tried again: %s", error)
            self._next = taken | self._next

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        await self.commit()
        self._assignments += 1
        self._next.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Gives a partition without a committed offset its start and commits that: a restart then misses nothing."""
        fresh = [tp for tp in assigned if await self._consumer.committed(tp) is None]
        if fresh:
            for tp, offset in (await starting_offsets(self._consumer, self._start, fresh)).items():
                self._consumer.seek(tp, offset)
                self._next[tp] = offset
