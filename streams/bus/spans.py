"""A span of a topic's history in order of append time, over all its partitions.

For readers of ranges: tables, exports. Each reading has a consumer of its own, which holds one fetch a partition and
takes the next only when the reader has used that up: memory is bounded whatever the span. Hands out raw records;
decodes nothing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.bus.connect import log_reader, partitions_of, reaching, start_consumer, stop_consumer
from streams.bus.positions import starting_offset

FETCH_MAX_BYTES = 256 << 10  # a partition
POLL_MS = 500
CHUNK = 500  # records handed out together


class Raw(Protocol):
    """A record as Kafka gives it, aiokafka's ConsumerRecord for one; `timestamp` in ms since 1970."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None


class PartitionUnknownError(ValueError):
    """A position names a partition that the topic does not have."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `since_ms`, or where `position` names a partition from that offset, until before `until_ms` or the end.

    Times are append times, ms since 1970.
    """

    since_ms: int
    until_ms: int | None
    position: Mapping[int, int] = field(default_factory=dict)
    lookback: int = 0  # records of each partition before its start that are handed out too


class Reading(Protocol):
    """A span being read: where each partition starts and ends (exclusive), and its records.

    Chunks come in order of append time; what is looked back at is among them.
    """

    starts: Mapping[int, int]
    ends: Mapping[int, int]

    def chunks(self) -> AsyncGenerator[list[Raw]]: ...


@asynccontextmanager
async def read_span(bootstrap: str, topic: str, span: Span) -> AsyncIterator[Reading]:
    """Reads a span of a topic (full name).

    Raises PartitionUnknownError where the span's position names a partition that the topic does not have,
    BrokerUnreachableError, or CallerError for no such topic.
    """
    tps = [TopicPartition(topic, partition) for partition in await partitions_of(bootstrap, topic)]
    if unknown := set(span.position) - {tp.partition for tp in tps}:
        raise PartitionUnknownError(f"{topic} has no partition {min(unknown)}")
    consumer = log_reader(bootstrap, max_partition_fetch_bytes=FETCH_MAX_BYTES)
    try:
        await start_consumer(consumer, bootstrap, topic)
        async with reaching(bootstrap):
            bounds = await _bounds(consumer, tps, span)
        yield _KafkaReading(consumer, bounds)
    finally:
        await stop_consumer(consumer)


@asynccontextmanager
async def read_offsets(
    bootstrap: str,
    topic: str,
    stretches: Mapping[int, tuple[int, int]],
    lookback: int = 0,
    fetch_max_bytes: int = FETCH_MAX_BYTES,
) -> AsyncIterator[Reading]:
    """Reads offsets from a first to before a last, by partition, of a topic (full name); as `read_span`.

    What lies up to `lookback` records before a partition's first is handed out too.
    """
    tps = {TopicPartition(topic, partition): span for partition, span in stretches.items()}
    consumer = log_reader(bootstrap, max_partition_fetch_bytes=fetch_max_bytes)
    try:
        await start_consumer(consumer, bootstrap, topic)
        async with reaching(bootstrap):
            begins = await consumer.beginning_offsets(list(tps)) if tps else {}
        yield _KafkaReading(consumer, {tp: (max(begins[tp], at[0] - lookback), *at) for tp, at in tps.items()})
    finally:
        await stop_consumer(consumer)


Bounds = Mapping[TopicPartition, tuple[int, int, int]]  # where to read from, where the span starts, where it ends


async def _bounds(consumer: AIOKafkaConsumer, tps: list[TopicPartition], span: Span) -> Bounds:
    begins, tails = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
    since = await consumer.offsets_for_times(dict.fromkeys(tps, span.since_ms))
    until = {} if span.until_ms is None else await consumer.offsets_for_times(dict.fromkeys(tps, span.until_ms))
    bounds: dict[TopicPartition, tuple[int, int, int]] = {}
    for tp in tps:
        end = min(tails[tp], until[tp].offset) if until.get(tp) else tails[tp]
        at = span.position.get(tp.partition, since[tp].offset if since[tp] else tails[tp])
        start = starting_offset(at, tp.partition, begins[tp], tails[tp])
        bounds[tp] = (max(begins[tp], start - span.lookback), start, max(start, end))
    return bounds


class _KafkaReading:
    def __init__(self, consumer: AIOKafkaConsumer, bounds: Bounds) -> None:
        self._consumer = consumer
        self._bounds = bounds
        self.starts: Mapping[int, int] = {tp.partition: start for tp, (_, start, _) in bounds.items()}
        self.ends: Mapping[int, int] = {tp.partition: end for tp, (_, _, end) in bounds.items()}

    async def chunks(self) -> AsyncGenerator[list[Raw]]:
        unfinished = {tp.partition: tp for tp, (_, start, end) in self._bounds.items() if start < end}
        self._consumer.assign(list(unfinished.values()))
        for tp in unfinished.values():
            self._consumer.seek(tp, self._bounds[tp][0])
        queues: dict[int, deque[Raw]] = {partition: deque() for partition in unfinished}
        while unfinished or any(queues.values()):
            if lacking := [tp for partition, tp in unfinished.items() if not queues[partition]]:
                await self._fill(lacking, queues)
            for tp in lacking:
                if await self._consumer.position(tp) >= self._bounds[tp][2]:
                    del unfinished[tp.partition]
            if chunk := merged(queues, unfinished.keys(), CHUNK):
                yield chunk

    async def _fill(self, lacking: list[TopicPartition], queues: Mapping[int, deque[Raw]]) -> None:
        """Fetches for `lacking` alone: what is fetched ahead for others holds these up, 100 ms each time (measured)."""
        self._consumer.pause(*self._consumer.assignment())
        self._consumer.resume(*lacking)
        for tp, messages in (await self._consumer.getmany(*lacking, timeout_ms=POLL_MS)).items():
            queues[tp.partition].extend(m for m in messages if m.offset < self._bounds[tp][2])


def merged(queues: Mapping[int, deque[Raw]], unfinished: Set[int], most: int) -> list[Raw]:
    """Takes up to `most` records out of the queues, oldest first, by partition where times are equal.

    Stops where a queue of `unfinished` is empty: what would come from it next may be older than all others.
    """
    if any(not queues[partition] for partition in unfinished):
        return []
    heads = [(queue[0].timestamp, partition) for partition, queue in queues.items() if queue]
    heapq.heapify(heads)
    taken: list[Raw] = []
    while heads and len(taken) < most:
        _, partition = heapq.heappop(heads)
        queue = queues[partition]
        taken.append(queue.popleft())
        if queue:
            heapq.heappush(heads, (queue[0].timestamp, partition))
        elif partition in unfinished:
            break
    return taken
