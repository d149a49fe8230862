"""Publishing, subscribing, the control reader and `tail` on the embedded Kafka."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from schemas import records
from schemas.codec import Codec, CommittedSource
from streams.bus.admin import ensure_topics
from streams.bus.control import ControlReader
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.publisher import Publisher, RecordTooLargeError
from streams.bus.subscriber import Subscription, subscribe, subscribe_events
from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.tail import tail
from streams.topics import DEADLETTERS, DEFECTS, FRAMES, RECIPES, VERDICTS, topic_specs
from tests.contracts.samples import DEAD_LETTER, FRAME, PICTURE, defect, recipe, verdict

CODEC = Codec(CommittedSource())
KEY = b"leipzig/L1/S2"
KEY_PARTITION = 1  # of 4, by the Java client's murmur2
OTHER_KEY = b"leipzig/L1/S3"


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=4)
    await ensure_topics(bootstrap, topic_specs(settings))
    return settings


@pytest.fixture
async def publisher(settings: Settings) -> AsyncIterator[Publisher]:
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        yield publisher


async def publish(publisher: Publisher, *defects: records.DefectDetected, key: bytes = KEY) -> list[int]:
    """The offsets of the defects, once all are confirmed."""
    sent = [await publisher.send(DEFECTS, d, key=key) for d in defects]
    return [delivery.offset for delivery in await asyncio.gather(*sent)]


async def put_raw(settings: Settings, topic: str, *values: bytes | None, partition: int = KEY_PARTITION) -> None:
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap) as producer:
        for value in values:
            await producer.send_and_wait(settings.topic_prefix + topic, value, key=KEY, partition=partition)


async def all_present(settings: Settings, topic: str = "defects", from_: Any = "earliest") -> list[Any]:
    return [e async for e in subscribe_events(topic, from_, settings=settings, follow=False)]


async def until(reached: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not reached():
            await asyncio.sleep(0.02)


def numbers(events: list[Any]) -> list[int]:
    return [event.record.verdict.trigger_seq for event in events]


# --- publisher ------------------------------------------------------------------------------------------------------


async def test_an_event_is_confirmed_with_its_place_and_the_brokers_time(publisher: Publisher) -> None:
    before = datetime.now(UTC) - timedelta(seconds=1)
    delivery = await (await publisher.send(FRAMES, FRAME, key=KEY))
    assert (delivery.partition, delivery.offset) == (KEY_PARTITION, 0)
    assert before.timestamp() * 1000 < delivery.timestamp_ms < datetime.now(UTC).timestamp() * 1000 + 1000
    assert publisher.pending == 0


async def test_what_lies_in_kafka_is_confluent_framing_with_cloudevents_headers(
    publisher: Publisher, settings: Settings
) -> None:
    await (await publisher.send(FRAMES, FRAME, key=KEY))
    async with AIOKafkaConsumer(
        f"{settings.topic_prefix}frames", bootstrap_servers=settings.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        message = await consumer.getone()
    assert (message.key, message.value[:5]) == (KEY, b"\0\0\0\0\1")
    assert CODEC.decode(message.value, records.FrameCaptured) == FRAME
    assert dict(message.headers)["ce_type"] == b"lineside.FrameCaptured"


@pytest.mark.parametrize("key", [None, b"", b"\xff\x00 no text"])
async def test_a_dead_letter_keeps_any_key_and_the_partition_of_its_source(
    publisher: Publisher, settings: Settings, key: bytes | None
) -> None:
    delivery = await (await publisher.send(DEADLETTERS, DEAD_LETTER, key=key, partition=3))
    (event,) = await all_present(settings, "deadletters")
    assert (delivery.partition, event.partition, event.key, event.record) == (3, 3, key, DEAD_LETTER)


async def test_a_frame_at_the_limit_passes_and_one_above_names_both_sizes(
    publisher: Publisher, settings: Settings
) -> None:
    room = FRAMES.max_message_bytes - 1200
    large = dataclasses.replace(FRAME, image=bytes(room))
    await (await publisher.send(FRAMES, large, key=KEY))
    too_large = dataclasses.replace(FRAME, image=bytes(room + 1200))
    with pytest.raises(RecordTooLargeError, match=r"an event of 838\d{4} bytes .* frames, which takes 8388608"):
        await publisher.send(FRAMES, too_large, key=KEY)
    letter = dataclasses.replace(DEAD_LETTER, value=CODEC.encode(large))
    await (await publisher.send(DEADLETTERS, letter, key=KEY, partition=0))
    assert [len(e.record.image) for e in await all_present(settings, "frames")] == [room]
    assert (await all_present(settings, "deadletters"))[0].record == letter


async def test_a_partition_or_topic_that_does_not_exist_is_one_sentence(
    publisher: Publisher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CallerError, match=r"defects has the partitions 0 to 3; came 4"):
        await publisher.send(DEFECTS, defect(1), key=KEY, partition=4)
    with pytest.raises(CallerError, match="needs a key or a partition"):
        await publisher.send(DEFECTS, defect(1), key=None)
    monkeypatch.setattr("streams.bus.publisher.START_TIMEOUT_S", 0.5)
    with pytest.raises(CallerError, match=r"there is no topic '.*none'.*`lineside topics --create`"):
        await publisher.send(dataclasses.replace(DEFECTS, name="none"), defect(1), key=KEY)


async def test_an_event_that_the_broker_refuses_fails_its_delivery(publisher: Publisher) -> None:
    """The table says more than Kafka takes, as after a change by hand: the broker alone refuses."""
    generous = dataclasses.replace(VERDICTS, max_message_bytes=4 << 20)
    delivery = await publisher.send(generous, verdict(1, detail="x" * (2 << 20)), key=KEY)
    with pytest.raises(OperatorError, match="did not take an event: MessageSizeTooLargeError"):
        await delivery


# --- subscriber -----------------------------------------------------------------------------------------------------


async def test_reading_from_the_earliest_gives_every_event_in_order_with_its_metadata(
    publisher: Publisher, settings: Settings
) -> None:
    offsets = await publish(publisher, *map(defect, range(20)))
    events = await all_present(settings)
    assert [event.record for event in events] == [defect(n) for n in range(20)]
    assert [(e.partition, e.offset, e.key) for e in events] == [(KEY_PARTITION, offset, KEY) for offset in offsets]
    assert abs(events[0].timestamp - datetime.now(UTC)) < timedelta(seconds=60)


async def test_plain_records_come_from_subscribe_and_leaving_closes(publisher: Publisher, settings: Settings) -> None:
    await publish(publisher, defect(1), defect(2))
    async with aclosing(subscribe("defects", "earliest", settings=settings)) as defects:
        async for event in defects:
            assert event.verdict.outcome is records.Outcome.NG
            break


async def test_reading_from_the_latest_gives_only_what_comes_later(publisher: Publisher, settings: Settings) -> None:
    await publish(publisher, defect(1))
    subscription: Subscription[records.DefectDetected] = Subscription(DEFECTS, settings=settings)
    async with aclosing(aiter(subscription)) as events:
        later = asyncio.create_task(anext(events))
        await asyncio.wait_for(subscription.caught_up.wait(), 10)
        await publish(publisher, defect(2))
        assert (await asyncio.wait_for(later, 10)).record == defect(2)


async def test_a_start_by_offset_by_partition_and_by_time(publisher: Publisher, settings: Settings) -> None:
    await publish(publisher, *map(defect, range(5)))
    await publish(publisher, defect(50), key=OTHER_KEY)
    events = [event for event in await all_present(settings) if event.key == KEY]
    assert numbers(await all_present(settings, from_={KEY_PARTITION: 3})) == [3, 4]
    assert sorted(numbers(await all_present(settings, from_=4))) == [4]
    assert numbers(await all_present(settings, from_=99)) == []
    assert set(numbers(await all_present(settings, from_=events[-1].timestamp))) >= {4, 50}
    assert numbers(await all_present(settings, from_=datetime.now(UTC) + timedelta(hours=1))) == []


async def test_what_is_no_event_is_skipped_and_counted_and_hinders_nobody(
    publisher: Publisher, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await publish(publisher, defect(1))
    await put_raw(settings, "defects", None, b"", b"garbage", b"\0\0\0\0\x63unknown id", CODEC.encode(FRAME))
    await publish(publisher, defect(2))
    subscription: Subscription[Any] = Subscription(DEFECTS, "earliest", settings=settings, follow=False)
    assert numbers([event async for event in subscription]) == [1, 2]
    assert subscription.skipped == 5
    assert "expected a DefectDetected, came a lineside.FrameCaptured" in caplog.text


async def test_later_copies_of_a_verdict_are_ignored(publisher: Publisher, settings: Settings) -> None:
    for n, outcome in ((1, records.Outcome.NG), (2, records.Outcome.OK), (1, records.Outcome.ERROR)):
        await (await publisher.send(VERDICTS, verdict(n, outcome=outcome), key=KEY))
    subscription: Subscription[Any] = Subscription(VERDICTS, "earliest", settings=settings, follow=False)
    seen = [(event.record.trigger_seq, event.record.outcome) async for event in subscription]
    assert seen == [(1, records.Outcome.NG), (2, records.Outcome.OK)]
    assert subscription.copies == 1


async def test_aborted_transactions_are_not_read_and_do_not_stop_reading_to_the_end(
    publisher: Publisher, settings: Settings
) -> None:
    topic = f"{settings.topic_prefix}defects"
    await publish(publisher, defect(1))
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, transactional_id=settings.topic_prefix) as raw:
        for n, keep in ((2, True), (3, False)):
            await raw.begin_transaction()
            await raw.send_and_wait(topic, CODEC.encode(defect(n)), key=KEY, partition=KEY_PARTITION)
            await (raw.commit_transaction() if keep else raw.abort_transaction())
    assert numbers(await asyncio.wait_for(all_present(settings), 20)) == [1, 2]


async def test_a_partition_added_to_the_topic_is_read_too(
    publisher: Publisher, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.bus.subscriber.METADATA_MAX_AGE_MS", 200)
    await publish(publisher, defect(1))
    async with aclosing(aiter(subscribe_events("defects", "earliest", settings=settings))) as events:
        assert (await asyncio.wait_for(anext(events), 10)).record == defect(1)
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
        await admin.start()
        await admin.create_partitions({f"{settings.topic_prefix}defects": NewPartitions(total_count=5)})
        await admin.close()
        await asyncio.sleep(1.0)  # until every broker thread knows the new partition
        await put_raw(settings, "defects", CODEC.encode(defect(2)), partition=4)
        event = await asyncio.wait_for(anext(events), 20)
        assert (event.record, event.partition, event.offset) == (defect(2), 4, 0)


async def test_an_unreadable_topic_is_one_sentence(bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    nothing = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path)
    with pytest.raises(CallerError, match=r"there is no topic .*defects.*`lineside topics --create`"):
        await all_present(nothing)


# --- groups ---------------------------------------------------------------------------------------------------------


async def take(settings: Settings, count: int, from_: Any = "earliest") -> list[int]:
    """The first `count` events of the group's reading; the last one is left without asking for another."""
    taken: list[Any] = []
    async with aclosing(aiter(subscribe_events("defects", from_, settings=settings, group="rework"))) as events:
        async for event in events:
            taken.append(event)
            if len(taken) == count:
                break
    return numbers(taken)


