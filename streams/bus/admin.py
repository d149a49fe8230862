"""Topics as the table says: waits for the broker, creates what is missing, compares what is there.

Place in the flow: every program calls `ensure_topics` (or `check_topics`) before it reads or writes an event. Nothing
here changes or deletes an existing topic: a difference is for a person to judge. Does not know which topics there are;
`streams.topics` says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import math
import socket
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError, KafkaTimeoutError, for_code

from streams.bus.knock import knock
from streams.bus.refusals import not_allowed
from streams.bus.security import kafka_options
from streams.bus.topic_check import Difference, metadata_of, partitions_by_topic, refuse, topic_differences
from streams.errors import BrokerRefusedError, BrokerUnreachableError, CallerError, OperatorError
from streams.topics import TopicSpec

log = logging.getLogger(__name__)
CREATED_OR_EXISTS = (0, 36)
INVALID_REPLICATION_FACTOR = 38
POLL_S = 0.05


async def wait_for_broker(bootstrap: str, timeout_s: float = 10.0) -> str:
    """Waits until a broker answers a metadata request and names itself, and returns its cluster's id.

    Raises BrokerUnreachableError after `timeout_s`, at once its BrokerRefusedError where no broker there will have us,
    CallerError for an address that is none.
    """
    hosts = _hosts(bootstrap)
    reason, until = "nothing answers there", time.monotonic() + timeout_s
    while (left := until - time.monotonic()) > 0:
        refused: BrokerRefusedError | None = None
        for host, port in hosts:
            try:
                if cluster_id := await knock(host, port, bootstrap, left / len(hosts)):
                    return cluster_id
                reason = "what answers there is not ready yet"
            except BrokerRefusedError as error:  # another of the hosts may take us
                refused = error
            except (ConnectionRefusedError, socket.gaierror):
                pass
            except (OSError, KafkaError):  # TimeoutError is one: a host that is switched off must not hide the others
                reason = "what answers there is no Kafka, or not ready yet"
        if refused:
            raise refused
        await asyncio.sleep(POLL_S)
    raise BrokerUnreachableError(
        f"no Kafka at {bootstrap} ({reason} within {timeout_s:g} s); start one with `lineside broker`, or set"
        " LINESIDE_BOOTSTRAP_SERVERS to where yours is"
    )


async def ensure_topics(bootstrap: str, topics: Sequence[TopicSpec], timeout_s: float = 30.0) -> None:
    """Creates the topics that are missing, waits until they take records, then checks all.

    One keyed by station gets as many partitions as the others have, where they have grown past what is configured.
    Raises CallerError with the first difference (topic, expected, came, the fix), and BrokerUnreachableError.
    """
    await wait_for_broker(bootstrap, min(timeout_s, 10.0))
    async with admin_client(bootstrap, timeout_s) as admin:
        existing = await partitions_by_topic(admin, [topic.name for topic in topics])
        if missing := [topic for topic in topics if topic.name not in existing]:
            missing = await _as_grown(admin, missing, [t for t in topics if t.name in existing])
            await _create(admin, missing, timeout_s)
            await _wait_until_served(bootstrap, {t.name: t.partitions for t in missing}, timeout_s)
        differences = await topic_differences(admin, topics)
    refuse(differences)


async def check_topics(bootstrap: str, topics: Sequence[TopicSpec], timeout_s: float = 10.0) -> list[Difference]:
    """Where Kafka's topics are not what the table says; changes nothing."""
    await wait_for_broker(bootstrap, timeout_s)
    async with admin_client(bootstrap, timeout_s) as admin:
        return await topic_differences(admin, topics)


async def require_topics(bootstrap: str, topics: Sequence[TopicSpec], wait_s: float = 10.0) -> None:
    """CallerError with the first difference between Kafka's topics and the table.

    BrokerUnreachableError where Kafka is not there within `wait_s`.
    """
    await wait_for_broker(bootstrap, wait_s)
    refuse(await check_topics(bootstrap, topics))


async def grow_topics(bootstrap: str, topics: Sequence[str], partitions: int, timeout_s: float) -> None:
    """Gives topics (full names) so many partitions and returns when the new ones take records; OperatorError."""
    async with admin_client(bootstrap, timeout_s) as admin:
        described = await partitions_by_topic(admin, list(topics))
        there = {topic: len(partitions) for topic, partitions in described.items()}
        new = {name: NewPartitions(partitions) for name in topics if there[name] < partitions}
        if new:
            try:
                await admin.create_partitions(new, timeout_ms=int(timeout_s * 1000))
            except KafkaError as error:
                raise OperatorError(f"Kafka does not grow {', '.join(new)}: {error}") from error
    await _wait_until_served(bootstrap, dict.fromkeys(new, partitions), timeout_s)


