"""The first contact with Kafka: is it there, and which partitions has a topic?

Used by the publisher, the subscriber and the control reader before they start clients of their own. Knows no record.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.protocol.metadata import MetadataRequest

from streams.bus.admin import wait_for_broker
from streams.bus.refusals import not_allowed
from streams.bus.security import kafka_options
from streams.errors import BrokerUnreachableError, CallerError

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
    async with reaching(bootstrap):
        client = AIOKafkaClient(**kafka_options(bootstrap), request_timeout_ms=int(START_TIMEOUT_S * 1000))
        try:
            await client.bootstrap()
            found = (await client.fetch_all_metadata()).partitions_for_topic(topic)
            if not found:
                raise await _why_not_there(client, topic, bootstrap)
        finally:
            await client.close()
    return tuple(sorted(found))


async def _why_not_there(client: AIOKafkaClient, topic: str, bootstrap: str) -> CallerError:
    """Kafka leaves out of its list what a user may not know of; asked by name, it says so."""
    answer = await client.send(client.get_random_node(), MetadataRequest([topic], allow_auto_topic_creation=False))
    hidden = any(entry[0] == TopicAuthorizationFailedError.errno for entry in answer.topics)
    refused = not_allowed(TopicAuthorizationFailedError(topic), bootstrap) if hidden else None
    return refused or topic_missing(topic, bootstrap)


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


async def start_consumer(consumer: AIOKafkaConsumer, bootstrap: str) -> None:
    """Starts a consumer, or leaves nothing of it; BrokerUnreachableError where Kafka goes away meanwhile."""
    try:
        async with reaching(bootstrap):
            await consumer.start()
            await asyncio.sleep(0)  # its tasks begin: one that is stopped before they did raises CancelledError
    except BaseException:
        await consumer.stop()
        raise


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Closes a consumer. aiokafka's fetcher may swallow the first cancellation and wait for ever: it gets two."""
    try:
        async with asyncio.timeout(STOP_S):
            await consumer.stop()
    except TimeoutError:
        await consumer._client.close()  # where the second came before aiokafka's own closing of its connections
