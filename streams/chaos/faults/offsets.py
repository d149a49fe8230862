"""What people do to a group's offsets and to the log: moved to the end, to the beginning, deleted below them."""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from streams.bus.security import kafka_options
from streams.chaos.fault import fault
from streams.chaos.stage import Stage
from streams.topics import FRAMES


def frames_of(stage: Stage) -> list[TopicPartition]:
    name = stage.settings.topic_prefix + FRAMES.name
    return [TopicPartition(name, p) for p in range(stage.settings.partitions)]


async def commit_as_the_group(stage: Stage, to_the_end: bool) -> None:
    """What `kafka-consumer-groups --reset-offsets` does, to the end or to the beginning."""
    group = f"{stage.settings.topic_prefix}inspection"
    consumer = AIOKafkaConsumer(**kafka_options(stage.settings.bootstrap), group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(frames_of(stage))
        ends = await consumer.end_offsets(frames_of(stage))
        await consumer.commit(ends if to_the_end else dict.fromkeys(ends, 0))
    finally:
        await consumer.stop()


async def without_workers(stage: Stage, to_the_end: bool) -> None:
    """All workers stop, frames gather, the group's offsets are moved, workers come back."""
    count = len(stage.workers)
    for worker in list(stage.workers):
        await stage.remove_worker(worker)
    await stage.load_on()
    await commit_as_the_group(stage, to_the_end)
    for _ in range(count):
        await stage.add_worker()
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()


@fault("group-latest", "the group is reset to latest past frames that nobody has inspected", promise_1=False)
async def group_latest(stage: Stage) -> None:
    await without_workers(stage, to_the_end=True)


@fault("group-earliest", "the group is reset to earliest: every frame comes again, none is decided again", duplicates=0)
async def group_earliest(stage: Stage) -> None:
    await without_workers(stage, to_the_end=False)


@fault("records-deleted", "records are deleted below the committed offsets while all runs")
async def records_deleted(stage: Stage) -> None:
    admin = AIOKafkaAdminClient(**kafka_options(stage.settings.bootstrap))
    await admin.start()
    try:
        group = f"{stage.settings.topic_prefix}inspection"
        committed = await admin.list_consumer_group_offsets(group)
        below = {
            tp: RecordsToDelete(at.offset) for tp, at in committed.items() if tp in frames_of(stage) and at.offset > 0
        }
        await stage.read()  # what is deleted next can't be read afterwards
        await admin.delete_records(below)
    finally:
        await admin.close()
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()