async def committed(settings: Settings) -> int | None:
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, group_id="probe") as _:
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
        await admin.start()
        offsets = await admin.list_consumer_group_offsets("rework")
        await admin.close()
    at = offsets.get(TopicPartition(f"{settings.topic_prefix}defects", KEY_PARTITION))
    return None if at is None else at.offset


async def test_a_group_goes_on_with_the_event_that_was_not_finished(publisher: Publisher, settings: Settings) -> None:
    """1 and 2 are done because the next was asked for; 3 was handed out and left, so it comes again."""
    await publish(publisher, *map(defect, range(1, 6)))
    assert await asyncio.wait_for(take(settings, 3), 30) == [1, 2, 3]
    assert await committed(settings) == 2
    assert await asyncio.wait_for(take(settings, 3), 30) == [3, 4, 5]


async def test_a_new_groups_start_holds_from_its_first_assignment(publisher: Publisher, settings: Settings) -> None:
    """A group that begins at the latest and reads nothing still gets what comes between its two runs."""
    await publish(publisher, defect(1))
    events = aiter(subscribe_events("defects", "latest", settings=settings, group="rework"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 4)
    await events.aclose()
    await publish(publisher, defect(2))
    assert await asyncio.wait_for(take(settings, 1, "latest"), 30) == [2]


async def test_two_members_share_the_partitions_and_nothing_is_missed(publisher: Publisher, settings: Settings) -> None:
    for n in range(40):
        await (await publisher.send(DEFECTS, defect(n), key=KEY, partition=n % 4))
    seen: set[int] = set()

    async def member() -> None:
        async with aclosing(
            aiter(subscribe_events("defects", "earliest", settings=settings, group="rework"))
        ) as events:
            async for event in events:
                seen.add(event.record.verdict.trigger_seq)  # type: ignore[union-attr]
                await asyncio.sleep(0.02)  # work: the second member joins while the first reads

    members = [asyncio.create_task(member()) for _ in range(2)]
    await until(lambda: len(seen) == 40 or any(m.done() for m in members))
    for m in members:
        m.cancel()
    await asyncio.gather(*members, return_exceptions=True)
    assert seen == set(range(40))


# --- control reader -------------------------------------------------------------------------------------------------


async def test_the_control_reader_gives_everything_before_it_is_caught_up_and_then_goes_on(
    publisher: Publisher, settings: Settings
) -> None:
    for version in (1, 2):
        await (await publisher.send(RECIPES, recipe(version), key=b"leipzig/L1/*"))
    await put_raw(settings, "recipes", b"garbage", partition=0)
    seen: list[int] = []

    def on_record(record: records.Recipe, at: datetime) -> None:
        if record.version == 3:
            raise ValueError("a version that this reader refuses")
        seen.append(record.version)

    async with ControlReader(settings, CODEC, RECIPES, on_record) as reader:
        await asyncio.wait_for(reader.caught_up(), 15)
        assert (seen, reader.bad_values) == ([1, 2], 1)
        for version in (3, 4):
            await (await publisher.send(RECIPES, recipe(version), key=b"leipzig/L1/*"))
        await until(lambda: 4 in seen)
        assert (seen, reader.bad_values) == ([1, 2, 4], 2)


async def test_a_callback_that_breaks_is_not_hidden(publisher: Publisher, settings: Settings) -> None:
    await (await publisher.send(RECIPES, recipe(1), key=b"leipzig/L1/*"))

    def on_record(record: records.Recipe, at: datetime) -> None:
        raise KeyError("a bug")

    reader = ControlReader(settings, CODEC, RECIPES, on_record)
    await reader.start()
    with pytest.raises(KeyError, match="a bug"):
        await asyncio.wait_for(reader.caught_up(), 15)
    with pytest.raises(KeyError, match="a bug"):
        await reader.stop()


async def test_publisher_subscriber_and_control_reader_outlive_a_broker_restart(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    seen: list[int] = []
    with EmbeddedBroker(BrokerConfig(tmp_path / "broker", port=unused_tcp_port)) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=tmp_path, partitions=2)
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        async with (
            Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher,
            ControlReader(settings, CODEC, RECIPES, lambda record, at: seen.append(record.version)) as reader,
        ):
            await (await publisher.send(RECIPES, recipe(1), key=b"leipzig/L1/*"))
            await asyncio.wait_for(reader.caught_up(), 15)
            await asyncio.to_thread(broker.stop)
            delivery = await publisher.send(RECIPES, recipe(2), key=b"leipzig/L1/*")
            await asyncio.to_thread(broker.start)
            await asyncio.wait_for(delivery, 60)
            await until(lambda: seen == [1, 2])


async def test_closing_a_publisher_without_a_broker_does_not_wait_for_ever(tmp_path: Path) -> None:
    with EmbeddedBroker(BrokerConfig(tmp_path / "broker")) as broker:
        settings = Settings(bootstrap_servers=broker.bootstrap_servers, data_dir=tmp_path, partitions=2)
        await ensure_topics(settings.bootstrap, topic_specs(settings))
        publisher = Publisher(settings.bootstrap, settings.topic_prefix, CODEC)
        await publisher.start()
        await (await publisher.send(DEFECTS, defect(1), key=KEY))
        await asyncio.to_thread(broker.stop)
        delivery = await publisher.send(DEFECTS, defect(2), key=KEY)
        with pytest.raises(OperatorError, match="1 events were not confirmed"):
            await publisher.stop(timeout_s=1.0)
        with pytest.raises(OperatorError, match="not confirmed"):
            await delivery


# --- tail -----------------------------------------------------------------------------------------------------------


async def test_tail_writes_json_lines_with_digests_in_place_of_pictures(
    publisher: Publisher, settings: Settings
) -> None:
    await (await publisher.send(FRAMES, FRAME, key=KEY))
    out = io.StringIO()
    assert await tail(settings, "frames", "earliest", True, None, False, out) == 1
    line = json.loads(out.getvalue())
    assert (line["partition"], line["offset"], line["key"]) == (KEY_PARTITION, 0, KEY.decode())
    assert line["record"]["image"] == {"bytes": len(PICTURE), "sha256": FRAME.image_sha256}


async def test_tail_stops_after_the_count(publisher: Publisher, settings: Settings) -> None:
    await publish(publisher, *map(defect, range(5)))
    out = io.StringIO()
    assert await asyncio.wait_for(tail(settings, "defects", "earliest", False, 2, True, out), 20) == 2
    assert out.getvalue().count("scratch 0.938") == 2


@pytest.mark.parametrize("as_json", [True, False])
async def test_a_closed_pipe_ends_tail_quietly(publisher: Publisher, settings: Settings, as_json: bool) -> None:
    """As in `lineside tail defects | head -1`."""
    await publish(publisher, *map(defect, range(5)))
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "w") as out:
        assert await asyncio.wait_for(tail(settings, "defects", "earliest", as_json, None, True, out), 20) == 0
