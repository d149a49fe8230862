"""Where a topic stands: its begins and ends, and what lies at a time. For readers that plan before they read.

Asks the broker only for offsets and times, never for records. One question at a time; others wait.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.bus.connect import log_reader, partitions_of, reaching, start_consumer, stop_consumer

PARTITIONS_S = 60.0  # how late a topic's new partition may be seen; asking costs a connection


@dataclass(frozen=True, slots=True)
class At:
    """An offset and the append time of its record, ms since 1970."""

    offset: int
    timestamp_ms: int


class Landmarks:
    """One topic (full name). An async context manager."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._lock = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._tps: list[TopicPartition] = []
        self._asked_s = -math.inf

    async def __aenter__(self) -> Self:
        """Connects; BrokerUnreachableError where no Kafka answers."""
        consumer = log_reader(self._bootstrap)
        await start_consumer(consumer, self._bootstrap, self._topic)
        self._consumer = consumer
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    async def bounds(self) -> dict[int, tuple[int, int]]:
        """By partition, the first offset that is there, and the one behind the last that can be read (committed)."""
        tps = await self._partitions()
        async with self._lock, reaching(self._bootstrap):
            consumer = self._started
            begins, ends = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        return {tp.partition: (begins[tp], ends[tp]) for tp in tps}

    async def first_at(self, at_ms: int) -> dict[int, At | None]:
        """By partition, the first record appended at or after a time; None where there is none yet."""
        tps = await self._partitions()
        async with self._lock, reaching(self._bootstrap):
            found = await self._started.offsets_for_times(dict.fromkeys(tps, max(0, at_ms)))
        return {tp.partition: At(at.offset, at.timestamp) if (at := found.get(tp)) else None for tp in tps}

    async def of(self, partition: int, at_ms: int) -> tuple[int, int, At | None]:
        """One partition's begin and end, as `bounds`, and its first record appended at or after a time."""
        tp = TopicPartition(self._topic, partition)
        async with self._lock, reaching(self._bootstrap):
            consumer = self._started
            begins, ends = await consumer.beginning_offsets([tp]), await consumer.end_offsets([tp])
            at = (await consumer.offsets_for_times({tp: max(0, at_ms)})).get(tp)
        return begins[tp], ends[tp], At(at.offset, at.timestamp) if at else None

    async def _partitions(self) -> list[TopicPartition]:
        if time.monotonic() - self._asked_s > PARTITIONS_S:
            self._tps = [TopicPartition(self._topic, p) for p in await partitions_of(self._bootstrap, self._topic)]
            self._asked_s = time.monotonic()
        return self._tps

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "enter it first"
        return self._consumer