async def partition_counts(bootstrap: str, topics: Sequence[str], timeout_s: float = 10.0) -> dict[str, int]:
    """How many partitions topics (full names) have; 0 for one that is not there. BrokerUnreachableError."""
    await wait_for_broker(bootstrap, timeout_s)
    try:
        async with admin_client(bootstrap, timeout_s) as admin:
            described = await partitions_by_topic(admin, list(topics))
    except (KafkaError, OSError) as error:
        raise BrokerUnreachableError(
            f"Kafka at {bootstrap} answered but then did not ({error!r}); try again"
        ) from error
    return dict.fromkeys(topics, 0) | {topic: len(partitions) for topic, partitions in described.items()}


def _hosts(bootstrap: str) -> list[tuple[str, int]]:
    try:
        hosts = [(str(host), int(port)) for host, port, _family in collect_hosts(bootstrap)]
    except ValueError:
        hosts = []
    if not hosts or not all(host and 0 < port < 65536 for host, port in hosts):
        raise CallerError(
            f"{bootstrap!r} is no Kafka address; expected host:port[,host:port…], as 127.0.0.1:9092, in"
            " LINESIDE_BOOTSTRAP_SERVERS"
        )
    return hosts


@contextlib.asynccontextmanager
async def admin_client(bootstrap: str, timeout_s: float) -> AsyncIterator[Any]:
    """An admin client that is closed in the end; NotAllowedError for what its user may not do in the block."""
    admin = AIOKafkaAdminClient(**kafka_options(bootstrap), request_timeout_ms=math.ceil(timeout_s * 1000))
    try:
        await admin.start()
        yield admin
    except KafkaError as error:
        if refused := not_allowed(error, bootstrap):
            raise refused from error
        raise
    finally:
        await admin.close()


async def _create(admin: Any, topics: Sequence[TopicSpec], timeout_s: float) -> None:
    wanted = [NewTopic(t.name, t.partitions, t.replication, topic_configs=t.config()) for t in topics]
    answer = await admin.create_topics(wanted, timeout_ms=int(timeout_s * 1000))
    replication = {topic.name: topic.replication for topic in topics}
    for name, code, *message in answer.topic_errors:
        if code == INVALID_REPLICATION_FACTOR:
            brokers = len((await metadata_of(admin, []))["brokers"])
            raise CallerError(
                f"topic {name} needs {replication[name]} brokers to replicate to, the cluster has {brokers}; add"
                " brokers, or set LINESIDE_REPLICATION lower"
            )
        if code not in CREATED_OR_EXISTS:  # another program may create the same table at this moment
            detail = (message[0] if message else None) or for_code(code).__name__
            raise CallerError(
                f"Kafka refuses to create the topic {name}: {detail}; let someone with the right create it"
            )


async def _as_grown(admin: Any, missing: Sequence[TopicSpec], there: Sequence[TopicSpec]) -> list[TopicSpec]:
    by_station = [topic.name for topic in there if topic.by_station]
    described = await partitions_by_topic(admin, by_station) if by_station else {}
    most = max(map(len, described.values()), default=0)
    return [
        dataclasses.replace(topic, partitions=max(topic.partitions, most)) if topic.by_station else topic
        for topic in missing
    ]


async def _wait_until_served(bootstrap: str, topics: Mapping[str, int], timeout_s: float) -> None:
    """Asks each partition's leader for its end. Metadata names a leader before that broker takes records."""
    consumer = AIOKafkaConsumer(**kafka_options(bootstrap), request_timeout_ms=int(timeout_s * 1000))
    try:
        await consumer.start()
        await consumer._client.set_topics(list(topics))  # else it learns one after another
        await consumer.end_offsets([TopicPartition(topic, p) for topic, count in topics.items() for p in range(count)])
    except KafkaTimeoutError:
        names = ", ".join(topics)
        raise OperatorError(
            f"new partitions of {names} are not served after {timeout_s:g} s; look whether all brokers run"
        ) from None
    finally:
        await consumer.stop()
