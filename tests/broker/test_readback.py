"""What a partition of `verdicts` says already, read back from its tail on the real broker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from schemas.records import VerdictIssued
from streams.bus import readback
from streams.bus.publisher import Publisher
from streams.bus.readback import VerdictTail
from streams.inspection.decide import judge
from streams.topics import VERDICTS
from tests.broker.running import prepared
from tests.builders import CODEC, FRAMES_TOPIC, ROLES, frame, recipe, verdict

OK, NG = judge([1, 0, 0], ROLES, recipe()), judge([0, 1, 0], ROLES, recipe())


def made(offset: int) -> VerdictIssued:
    return verdict(frame(offset), OK, offset=offset)


async def test_the_first_verdict_of_every_frame_from_an_offset_on_is_found_whatever_lies_between(
    bootstrap: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 … 199 decided │ a second copy of 150 │ 200-202 committed │ 203-229 aborted │ 300 in an open transaction"""
    monkeypatch.setattr(readback, "BLOCK", 16)
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    topic = settings.topic_prefix + VERDICTS.name
    async with Publisher(bootstrap, topic_prefix, CODEC) as publisher:
        log = [*map(made, range(200)), verdict(frame(150), NG, offset=150)]
        await asyncio.gather(*[await publisher.send(VERDICTS, v, key=b"k", partition=0) for v in log])
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=topic_prefix)
    await producer.start()

    async def transaction(*offsets: int) -> None:
        await producer.begin_transaction()
        for offset in offsets:
            await (await producer.send(topic, CODEC.encode(made(offset)), partition=0))

    await transaction(*range(200, 203))
    await producer.commit_transaction()
    await transaction(*range(203, 230))
    await producer.abort_transaction()
    await transaction(300)
    tail = VerdictTail(bootstrap, topic, CODEC)
    await tail.start()
    try:
        async with asyncio.timeout(30):
            found = await tail.published(0, FRAMES_TOPIC, 120)
            elsewhere = await tail.published(0, "other.frames", 0), await tail.published(1, FRAMES_TOPIC, 0)
            newest = (await tail.published(0, FRAMES_TOPIC, 202)).newest
    finally:
        await tail.stop()
        await producer.abort_transaction()
        await producer.stop()

    assert sorted(offset for offset, _ in found.about) == list(range(120, 203))
    assert found.about[150, made(150).verdict_id] == made(150)
    assert [published.about for published in elsewhere] == [{}, {}]
    assert made(202).verdict_id in newest
