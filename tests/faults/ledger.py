"""Reads the truth about a run from Kafka alone: what was captured, decided, dead-lettered and committed, and when."""

from __future__ import annotations

import asyncio
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.codec import Codec, CommittedSource
from schemas.records import DeadLetter, VerdictIssued
from streams.bus.connect import FETCH_WAIT_MS
from streams.bus.offsets import committed_offsets, end_offsets
from streams.settings import Settings
from streams.topics import DEADLETTERS, FRAMES, VERDICTS, Topic


@dataclass(frozen=True, slots=True)
class Sample:
    """What the group had committed at one moment, and where the result topics ended just after it was asked."""

    committed: dict[int, int]
    verdict_ends: dict[int, int]
    deadletter_ends: dict[int, int]


@dataclass
class Results:
    """Everything on `verdicts` and `deadletters`, in log order, by partition: (log offset, record)."""

    verdicts: dict[int, list[tuple[int, VerdictIssued]]] = field(default_factory=lambda: defaultdict(list))
    letters: dict[int, list[tuple[int, DeadLetter]]] = field(default_factory=lambda: defaultdict(list))

    @property
    def ids(self) -> set[str]:
        return {str(v.verdict_id) for log in self.verdicts.values() for _, v in log}

    def copies(self) -> dict[str, list[VerdictIssued]]:
        """Verdicts of every id that stands on the topic more than once, first one first."""
        by_id: dict[str, list[VerdictIssued]] = defaultdict(list)
        for log in self.verdicts.values():
            for _, verdict in log:
                by_id[str(verdict.verdict_id)].append(verdict)
        return {key: found for key, found in by_id.items() if len(found) > 1}

    def contradictions(self) -> list[str]:
        """Ids whose copies do not all say what the first one says."""
        return [key for key, found in self.copies().items() if len({(v.outcome, v.reason) for v in found}) > 1]

    def order_breaks(self) -> int:
        """Effective verdicts of a station whose trigger or source offset does not grow."""
        breaks, seen = 0, set()
        for log in self.verdicts.values():
            newest: dict[tuple[str, str, str], int] = {}
            for _, verdict in log:
                if verdict.verdict_id in seen:
                    continue
                seen.add(verdict.verdict_id)
                station = (verdict.plant, verdict.line, verdict.station)
                breaks += verdict.source_offset <= newest.get(station, -1)
                newest[station] = verdict.source_offset
        return breaks

    def uncovered(self, samples: list[Sample]) -> list[tuple[int, int]]:
        """(partition, offset) below what a sample saw committed that had no readable result at that moment.

        Ends and commits only grow, so each offset is judged at the first sample that has it below the committed one.
        """
        missing = []
        for partition in {p for sample in samples for p in sample.committed}:
            verdict_at = _first_at((v.source_offset, at) for at, v in self.verdicts[partition])
            letter_at = _first_at((d.source_offset, at) for at, d in self.letters[partition])
            judged = 0
            for sample in samples:
                committed = sample.committed.get(partition, 0)
                for offset in range(judged, committed):
                    decided = verdict_at.get(offset, math.inf) < sample.verdict_ends[partition]
                    refused = letter_at.get(offset, math.inf) < sample.deadletter_ends[partition]
                    if not decided and not refused:
                        missing.append((partition, offset))
                judged = max(judged, committed)
        return missing


def _first_at(pairs: Iterable[tuple[int, int]]) -> dict[int, int]:
    """The earliest place in the log of the result for each frame offset."""
    first: dict[int, int] = {}
    for source_offset, at in pairs:
        first[source_offset] = min(at, first.get(source_offset, at))
    return first


async def sample_commits(
    settings: Settings, group: str, samples: list[Sample], stop: asyncio.Event, every_s: float = 0.075
) -> None:
    """Append a sample every `every_s` seconds until `stop`."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    names = {topic: settings.topic_prefix + topic.name for topic in (VERDICTS, DEADLETTERS)}
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap, enable_auto_commit=False)
    await admin.start()
    await consumer.start()
    partitions = range(settings.partitions)
    try:
        while not stop.is_set():
            started = time.monotonic()
            committed = await committed_offsets(admin, group, settings.topic_prefix + FRAMES.name)
            tps = [TopicPartition(name, p) for name in names.values() for p in partitions]
            ends = await consumer.end_offsets(tps)
            samples.append(
                Sample(
                    committed,
                    {p: ends[TopicPartition(names[VERDICTS], p)] for p in partitions},
                    {p: ends[TopicPartition(names[DEADLETTERS], p)] for p in partitions},
                )
            )
            await asyncio.sleep(max(0.0, every_s - (time.monotonic() - started)))
    finally:
        await consumer.stop()
        await admin.close()


async def read_all(settings: Settings, topic: Topic, take: Callable[[int, int, bytes], None]) -> None:
    """Every record of a topic from its beginning to its present end: partition, offset, value."""
    name = settings.topic_prefix + topic.name
    ends = await end_offsets(settings.bootstrap, name)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.bootstrap,
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=FETCH_WAIT_MS,
    )
    await consumer.start()
    try:
        tps = [TopicPartition(name, p) for p in ends]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        while any([await consumer.position(tp) < ends[tp.partition] for tp in tps]):
            for tp, messages in (await consumer.getmany(timeout_ms=200)).items():
                for message in messages:
                    take(tp.partition, message.offset, message.value)
    finally:
        await consumer.stop()


async def results(settings: Settings) -> Results:
    """All verdicts and dead letters."""
    codec, found = Codec(CommittedSource()), Results()

    def verdict(partition: int, offset: int, value: bytes) -> None:
        found.verdicts[partition].append((offset, codec.decode(value, VerdictIssued)))

    def letter(partition: int, offset: int, value: bytes) -> None:
        found.letters[partition].append((offset, codec.decode(value, DeadLetter)))

    await read_all(settings, VERDICTS, verdict)
    await read_all(settings, DEADLETTERS, letter)
    return found
