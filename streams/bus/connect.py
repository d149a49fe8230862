"""The first contact with Kafka: is it there, and which partitions has a topic?

Used by the publisher, the subscriber and the control reader before they start clients of their own. Knows no record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError

from streams.bus.admin import admin_client, wait_for_broker
from streams.bus.batches import harden
from streams.bus.quiet import leave_out_what_is_raised, quieten
from streams.bus.refusals import not_allowed
from streams.bus.security import kafka_options
from streams.bus.topic_check import metadata_of
from streams.errors import BrokerUnreachableError, CallerError

harden()
quieten()
leave_out_what_is_raised()

ANSWER_TIMEOUT_S = 5.0
START_TIMEOUT_S = 15.0
STOP_S = 5.0
GATHER_MAX_BYTES = 1 << 20
FETCH_WAIT_MS = 20  # who reads the next partition waits for the last fetch of the one before


@asynccontextmanager
async def reaching(bootstrap: str) -> AsyncIterator[None]:
    """A block in which clients start: BrokerUnreachableError where Kafka, asked just before, goes away meanwhile.

    NotAllowedError where Kafka does not let this user do what the block tries.
    """
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        if refused := not_allowed(error, bootstrap):
            raise refused from error
        why = f"{type(error).__name__} {error}".strip()
        raise BrokerUnreachableError(f"Kafka at {bootstrap} answered but then did not ({why}); try again") from error


async def partitions_of(bootstrap: str, topic: str) -> tuple[int, ...]:
    """Partition numbers of a topic (full name), ascending. BrokerUnreachableError, or CallerError for no such topic."""
    await wait_for_broker(bootstrap, ANSWER_TIMEOUT_S)
    async with reaching(bootstrap), admin_client(bootstrap, START_TIMEOUT_S) as admin:
        (found,) = (await metadata_of(admin, [topic]))["topics"]
        if found["error_code"] == TopicAuthorizationFailedError.errno:
            raise TopicAuthorizationFailedError(topic)
    if not found["partitions"]:
        raise topic_missing(topic, bootstrap)
    return tuple(sorted(partition["partition"] for partition in found["partitions"]))


def topic_missing(topic: str, bootstrap: str) -> CallerError:
    return CallerError(f"there is no topic {topic!r} on {bootstrap}; create the topics with `lineside topics --create`")


def log_reader(bootstrap: str, **options: Any) -> AIOKafkaConsumer:
    """A consumer that follows no group: it is told where to read committed records, and its waits are short."""
    return AIOKafkaConsumer(
        **kafka_options(bootstrap),
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        fetch_max_wait_ms=FETCH_WAIT_MS,
        **options,
    )


def gathering(gather_ms: int) -> dict[str, int]:
    """Options of a consumer that lets the broker hold an answer for up to `gather_ms`, until there is much to tell.

    Without it every record is a fetch of its own where they come one by one. None for 0.
    """
    return {"fetch_min_bytes": GATHER_MAX_BYTES, "fetch_max_wait_ms": gather_ms} if gather_ms else {}


async def start_consumer(consumer: AIOKafkaConsumer, bootstrap: str, *topics: str) -> None:
    """Starts a consumer, or leaves nothing of it; BrokerUnreachableError where Kafka goes away meanwhile.

    `topics` (full names) are those it will be asked about first.
    """
    try:
        async with reaching(bootstrap):
            await consumer.start()
            await asyncio.sleep(0)  # its tasks begin: one that is stopped before they did raises CancelledError
            if topics:
                await acquaint(consumer, *topics)
    except BaseException:
        await consumer.stop()
        raise


async def acquaint(consumer: AIOKafkaConsumer, *topics: str) -> None:
    """Tells a consumer of topics (full names) before it is asked for their offsets.

    aiokafka finds each topic that it does not know only after a failed question and a pause of 0.1 s.
    """
    await consumer._client.set_topics(topics)


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Closes a consumer. aiokafka's fetcher may swallow the first cancellation and wait for ever: it gets two."""
    try:
        async with asyncio.timeout(STOP_S):
            await consumer.stop()
    except TimeoutError:
        await consumer._client.close()  # where the second came before aiokafka's own closing of its connections
