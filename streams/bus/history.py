"""Stretches of partitions read again: what an agent rebuilds its state from after a loss.

Used by downstream agents between their assignment and their first event. Reads committed records only, decodes by the
writer's schema, passes over what is no event. Does not know what is rebuilt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from streams.bus.admin import wait_for_broker
from streams.bus.connect import ANSWER_TIMEOUT_S, log_reader, reaching, start_consumer, stop_consumer
from streams.bus.offsets import committed_offsets
from streams.bus.security import kafka_options
from streams.bus.subscriber import Received
from streams.topics import Topic

log = logging.getLogger(__name__)
POLL_MS = 500


class History:
    """One reading at a time; others wait. Use it as an async context manager, or start() and stop() it."""

    def __init__(self, bootstrap: str, prefix: str, codec: Codec) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._codec = codec
        self._lock = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None

    async def start(self) -> None:
        """Connects; BrokerUnreachableError where no Kafka answers."""
        await wait_for_broker(self._bootstrap, ANSWER_TIMEOUT_S)
        consumer = log_reader(self._bootstrap)
        await start_consumer(consumer, self._bootstrap)
        self._consumer = consumer

    async def stop(self) -> None:
        """Closes the consumer."""
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    async def __aenter__(self) -> History:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def committed(self, group: str, topic: Topic) -> dict[int, int]:
        """What a group has committed, by partition; partitions without a commit are left out."""
        admin = AIOKafkaAdminClient(**kafka_options(self._bootstrap))
        try:
            async with reaching(self._bootstrap):
                await admin.start()
                return await committed_offsets(admin, group, self._prefix + topic.name)
        finally:
            await admin.close()

    async def bounds(self, topic: Topic, partition: int) -> tuple[int, int]:
        """The offset of the first record that is still there, and the one behind the last that can be read."""
        tp = TopicPartition(self._prefix + topic.name, partition)
        begins, ends = await self._kafka.beginning_offsets([tp]), await self._kafka.end_offsets([tp])
        return begins[tp], ends[tp]

    async def ends(self, topic: Topic, partitions: Iterable[int]) -> dict[int, int]:
        """The offset behind the last record that can be read, by partition."""
        tps = [TopicPartition(self._prefix + topic.name, partition) for partition in partitions]
        return {tp.partition: end for tp, end in (await self._kafka.end_offsets(tps)).items()} if tps else {}

    async def offset_at(self, topic: Topic, partition: int, at: datetime) -> int:
        """The first offset appended at or after a time; the end where there is none."""
        tp = TopicPartition(self._prefix + topic.name, partition)
        found = (await self._kafka.offsets_for_times({tp: max(0, int(at.timestamp() * 1000))}))[tp]
        return int(found.offset) if found else (await self.bounds(topic, partition))[1]

    async def read(
        self, topic: Topic, partition: int, low: int, high: int, take: Callable[[Received[Any]], None]
    ) -> None:
        """Hands over the records at offsets `low` to `high` (exclusive) in log order, copies included."""
        tp = TopicPartition(self._prefix + topic.name, partition)
        if low >= high:
            return
        async with self._lock:
            self._kafka.assign([tp])
            self._kafka.seek(tp, low)
            try:
                while await self._kafka.position(tp) < high:
                    batch = (await self._kafka.getmany(tp, timeout_ms=POLL_MS)).get(tp, ())
                    for message in batch:
                        if message.offset < high and (received := self._received(topic, message)):
                            take(received)
                    stable = self._kafka.last_stable_offset(tp)
                    if not batch and stable is not None and await self._kafka.position(tp) >= stable:
                        break  # the rest belongs to a transaction that is still open: not published
            finally:
                self._kafka.pause(tp)  # else it would go on fetching

    @property
    def _kafka(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() comes first"
        return self._consumer

    def _received(self, topic: Topic, message: Any) -> Received[Any] | None:
        try:
            if message.value is None:
                return None
            record = self._codec.decode(message.value, topic.record)
        except (SchemaInvalidError, SchemaUnknownError) as error:
            where = f"{topic.name} partition {message.partition} offset {message.offset}"
            log.warning("passed over %s: %s", where, error)
            return None
        at = datetime.fromtimestamp(message.timestamp / 1000, UTC)
        return Received(record, message.partition, message.offset, at, message.key)
