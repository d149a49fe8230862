"""Where a topic's partitions end and what a group has committed: for reports, tests and the fault suite."""

from __future__ import annotations

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    NotCoordinatorForGroupError,
)

from streams.bus.connect import acquaint, partitions_of, reaching
from streams.bus.security import kafka_options

COORDINATOR_TIMEOUT_S = 20.0
YOUNG = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
"""What a young broker answers while it makes its topic of offsets."""


async def end_offsets(bootstrap: str, topic: str) -> dict[int, int]:
    """The offset behind the last readable record of every partition of `topic` (full name)."""
    tps = [TopicPartition(topic, partition) for partition in await partitions_of(bootstrap, topic)]
    consumer = AIOKafkaConsumer(**kafka_options(bootstrap), isolation_level="read_committed", enable_auto_commit=False)
    try:
        async with reaching(bootstrap):
            await consumer.start()
            await acquaint(consumer, topic)
            return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
    finally:
        await consumer.stop()


async def committed_offsets(admin: AIOKafkaAdminClient, group: str, topic: str) -> dict[int, int]:
    """What `group` has committed of `topic` (full name), by partition; partitions without a commit are left out."""
    async with asyncio.timeout(COORDINATOR_TIMEOUT_S):
        while True:
            try:
                found = await admin.list_consumer_group_offsets(group)
                break
            except YOUNG:
                await asyncio.sleep(0.1)
    return {tp.partition: at.offset for tp, at in found.items() if tp.topic == topic and at.offset >= 0}
