"""Consumer groups as Kafka knows them: who is a member, what is committed, what is left to read.

For programs that wait for others to be done. Asks, and changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocol

from streams.bus.connect import log_reader, partitions_of, reaching, start_consumer, stop_consumer
from streams.bus.offsets import COORDINATOR_TIMEOUT_S, YOUNG, committed_offsets
from streams.bus.security import kafka_options

PEEK_MS = 500
RETRY_S = 0.1
FEW = 64  # offsets; so many at the end of a partition may be marks of transactions and no records


@dataclass(frozen=True, slots=True)
class Member:
    """One of a group: the name that it gave, and the partitions that it was given, by topic (full name)."""

    name: str
    partitions: Mapping[str, frozenset[int]]


class Groups:
    """Use it as an async context manager."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._admin = AIOKafkaAdminClient(**kafka_options(bootstrap))
        self._consumer: AIOKafkaConsumer = log_reader(bootstrap)

    async def __aenter__(self) -> Self:
        """Connects; BrokerUnreachableError."""
        try:
            async with reaching(self._bootstrap):
                await self._admin.start()
            await start_consumer(self._consumer, self._bootstrap)
        except BaseException:
            await self._admin.close()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await stop_consumer(self._consumer)
        await self._admin.close()

    async def members(self, group: str) -> list[Member]:
        """Who is in a group now; a member that died is in it until its session ends."""
        async with reaching(self._bootstrap), asyncio.timeout(COORDINATOR_TIMEOUT_S):
            while True:
                with contextlib.suppress(*YOUNG):
                    [answer] = await self._admin.describe_consumer_groups([group])
                    [(code, _group, _state, _kind, _protocol, members, *_)] = answer.groups
                    if not code:
                        break
                await asyncio.sleep(RETRY_S)
        return [Member(name, _assigned(assignment)) for _id, name, _host, _metadata, assignment in members]

    async def ends(self, topic: str) -> dict[int, int]:
        """The offset behind the last readable record of every partition of a topic (full name)."""
        tps = [TopicPartition(topic, partition) for partition in await partitions_of(self._bootstrap, topic)]
        async with reaching(self._bootstrap):
            return {tp.partition: end for tp, end in (await self._consumer.end_offsets(tps)).items()}

    async def left(self, group: str, topic: str) -> dict[int, int]:
        """How many offsets a group has not committed, by partition; partitions with none are left out."""
        ends = await self.ends(topic)
        tps = {partition: TopicPartition(topic, partition) for partition in ends}
        async with reaching(self._bootstrap):
            committed = await committed_offsets(self._admin, group, topic)
            begins = await self._consumer.beginning_offsets(list(tps.values()))
        left = {}
        for partition, end in ends.items():
            low = max(committed.get(partition, 0), begins[tps[partition]])
            if low < end and (end - low > FEW or await self._has_records(tps[partition], low, end)):
                left[partition] = end - low
        return left

    async def _has_records(self, tp: TopicPartition, low: int, high: int) -> bool:
        """Whether there is a record at offsets `low` to `high` (exclusive), and not marks of transactions alone."""
        self._consumer.assign([tp])
        self._consumer.seek(tp, low)
        try:
            async with reaching(self._bootstrap):
                while await self._consumer.position(tp) < high:
                    found = await self._consumer.getmany(tp, timeout_ms=PEEK_MS, max_records=1)
                    if any(message.offset < high for messages in found.values() for message in messages):
                        return True
            return False
        finally:
            self._consumer.pause(tp)


def _assigned(assignment: bytes) -> dict[str, frozenset[int]]:
    if not assignment:
        return {}
    found = ConsumerProtocol.ASSIGNMENT.decode(assignment)
    return {topic: frozenset(partitions) for topic, partitions in found.assignment}
