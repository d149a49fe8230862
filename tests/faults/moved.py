"""What people do to a group's offsets and to a topic's beginning, done through Kafka's own protocol."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest

from streams.settings import Settings
from streams.topics import Topic


async def commit(settings: Settings, group: str, topic: Topic, offsets: Mapping[int, int]) -> None:
    """As `kafka-consumer-groups --reset-offsets --execute`: the group must have no member."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap, group_id=settings.topic_prefix + group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        tps = {TopicPartition(settings.topic_prefix + topic.name, p): at for p, at in offsets.items()}
        consumer.assign(list(tps))
        await consumer.commit(tps)
    finally:
        await consumer.stop()


async def forget(settings: Settings, group: str) -> None:
    """Everything that the group has committed, as `kafka-consumer-groups --delete`, or as expiry does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        name = settings.topic_prefix + group
        answer = await admin._send_request(DeleteGroupsRequest([name]), await admin.find_coordinator(name))
        assert [code for _, code in answer.results] == [0], answer
    finally:
        await admin.close()


async def delete_before(settings: Settings, topic: Topic, offsets: Mapping[int, int]) -> None:
    """As `kafka-delete-records`, or as retention does."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        name = settings.topic_prefix + topic.name
        records = {TopicPartition(name, p): RecordsToDelete(before_offset=at) for p, at in offsets.items()}
        await admin.delete_records(records)
    finally:
        await admin.close()
