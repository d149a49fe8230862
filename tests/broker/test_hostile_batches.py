"""Batches that no well-meaning producer sends, through a real broker: readers get past them and lose nothing behind."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from streams.bus.admin import ensure_topics
from streams.bus.batches import INFLATED_MAX_BYTES
from streams.bus.publisher import Publisher
from streams.bus.subscriber import subscribe_events
from streams.settings import Settings
from streams.topics import FRAMES, topic_specs
from tests.builders import CODEC, frame

KEY, PARTITION = b"p1/l1/s1", 0
ZSTD = 4
CRC_AT, CHECKED_FROM = 17, 21  # of a batch, format 2


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=1)
    await ensure_topics(bootstrap, topic_specs(settings))
    return settings


async def put_batch(settings: Settings, batch: bytes) -> None:
    """A batch as it is, its checksum made right."""
    data = bytearray(batch)
    struct.pack_into(">I", data, CRC_AT, calc_crc32c(bytes(data[CHECKED_FROM:])))
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap, max_request_size=16 << 20) as producer:
        builder = producer.create_batch()
        builder.append(timestamp=None, key=None, value=b"", headers=[])
        builder.close()
        builder._build()
        builder._buffer = data
        await (await producer.send_batch(builder, settings.topic_prefix + FRAMES.name, partition=PARTITION))


def batch_of(value: bytes, codec: int = 0) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    assert builder.append(0, timestamp=1, key=KEY, value=value, headers=[("zz", b"1")])
    return bytes(builder.build())


async def put_frame(settings: Settings, number: int) -> None:
    async with Publisher(settings.bootstrap, settings.topic_prefix, CODEC) as publisher:
        await (await publisher.send(FRAMES, frame(number), key=KEY, partition=PARTITION))


async def test_readers_get_past_a_header_that_is_no_text_and_a_batch_that_would_fill_the_memory(
    settings: Settings,
) -> None:
    await put_frame(settings, 1)
    await put_batch(settings, batch_of(CODEC.encode(frame(2))).replace(b"zz", b"\xff\xfe"))
    bomb = batch_of(bytes(2 * INFLATED_MAX_BYTES), ZSTD)
    assert len(bomb) < FRAMES.max_message_bytes
    await put_batch(settings, bomb)
    await put_frame(settings, 4)
    subscription = subscribe_events("frames", "earliest", settings=settings, follow=False)
    found = [(event.offset, event.record.trigger_seq) async for event in subscription]  # type: ignore[attr-defined]
    assert found == [(0, 1), (3, 4)]
    assert subscription.skipped == 2
