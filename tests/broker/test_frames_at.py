"""Single records read again by where or when they lay, on the real broker."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiokafka import AIOKafkaProducer

from schemas.records import VerdictIssued
from streams.bus.frames_at import FrameReader, RecordReader
from streams.bus.publisher import Publisher
from streams.inspection.decide import judge
from streams.topics import FRAMES, VERDICTS
from tests.broker.running import prepared
from tests.builders import CODEC, ROLES, frame, recipe, verdict

NOBODY = datetime(2000, 1, 1, tzinfo=UTC)


async def test_a_frame_is_found_where_it_lay_and_nothing_else_is_taken_for_it(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    """0-19 frames │ 20 no frame │ 21 an aborted frame │ 22 its marker │ 23 a frame"""
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    topic = settings.topic_prefix + FRAMES.name
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        await asyncio.gather(*[await publisher.send(FRAMES, frame(n), key=b"k", partition=1) for n in range(20)])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic_prefix)
    await producer.start()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, b"no frame", partition=1)
    await producer.commit_transaction()
    await producer.begin_transaction()
    await producer.send_and_wait(topic, CODEC.encode(frame(21)), partition=1)
    await producer.abort_transaction()
    await producer.stop()
    async with asyncio.timeout(60), FrameReader(bootstrap, topic, CODEC) as reader:
        assert [await reader.fetch(1, n) for n in (3, 19, 0)] == [frame(3), frame(19), frame(0)]
        assert await asyncio.gather(*(reader.fetch(1, n) for n in range(20))) == [frame(n) for n in range(20)]
        for partition, offset in ((1, 20), (1, 22), (1, 23), (1, 99), (1, -1), (0, 0)):
            assert await reader.fetch(partition, offset) is None, (partition, offset)
        assert await reader.offsets_at(NOBODY) == dict.fromkeys(range(4), 0)
        ends = await reader.offsets_at(datetime.now(UTC) + timedelta(hours=1))
        assert ends == await reader.ends()
        assert ends[1] >= 22


async def test_a_partition_that_is_not_there_is_not_waited_for(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    async with FrameReader(bootstrap, settings.topic_prefix + FRAMES.name, CODEC) as frames, asyncio.timeout(10):
        assert await frames.fetch(999, 0) is None
        assert await frames.fetch(-1, 0) is None


async def test_the_first_record_that_matches_is_found_among_so_many_after_a_time(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    judgement = judge([1, 0, 0], ROLES, recipe())
    verdicts = [verdict(frame(n), judgement, offset=n) for n in range(30)]
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        await asyncio.gather(*[await publisher.send(VERDICTS, v, key=b"k", partition=2) for v in verdicts])
    name = settings.topic_prefix + VERDICTS.name
    async with asyncio.timeout(60), RecordReader(bootstrap, name, CODEC, VerdictIssued) as reader:
        wanted = verdicts[17].verdict_id
        assert await reader.find(2, NOBODY, lambda v: v.verdict_id == wanted, 100) == verdicts[17]
        assert await reader.find(2, NOBODY, lambda v: v.verdict_id == wanted, 17) is None
        assert await reader.find(3, NOBODY, lambda v: True, 100) is None
        assert await reader.find(2, datetime.now(UTC) + timedelta(hours=1), lambda v: True, 100) is None
