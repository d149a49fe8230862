"""Events that are no frames, and frames in every form that a foreign producer may give them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiokafka import AIOKafkaProducer

from streams.bus.publisher import Compression, Publisher
from streams.bus.registry_client import codec_for
from streams.bus.security import kafka_options
from streams.chaos.fault import Size, fault
from streams.chaos.load import SIDE, pictures
from streams.chaos.stage import Stage
from streams.chaos.stations import StationOnLoad, stations
from streams.topics import FRAMES

EVERY_S = 0.05
UNKNOWN_SCHEMA = b"\x00" + (999_999).to_bytes(4, "big")
HUGE_HEADERS = [(f"h{number}", bytes(16_000)) for number in range(24)]


class ForeignProducer:
    """Sends good frames of stations of its own, and what it makes of them, by a plain Kafka producer."""

    def __init__(self, stage: Stage, producer: AIOKafkaProducer) -> None:
        self._topic = stage.settings.topic_prefix + FRAMES.name
        self._codec = codec_for(stage.settings)
        self._producer = producer
        self._stations = itertools.cycle(stations(stage.settings.partitions, shared=0, prefix="f"))
        self._images = itertools.cycle(pictures(4))

    def frame(self) -> tuple[StationOnLoad, bytes]:
        """The next frame's station and its event."""
        station = next(self._stations)
        return station, self._codec.encode(station.frame(next(self._images), SIDE, datetime.now(UTC)))

    async def send(
        self, value: bytes | None, key: bytes | None, headers: list[tuple[str, bytes]] | None = None
    ) -> None:
        await self._producer.send_and_wait(self._topic, value, key=key, headers=headers or [])

    async def transaction(self, commit: bool, frames: int = 5) -> None:
        """A batch of good frames, committed or aborted."""
        await self._producer.begin_transaction()
        for _ in range(frames):
            station, value = self.frame()
            await self._producer.send(self._topic, value, key=station.key)
        await (self._producer.commit_transaction() if commit else self._producer.abort_transaction())


Form = Callable[[ForeignProducer], Awaitable[None]]


def _made(make: Callable[[bytes], bytes | None], keyed: bool = True, headers: Any = None) -> Form:
    async def send(producer: ForeignProducer) -> None:
        station, value = producer.frame()
        await producer.send(make(value), station.key if keyed else None, headers)

    return send


async def _nothing_at_all(producer: ForeignProducer) -> None:
    await producer.send(None, b"")  # aiokafka sends no record without both


BAD: tuple[Form, ...] = (
    _made(lambda _: b"\x13\x37 no event"),
    _made(lambda _: b""),
    _made(lambda value: UNKNOWN_SCHEMA + value[5:]),
    _made(lambda value: value[: len(value) // 2]),
    _made(lambda value: value + b"trailing"),
    _made(lambda _: None),
    _made(lambda _: b"no event", headers=HUGE_HEADERS),
    _nothing_at_all,
)
GOOD: tuple[Form, ...] = (_made(lambda value: value, headers=HUGE_HEADERS), _made(lambda value: value, keyed=False))


@fault(
    "poison", "garbage, unknown schemas, cut and trailing bytes, nulls, huge headers among the frames", size=Size.QUICK
)
async def poison(stage: Stage) -> None:
    producer = AIOKafkaProducer(**kafka_options(stage.settings.bootstrap), max_request_size=4 << 20)
    await producer.start()
    sent_bad = 0
    try:
        foreign = ForeignProducer(stage, producer)
        for number in range(max(2 * len(BAD + GOOD), int(stage.size.calm_s / EVERY_S))):
            form = (*BAD, *GOOD)[number % len(BAD + GOOD)]
            await form(foreign)
            sent_bad += form in BAD
            await asyncio.sleep(EVERY_S)
    finally:
        await producer.stop()
    stage.cause_ended()
    await stage.until_letters(sent_bad)


@fault("transactions", "transactional producers with committed and aborted batches", size=Size.QUICK)
async def transactions(stage: Stage) -> None:
    producer = AIOKafkaProducer(**kafka_options(stage.settings.bootstrap), transactional_id=stage.settings.topic_prefix)
    await producer.start()
    try:
        foreign = ForeignProducer(stage, producer)
        for number in range(20):
            await foreign.transaction(commit=bool(number % 2))
            await asyncio.sleep(EVERY_S)
    finally:
        await producer.stop()
    stage.cause_ended()
    await stage.until_letters(0)


@fault("compressed", "gzip, snappy, lz4 and zstd batches")
async def compressed(stage: Stage) -> None:
    codecs: tuple[Compression, ...] = ("gzip", "snappy", "lz4", "zstd")
    own, images = stations(stage.settings.partitions, shared=0, prefix="z"), itertools.cycle(pictures())
    for codec in codecs:
        settings = stage.settings
        options: dict[str, Any] = {"compression": codec, "linger_ms": 50}
        async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings), **options) as publisher:
            for station in own * 10:
                frame = station.frame(next(images), SIDE, datetime.now(UTC))
                await publisher.send(FRAMES, frame, key=station.key)
    stage.cause_ended()
    await stage.until_letters(0)
