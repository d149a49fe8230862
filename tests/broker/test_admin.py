"""Topics from the table, against the real Kafka."""

import asyncio
import contextlib
import dataclasses
import http.server
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from streams.bus.admin import admin_client, check_topics, ensure_topics, wait_for_broker
from streams.bus.topic_check import partitions_by_topic
from streams.errors import BrokerUnreachableError, CallerError
from streams.settings import Settings
from streams.topics import TopicSpec, topic_specs

METADATA, API_VERSIONS = 3, 18


@pytest.fixture
def table(topic_prefix: str) -> tuple[TopicSpec, ...]:
    return topic_specs(Settings(topic_prefix=topic_prefix, partitions=3))


async def create(bootstrap: str, topic: NewTopic) -> None:
    """Returns when it is there: Kafka answers before every broker knows of it."""
    async with admin_client(bootstrap, 30) as admin:
        answer = await admin.create_topics([topic])
        assert answer.topic_errors[0][1] == 0
        async with asyncio.timeout(30):
            while topic.name not in await partitions_by_topic(admin, [topic.name]):
                await asyncio.sleep(0.02)


async def test_missing_topics_are_created_as_the_table_says(bootstrap: str, table: tuple[TopicSpec, ...]) -> None:
    missing = await check_topics(bootstrap, table)
    assert [(d.topic, d.came) for d in missing] == [(topic.name, "missing") for topic in table]

    await ensure_topics(bootstrap, table)

    assert await check_topics(bootstrap, table) == []


async def test_creating_twice_and_at_the_same_time_is_no_error(bootstrap: str, table: tuple[TopicSpec, ...]) -> None:
    await asyncio.gather(*(ensure_topics(bootstrap, table) for _ in range(4)))
    await ensure_topics(bootstrap, table)
    assert await check_topics(bootstrap, table) == []


async def test_created_topics_take_records_at_once_and_stamp_them_themselves(
    bootstrap: str, table: tuple[TopicSpec, ...]
) -> None:
    await ensure_topics(bootstrap, table)
    before_ms = time.time() * 1000
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, retry_backoff_ms=10_000) as producer:
        sent = await asyncio.wait_for(producer.send_and_wait(table[0].name, b"x", partition=2, timestamp_ms=1), 5)
    assert sent.timestamp_type == 1
    assert before_ms - 1000 < sent.timestamp < time.time() * 1000 + 1000


async def test_another_number_of_partitions_stops_the_start_with_the_fix(bootstrap: str, topic_prefix: str) -> None:
    spec = topic_specs(Settings(topic_prefix=topic_prefix, partitions=3))[0]
    await create(bootstrap, NewTopic(spec.name, 2, 1, topic_configs=spec.config()))

    with pytest.raises(CallerError) as raised:
        await ensure_topics(bootstrap, [spec])

    assert str(raised.value) == (
        f"topic {spec.name}: the number of partitions must be 3, is 2; run `lineside topics --grow 3`, or"
        " set LINESIDE_PARTITIONS=2"
    )


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("retention.ms", "60000"),
        ("retention.bytes", "1000000"),
        ("max.message.bytes", "1000"),
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "compact"),
    ],
)
async def test_another_configuration_stops_the_start_with_the_fix(
    bootstrap: str, topic_prefix: str, name: str, other: str
) -> None:
    spec = topic_specs(Settings(topic_prefix=topic_prefix, partitions=1))[0]
    await create(bootstrap, NewTopic(spec.name, 1, 1, topic_configs={**spec.config(), name: other}))

    [difference] = await check_topics(bootstrap, [spec])
    expected = spec.config()[name]
    assert (difference.what, difference.expected, difference.came) == (name, expected, other)
    assert difference.fix.endswith(f"--alter --topic {spec.name} --add-config {name}={expected}`")
    with pytest.raises(CallerError, match=name):
        await ensure_topics(bootstrap, [spec])


async def test_more_replicas_than_brokers_are_refused_with_both_numbers(bootstrap: str, topic_prefix: str) -> None:
    spec = dataclasses.replace(topic_specs(Settings(topic_prefix=topic_prefix))[0], replication=3)
    with pytest.raises(CallerError, match=r"needs 3 brokers to replicate to, the cluster has 1;.*LINESIDE_REPLICATION"):
        await ensure_topics(bootstrap, [spec])


async def test_a_topic_with_too_few_replicas_is_a_difference(bootstrap: str, topic_prefix: str) -> None:
    spec = topic_specs(Settings(topic_prefix=topic_prefix, partitions=1))[0]
    await ensure_topics(bootstrap, [spec])
    [difference] = await check_topics(bootstrap, [dataclasses.replace(spec, replication=2)])
    assert (difference.what, difference.expected, difference.came) == ("the replication", "at least 2", "1")


