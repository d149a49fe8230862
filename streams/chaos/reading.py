"""Fills the ledger from Kafka: reads the topics on from where it stopped, and samples what the group has committed.

Both live through a broker that stops, and go on when it is back. Knows nothing of faults and judges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from schemas.codec import Codec, CommittedSource, SchemaInvalidError, SchemaUnknownError
from schemas.records import DeadLetter, DefectDetected, FrameCaptured, PartDecided, VerdictIssued
from streams.bus.connect import log_reader, start_consumer, stop_consumer
from streams.bus.offsets import committed_offsets
from streams.bus.security import kafka_options
from streams.chaos.ledger import Results, Sample
from streams.errors import BrokerUnreachableError
from streams.settings import Settings
from streams.topics import DEADLETTERS, DEFECTS, FRAMES, PARTS, TOPICS, VERDICTS, Topic

OUTAGE = (KafkaError, BrokerUnreachableError, OSError, TimeoutError)
REQUEST_TIMEOUT_MS = 5_000
RETRY_S = 0.2
SILENCE_S = 5.0  # nothing comes for this long although there should be more: an open transaction

Take = Callable[[Any], None]
"""Gets a record as aiokafka has it: partition, offset, timestamp (milliseconds), key, value."""


class LogReader:
    """Reads several topics on, each time to the end that they have then; committed records alone."""

    def __init__(self, settings: Settings, takes: Mapping[Topic, Take]) -> None:
        self._settings = settings
        self._takes = {settings.topic_prefix + topic.name: take for topic, take in takes.items()}
        self._next: dict[TopicPartition, int] = {}
        self.partitions = settings.partitions  # of every topic keyed by station

    async def read_on(self) -> None:
        """Hand over everything that is new. Raises one of OUTAGE where Kafka is away."""
        consumer = log_reader(self._settings.bootstrap, request_timeout_ms=REQUEST_TIMEOUT_MS)
        await start_consumer(consumer, self._settings.bootstrap)
        try:
            await self._read(consumer)
        finally:
            await stop_consumer(consumer)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = {t.name: self.partitions if t.by_station else 1 for t in TOPICS.values()}
        short = {name: name.removeprefix(self._settings.topic_prefix) for name in self._takes}
        tps = [TopicPartition(name, p) for name in self._takes for p in range(partitions[short[name]])]
        ends = await consumer.end_offsets(tps)
        consumer.assign(tps)
        for tp in tps:
            consumer.seek(tp, self._next.get(tp, 0))
        heard = time.monotonic()
        while any([await consumer.position(tp) < ends[tp] for tp in tps]) and time.monotonic() - heard < SILENCE_S:
            for tp, messages in (await consumer.getmany(timeout_ms=200)).items():
                heard = time.monotonic()
                for message in messages:
                    self._takes[tp.topic](message)
                self._next[tp] = await consumer.position(tp)


class LedgerReader:
    """Keeps a `Results` up to date with the topics."""

    def __init__(self, settings: Settings, topics: tuple[Topic, ...] = (FRAMES, VERDICTS, DEADLETTERS)) -> None:
        self.results = Results()
        self._codec = Codec(CommittedSource())
        takes = {
            FRAMES: self._frame,
            VERDICTS: self._verdict,
            DEADLETTERS: self._letter,
            DEFECTS: self._defect,
            PARTS: self._part,
        }
        self._reader = LogReader(settings, {topic: takes[topic] for topic in topics})

    @property
    def partitions(self) -> int:
        """How many of each topic keyed by station are read."""
        return self._reader.partitions

    @partitions.setter
    def partitions(self, count: int) -> None:
        self._reader.partitions = count

    async def read_on(self) -> Results:
        await self._reader.read_on()
        return self.results

    def _frame(self, message: Any) -> None:
        frame_id = None
        with contextlib.suppress(SchemaInvalidError, SchemaUnknownError):
            frame_id = self._codec.decode(message.value, FrameCaptured).frame_id if message.value else None
        self.results.frames[message.partition][message.offset] = frame_id
        self.results.frame_ms[message.partition][message.offset] = message.timestamp

    def _verdict(self, message: Any) -> None:
        verdict = self._codec.decode(message.value, VerdictIssued)
        self.results.verdicts[message.partition].append((message.offset, verdict))
        self.results.saw_result(message.partition, verdict.source_offset, message.timestamp)

    def _letter(self, message: Any) -> None:
        letter = self._codec.decode(message.value, DeadLetter)
        self.results.letters[message.partition].append((message.offset, letter))
        self.results.saw_result(message.partition, letter.source_offset, message.timestamp)

    def _defect(self, message: Any) -> None:
        defect = self._codec.decode(message.value, DefectDetected)
        self.results.defects[message.partition].append((message.offset, defect))

    def _part(self, message: Any) -> None:
        part = self._codec.decode(message.value, PartDecided)
        self.results.parts[message.partition].append((message.offset, part))


async def results(settings: Settings) -> Results:
    """All verdicts and dead letters that there are now."""
    return await LedgerReader(settings, (VERDICTS, DEADLETTERS)).read_on()


async def read_all(settings: Settings, topic: Topic, take: Callable[[int, int, bytes], None]) -> None:
    """Every record of a topic from its beginning to its present end: partition, offset, value."""
    reader = LogReader(settings, {topic: lambda message: take(message.partition, message.offset, message.value)})
    await reader.read_on()


async def sample_commits(
    settings: Settings, group: str, samples: list[Sample], stop: asyncio.Event, every_s: float = 0.075
) -> None:
    """Append a sample every `every_s` seconds until `stop`; none while Kafka is away."""
    while not stop.is_set():
        with contextlib.suppress(*OUTAGE):
            await _sample_while_there(settings, group, samples, stop, every_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RETRY_S):
                await stop.wait()


async def _sample_while_there(
    settings: Settings, group: str, samples: list[Sample], stop: asyncio.Event, every_s: float
) -> None:
    admin = AIOKafkaAdminClient(**kafka_options(settings.bootstrap), request_timeout_ms=REQUEST_TIMEOUT_MS)
    consumer = AIOKafkaConsumer(
        **kafka_options(settings.bootstrap), enable_auto_commit=False, request_timeout_ms=REQUEST_TIMEOUT_MS
    )
    names = {topic: settings.topic_prefix + topic.name for topic in (VERDICTS, DEADLETTERS)}
    try:
        await admin.start()
        await consumer.start()
        while not stop.is_set():
            started = time.monotonic()
            committed = await committed_offsets(admin, group, settings.topic_prefix + FRAMES.name)
            partitions = range(max([settings.partitions, *(p + 1 for p in committed)]))  # topics may grow meanwhile
            ends = await consumer.end_offsets([TopicPartition(name, p) for name in names.values() for p in partitions])
            samples.append(
                Sample(
                    committed,
                    {p: ends[TopicPartition(names[VERDICTS], p)] for p in partitions},
                    {p: ends[TopicPartition(names[DEADLETTERS], p)] for p in partitions},
                )
            )
            await asyncio.sleep(max(0.0, every_s - (time.monotonic() - started)))
    finally:
        await stop_consumer(consumer)
        await admin.close()
