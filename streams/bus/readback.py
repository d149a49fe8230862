"""What a partition of `verdicts` already says about frames that may be delivered again.

Place in the flow: once for every partition and assignment, before its first frame. Verdicts derived from frames of
partition p stand in partition p; read from the tail backwards, block by block, until a whole block is about older
frames. It decides nothing: a frame found here keeps the verdict that it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import VerdictIssued

log = logging.getLogger(__name__)
BLOCK = 1024  # records; measured: the last 1,024 of each of 4 partitions in 0.5 s
STOP_S = 5.0
POLL_MS = 500
FETCH_WAIT_MS = 20  # the reader of the next partition waits for the last fetch of the one before


class VerdictTail:
    """Reads back the tail of one worker's `verdicts` partitions. One reader at a time; others wait."""

    def __init__(self, bootstrap: str, topic: str, codec: Codec, max_bytes: int = 4 << 20) -> None:
        self._topic = topic
        self._codec = codec
        self._lock = asyncio.Lock()
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            enable_auto_commit=False,
            isolation_level="read_committed",
            max_partition_fetch_bytes=max_bytes,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=FETCH_WAIT_MS,
        )

    async def start(self) -> None:
        await self._consumer.start()

    async def stop(self) -> None:
        """Close the consumer. aiokafka's fetcher may swallow the first cancellation and wait for ever: it gets two."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await self._consumer.stop()

    async def published(
        self, partition: int, frames_topic: str, from_offset: int
    ) -> dict[tuple[int, UUID], VerdictIssued]:
        """The effective (first) verdict of every frame of `frames_topic` at or after `from_offset`.

        By the frame's offset and the verdict_id: an offset alone may be one of a topic that was made anew.
        """
        async with self._lock:
            tp = TopicPartition(self._topic, partition)
            self._consumer.assign([tp])
            try:
                return await self._tail(tp, frames_topic, from_offset)
            finally:
                self._consumer.pause(tp)  # else it would go on fetching

    async def _tail(
        self, tp: TopicPartition, frames_topic: str, from_offset: int
    ) -> dict[tuple[int, UUID], VerdictIssued]:
        begin = (await self._consumer.beginning_offsets([tp]))[tp]
        high = (await self._consumer.end_offsets([tp]))[tp]
        found: dict[tuple[int, UUID], VerdictIssued] = {}
        while high > begin:
            low = max(begin, high - BLOCK)
            block: dict[tuple[int, UUID], VerdictIssued] = {}
            older = False
            async for verdict in self._verdicts(tp, low, high):
                if verdict.source_topic != frames_topic:
                    continue
                if verdict.source_offset >= from_offset:
                    block.setdefault((verdict.source_offset, verdict.verdict_id), verdict)
                else:
                    older = True
            if older and not block:  # a block without any verdict, such as of aborted records, says nothing
                break
            found |= block  # blocks come newest first, so the older record of a verdict replaces the newer
            high = low
        return found

    async def _verdicts(self, tp: TopicPartition, low: int, high: int) -> AsyncIterator[VerdictIssued]:
        """The verdicts among records `low` to `high` (exclusive)."""
        self._consumer.seek(tp, low)
        while await self._consumer.position(tp) < high:
            batches = await self._consumer.getmany(tp, timeout_ms=POLL_MS)
            for message in batches.get(tp, ()):
                if message.offset < high and (verdict := self._decoded(message.value)):
                    yield verdict
            stable = self._consumer.last_stable_offset(tp)
            if not batches and stable is not None and await self._consumer.position(tp) >= stable:
                break  # the rest belongs to a transaction that is still open: not published

    def _decoded(self, value: bytes | None) -> VerdictIssued | None:
        try:
            return self._codec.decode(value, VerdictIssued) if value else None
        except (SchemaInvalidError, SchemaUnknownError) as error:
            log.warning("a record of %s is no verdict and is passed over: %s", self._topic, error)
            return None
