"""What a partition already says: the tail of a topic, read back by whoever goes on writing it or acting on it.

Place in the flow: once for every partition and assignment, before its first event. Verdicts derived from frames of
partition p stand in partition p; read from the tail backwards, block by block, until a whole block is about older
frames. It decides nothing: a frame found here keeps the verdict that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeVar
from uuid import UUID

from aiokafka import TopicPartition

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import Event, VerdictIssued
from streams.bus.connect import log_reader, start_consumer, stop_consumer

log = logging.getLogger(__name__)
BLOCK = 1024  # records; measured: the last 1,024 of each of 4 partitions in 0.5 s
POLL_MS = 500


R_co = TypeVar("R_co", bound=Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Found(Generic[R_co]):
    """A record that was read back. `timestamp` is the broker's append time."""

    record: R_co
    offset: int
    timestamp: datetime


class TopicTail(Generic[R_co]):
    """Reads ranges of one topic's partitions. One reader at a time; others wait."""

    def __init__(self, bootstrap: str, topic: str, record: type[R_co], codec: Codec, max_bytes: int = 4 << 20) -> None:
        self._bootstrap = bootstrap
        self._record = record
        self._topic = topic
        self._codec = codec
        self._lock = asyncio.Lock()
        self._consumer = log_reader(bootstrap, max_partition_fetch_bytes=max_bytes)

    async def start(self) -> None:
        """Connects; BrokerUnreachableError where Kafka goes away meanwhile."""
        await start_consumer(self._consumer, self._bootstrap, self._topic)

    async def stop(self) -> None:
        """Closes the consumer."""
        await stop_consumer(self._consumer)

    async def blocks(
        self, partition: int, before: int | None = None, size: int | None = None
    ) -> AsyncGenerator[list[Found[R_co]]]:
        """A partition's records below offset `before`, each block in log order, the newest block first.

        Leave it early by `contextlib.aclosing`. A block covers `size` offsets (BLOCK unless told) and may be empty,
        such as one of aborted records.
        """
        async with self._lock:
            tp = TopicPartition(self._topic, partition)
            self._consumer.assign([tp])
            try:
                begin = (await self._consumer.beginning_offsets([tp]))[tp]
                end = (await self._consumer.end_offsets([tp]))[tp]
                high = end if before is None else min(before, end)
                while high > begin:
                    low = max(begin, high - (size or BLOCK))
                    yield [found async for found in self._records(tp, low, high)]
                    high = low
            finally:
                self._consumer.pause(tp)  # else it would go on fetching

    async def bounds(self, partition: int) -> tuple[int, int]:
        """The offset of the first record that is still there, and the one behind the last that can be read."""
        tp = TopicPartition(self._topic, partition)
        begins, ends = await self._consumer.beginning_offsets([tp]), await self._consumer.end_offsets([tp])
        return begins[tp], ends[tp]

    async def read(self, partition: int, low: int, high: int) -> list[Found[R_co]]:
        """The records at offsets `low` to `high` (exclusive) that are still there, in log order."""
        async with self._lock:
            tp = TopicPartition(self._topic, partition)
            self._consumer.assign([tp])
            try:
                low = max(low, (await self._consumer.beginning_offsets([tp]))[tp])
                return [found async for found in self._records(tp, low, high)]
            finally:
                self._consumer.pause(tp)

    async def last(self, partition: int, of: Callable[[R_co], bool], size: int) -> Found[R_co] | None:
        """The newest record that `of` is true of; looked for from the tail backwards, `size` offsets at once."""
        async with contextlib.aclosing(self.blocks(partition, size=size)) as blocks:
            async for block in blocks:
                if found := [read for read in block if of(read.record)]:
                    return found[-1]
        return None

    async def _records(self, tp: TopicPartition, low: int, high: int) -> AsyncIterator[Found[R_co]]:
        """The topic's records among offsets `low` to `high` (exclusive)."""
        self._consumer.seek(tp, low)
        while await self._consumer.position(tp) < high:
            batches = await self._consumer.getmany(tp, timeout_ms=POLL_MS)
            for message in batches.get(tp, ()):
                if message.offset < high and (record := self._decoded(message.value)):
                    yield Found(record, message.offset, datetime.fromtimestamp(message.timestamp / 1000, UTC))
            stable = self._consumer.last_stable_offset(tp)
            if not batches and stable is not None and await self._consumer.position(tp) >= stable:
                break  # the rest belongs to a transaction that is still open: not published

    def _decoded(self, value: bytes | None) -> R_co | None:
        try:
            return self._codec.decode(value, self._record) if value else None
        except (SchemaInvalidError, SchemaUnknownError) as error:
            log.warning("a record of %s is no %s and is passed over: %s", self._topic, self._record.__name__, error)
            return None


@dataclass(frozen=True, slots=True)
class Published:
    """What a partition of verdicts says.

    `about` holds the effective (first) verdict of each frame asked about, by the frame's offset and the verdict_id: an
    offset alone may be one of a topic that was made anew. `newest` holds the last block's, by verdict_id.
    """

    about: dict[tuple[int, UUID], VerdictIssued]
    newest: Mapping[UUID, VerdictIssued]


class VerdictTail(TopicTail[VerdictIssued]):
    """The tail of one worker's `verdicts` partitions."""

    def __init__(self, bootstrap: str, topic: str, codec: Codec, max_bytes: int = 4 << 20) -> None:
        super().__init__(bootstrap, topic, VerdictIssued, codec, max_bytes)

    async def published(self, partition: int, frames_topic: str, from_offset: int) -> Published:
        """What it says about every frame of `frames_topic` at or after `from_offset`."""
        found: dict[tuple[int, UUID], VerdictIssued] = {}
        newest: dict[UUID, VerdictIssued] = {}
        async with contextlib.aclosing(self.blocks(partition)) as blocks:
            async for records in blocks:
                verdicts = [read.record for read in records if read.record.source_topic == frames_topic]
                newest = newest or {verdict.verdict_id: verdict for verdict in reversed(verdicts)}
                block: dict[tuple[int, UUID], VerdictIssued] = {}
                for verdict in verdicts:
                    if verdict.source_offset >= from_offset:
                        block.setdefault((verdict.source_offset, verdict.verdict_id), verdict)
                if verdicts and not block:  # a block without any verdict, such as of aborted records, says nothing
                    break
                found |= block  # blocks come newest first, so the older record of a verdict replaces the newer
        return Published(found, newest)
