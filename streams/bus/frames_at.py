"""Single records again, by where or when they lay: what a verdict's source topic, partition and offset lead back to.

For whoever needs the picture of a frame that was not kept, such as an audit of passes, or the defect behind a decision.
Reads committed records only. Does not know why a record is asked for, nor whether it is the one that the asker meant:
compare its id.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any, Generic, Self, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import Event, FrameCaptured
from streams.bus.connect import log_reader, partitions_of, reaching, start_consumer, stop_consumer
from streams.bus.offsets import committed_offsets
from streams.bus.positions import starting_offsets
from streams.bus.security import kafka_options
from streams.errors import OperatorError

log = logging.getLogger(__name__)
FETCH_TIMEOUT_S = 30.0
POLL_MS = 500
PARTITIONS_S = 10.0  # how late an added partition may be seen
FETCH_MAX_BYTES = 64 << 10  # a batch that is larger still comes whole; its neighbours need not

R = TypeVar("R", bound=Event)
Matches = Callable[[int, Any], bool]
"""Whether a record is looked for, by its offset and what it says."""


class RecordReader(Generic[R]):
    """Reads single records of one topic. One reading at a time; others wait. An async context manager."""

    def __init__(self, bootstrap: str, topic_full_name: str, codec: Codec, record: type[R]) -> None:
        self._bootstrap = bootstrap
        self._topic = topic_full_name
        self._codec = codec
        self._record = record
        self._lock = asyncio.Lock()
        self._consumer: AIOKafkaConsumer | None = None
        self._partitions: frozenset[int] = frozenset()
        self._asked_s = 0.0

    async def start(self) -> None:
        """Connects; BrokerUnreachableError where no Kafka answers, CallerError for a missing topic."""
        await self._ask_partitions()
        consumer = log_reader(self._bootstrap, max_partition_fetch_bytes=FETCH_MAX_BYTES)
        await start_consumer(consumer, self._bootstrap, self._topic)
        self._consumer = consumer

    async def stop(self) -> None:
        """Closes the consumer."""
        if self._consumer is not None:
            await stop_consumer(self._consumer)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def fetch(self, partition: int, offset: int) -> R | None:
        """The record at this offset; None where none was, retention took it, it was aborted, or it is no such event.

        OperatorError where the broker gives nothing in FETCH_TIMEOUT_S.
        """
        found = await self._first(partition, offset, lambda at, record: True, 1)
        return found[1] if found and found[0] == offset else None

    async def fetch_all(self, partition: int, offsets: Collection[int]) -> dict[int, R]:
        """By offset, the records that are there, in one reading: for offsets that lie close together.

        OperatorError as `fetch`.
        """
        found: dict[int, R] = {}
        wanted = sorted(set(offsets))

        def note(offset: int, record: R) -> bool:
            if offset in wanted:
                found[offset] = record
            return offset >= wanted[-1]

        if wanted:
            await self._first(partition, wanted[0], note, wanted[-1] - wanted[0] + 1)
        return found

    async def find(self, partition: int, since: datetime, matches: Callable[[R], bool], most: int) -> R | None:
        """The first of `most` records appended at or after `since` that matches; None where none does."""
        found = await self.find_at(partition, since, matches, most)
        return found[1] if found else None

    async def find_at(
        self, partition: int, since: datetime, matches: Callable[[R], bool], most: int
    ) -> tuple[int, R] | None:
        """As `find`, with the record's offset."""
        offsets = await self.offsets_at(since)
        return await self._first(partition, offsets.get(partition, 0), lambda at, record: matches(record), most)

    async def offsets_at(self, when: datetime) -> dict[int, int]:
        """By partition, the offset of the first record appended at or after `when`; the end where there is none yet."""
        tps = [TopicPartition(self._topic, p) for p in await partitions_of(self._bootstrap, self._topic)]
        async with reaching(self._bootstrap):
            found = await starting_offsets(self._started, when, tps)
        return {tp.partition: offset for tp, offset in found.items()}

    async def ends(self) -> dict[int, int]:
        """By partition, the offset behind the last committed record."""
        tps = [TopicPartition(self._topic, p) for p in await partitions_of(self._bootstrap, self._topic)]
        async with reaching(self._bootstrap):
            return {tp.partition: end for tp, end in (await self._started.end_offsets(tps)).items()}

    @property
    def _started(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() comes first"
        return self._consumer

    async def _ask_partitions(self) -> None:
        self._partitions = frozenset(await partitions_of(self._bootstrap, self._topic))
        self._asked_s = time.monotonic()

    async def _has(self, partition: int) -> bool:
        """Whether there is such a partition, be it an added one."""
        if partition not in self._partitions and time.monotonic() - self._asked_s > PARTITIONS_S:
            await self._ask_partitions()
        return partition in self._partitions

    async def _first(self, partition: int, offset: int, matches: Matches, most: int) -> tuple[int, R] | None:
        """The first matching record of `most` from an offset on, and its own offset."""
        if not await self._has(partition):  # a stranger's number: Kafka would be waited for
            return None
        consumer, at = self._started, TopicPartition(self._topic, partition)
        async with self._lock:
            consumer.assign([at])
            try:
                async with asyncio.timeout(FETCH_TIMEOUT_S):
                    return await self._scan(consumer, at, offset, matches, most)
            except TimeoutError:
                raise OperatorError(
                    f"{self._topic} partition {partition} gave no record from offset {offset} on within "
                    f"{FETCH_TIMEOUT_S:g} s; see whether all brokers run, then try again"
                ) from None
            finally:
                consumer.pause(at)  # else it would go on fetching

    async def _scan(
        self,
        consumer: AIOKafkaConsumer,
        at: TopicPartition,
        offset: int,
        matches: Callable[[int, Any], bool],
        most: int,
    ) -> tuple[int, R] | None:
        begin, end = (await consumer.beginning_offsets([at]))[at], (await consumer.end_offsets([at]))[at]
        if not begin <= offset < end:
            return None
        consumer.seek(at, offset)
        while await consumer.position(at) < end:
            for messages in (await consumer.getmany(at, timeout_ms=POLL_MS, max_records=most)).values():
                for message in messages:
                    record = self._decoded(message)
                    most -= 1
                    if record is not None and matches(message.offset, record):
                        return message.offset, record
                    if most <= 0:
                        return None
        return None

    def _decoded(self, message: Any) -> R | None:
        try:
            return self._codec.decode(message.value, self._record) if message.value else None
        except (SchemaInvalidError, SchemaUnknownError) as error:
            where = f"{self._topic} partition {message.partition} offset {message.offset}"
            log.warning("%s is no %s: %s", where, self._record.__name__, error)
            return None


class FrameReader(RecordReader[FrameCaptured]):
    """Reads single frames of `frames` (full name)."""

    def __init__(self, bootstrap: str, topic_full_name: str, codec: Codec) -> None:
        super().__init__(bootstrap, topic_full_name, codec, FrameCaptured)


async def committed_by(bootstrap: str, group: str, topic: str) -> dict[int, int]:
    """What a group has committed of `topic` (full name), by partition; partitions without a commit are left out."""
    admin = AIOKafkaAdminClient(**kafka_options(bootstrap))
    try:
        async with reaching(bootstrap):
            await admin.start()
            return await committed_offsets(admin, group, topic)
    finally:
        await admin.close()