async def test_no_topic_comes_into_being_by_reading_it(bootstrap: str, topic_prefix: str) -> None:
    name = f"{topic_prefix}never"
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    described = await admin.describe_topics([name])
    names = await admin.list_topics()
    await admin.close()
    assert [topic["error_code"] for topic in described] == [3]
    assert name not in names


async def test_the_largest_dead_letter_passes_and_a_larger_one_is_refused(
    bootstrap: str, table: tuple[TopicSpec, ...]
) -> None:
    await ensure_topics(bootstrap, table)
    largest = max(table, key=lambda topic: topic.max_message_bytes)
    fits = b"x" * (largest.max_message_bytes - 1024)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=32 << 20) as producer:
        await producer.send_and_wait(largest.name, fits, partition=0)
        with pytest.raises(Exception, match="MessageSizeTooLarge"):
            await producer.send_and_wait(largest.name, b"x" * (largest.max_message_bytes + 1), partition=0)
    async with AIOKafkaConsumer(largest.name, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        record = await asyncio.wait_for(consumer.getone(), 10)
    assert record.value == fits


async def test_transactions_and_groups_work_on_one_node(bootstrap: str, table: tuple[TopicSpec, ...]) -> None:
    await ensure_topics(bootstrap, table)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=table[0].name) as producer:
        with contextlib.suppress(ZeroDivisionError):
            async with producer.transaction():
                await producer.send_and_wait(table[0].name, b"aborted", partition=0)
                raise ZeroDivisionError
        async with producer.transaction():
            await producer.send_and_wait(table[0].name, b"committed", partition=0)
    async with AIOKafkaConsumer(
        table[0].name,
        bootstrap_servers=bootstrap,
        group_id=table[0].name,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 10)
        await consumer.commit()
    assert record.value == b"committed"


async def test_a_broker_that_is_there_gives_its_cluster_id(bootstrap: str) -> None:
    assert len(await wait_for_broker(f"127.0.0.1:1,{bootstrap}")) == 22


@pytest.mark.alone
async def test_no_broker_is_one_clear_sentence_in_time() -> None:
    started_s = time.monotonic()
    with pytest.raises(BrokerUnreachableError) as raised:
        await wait_for_broker("127.0.0.1:1", timeout_s=0.5)
    assert time.monotonic() - started_s < 1.5
    assert str(raised.value) == (
        "no Kafka at 127.0.0.1:1 (nothing answers there within 0.5 s); start one with `lineside broker`, or set"
        " LINESIDE_BOOTSTRAP_SERVERS to where yours is"
    )


@pytest.fixture
def web_server() -> Iterator[str]:
    """Something that listens but is no Kafka."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_another_program_at_the_address_is_named_as_no_kafka(web_server: str) -> None:
    with pytest.raises(BrokerUnreachableError, match="what answers there is no Kafka"):
        await wait_for_broker(web_server, timeout_s=1)


async def test_a_mute_program_at_the_address_is_named_as_no_kafka() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"127.0.0.1:{mute.getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError, match="what answers there is no Kafka"):
            await wait_for_broker(address, timeout_s=0.5)


async def test_a_broker_that_is_half_up_is_waited_for_and_no_connection_stays_open() -> None:
    """It says which requests it knows, as a broker does that starts, and answers none of them."""

    async def half_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.add(writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (size,) = struct.unpack(">i", await reader.readexactly(4))
                api, _, correlation = struct.unpack(">hhi", (await reader.readexactly(size))[:8])
                asked.append(api)
                if api == API_VERSIONS:
                    known = b"".join(struct.pack(">hhh", *api) for api in ((API_VERSIONS, 0, 0), (METADATA, 0, 5)))
                    answer = struct.pack(">ihi", correlation, 0, 2) + known
                    writer.write(struct.pack(">i", len(answer)) + answer)
        writer.close()
        connected.discard(writer)

    asked: list[int] = []
    connected: set[asyncio.StreamWriter] = set()
    async with await asyncio.start_server(half_up, "127.0.0.1", 0) as server:
        address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        with pytest.raises(BrokerUnreachableError, match="not ready yet"):
            await wait_for_broker(address, timeout_s=0.5)
        async with asyncio.timeout(5):
            while connected:
                await asyncio.sleep(0.01)
    assert METADATA in asked


@pytest.mark.parametrize("address", ["", "host:port", ":9092", "127.0.0.1:99999", "127.0.0.1:0"])
async def test_an_address_that_is_none_is_refused_with_what_came(address: str) -> None:
    with pytest.raises(CallerError, match=rf"^'{address}' is no Kafka address; expected host:port"):
        await wait_for_broker(address, timeout_s=1)
