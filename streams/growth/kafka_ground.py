"""Growth's questions and changes put to Kafka: counts, groups, signals, keys. Decides nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime

from schemas.records import GateSignal
from streams.bus.admin import grow_topics, partition_counts
from streams.bus.groups import Groups
from streams.bus.publisher import Publisher
from streams.bus.spans import Raw, Reading, Span, read_offsets, read_span
from streams.downstream.audit.log import AuditLog
from streams.pausing import GROUP
from streams.settings import Settings
from streams.topics import GATES, PARTS, VERDICTS, frames_of, frames_topics, inspection_group, topic_specs

GROW_TIMEOUT_S = 30.0
BEFORE_MS = 600_000  # the first frame in a new partition: a producer's old metadata live for five
KEYS_FROM = 2_000  # frames of each new partition whose keys are looked at

READERS = {"parts": (VERDICTS,), "statistics": (VERDICTS, PARTS)}
"""Whose events of a key must be done before the key moves, beside those of workers: group and what it reads."""


class KafkaGround:
    """Implements `Ground` and the gateways' `Line`."""

    def __init__(self, settings: Settings, publisher: Publisher, groups: Groups, actor: str) -> None:
        self._settings = settings
        self._bootstrap = settings.bootstrap
        self._prefix = settings.topic_prefix
        self._publisher = publisher
        self._groups = groups
        self._actor = actor
        self._audit = AuditLog(publisher, "topics", lambda: datetime.now(UTC))
        self._pools = {inspection_group(pool): frames_of(pool) for pool in settings.pool_names}
        self.frames = frames_topics(settings)

    async def counts(self) -> dict[str, int]:
        names = [spec.name for spec in topic_specs(self._settings) if spec.by_station]
        return await partition_counts(self._bootstrap, names)

    async def audit(self, before: Mapping[str, int], target: int) -> None:
        await self._audit.record(self._actor, "topics.grow", "partitions", before=before, after={"partitions": target})

    async def grow(self, topics: Mapping[str, int], partitions: int) -> None:
        await grow_topics(self._bootstrap, list(topics), partitions, GROW_TIMEOUT_S)

    async def frame_ends(self) -> dict[tuple[str, int], int]:
        ends = {name: await self._groups.ends(name) for name in self.frames}
        return {(name, partition): end for name, of in ends.items() for partition, end in of.items()}

    async def waits(self) -> dict[str, int]:
        found = {}
        readers = {group: (frames,) for group, frames in self._pools.items()}
        for group, topics in (readers | READERS).items():
            name = self._prefix + group
            if group in readers or await self._groups.members(name):
                left = [await self._groups.left(name, self._prefix + topic.name) for topic in topics]
                found[group] = sum(sum(of_topic.values()) for of_topic in left)
        return found

    async def untaken(self, partitions: int) -> int:
        missing = 0
        for group, frames in self._pools.items():
            members = await self._groups.members(self._prefix + group)
            taken = {n for member in members for n in member.partitions.get(self._prefix + frames.name, ())}
            missing += len(set(range(partitions)) - taken) if members else 0
        return missing

    async def moved_keys(self, behind: int) -> dict[str, list[int]]:
        places: dict[str, set[int]] = {}
        first_ms = datetime.now(UTC).timestamp() * 1000
        for name in self.frames:
            ends = await self._groups.ends(name)
            stretches = {p: (0, min(end, KEYS_FROM)) for p, end in ends.items() if p >= behind and end}
            async for raw in _all(read_offsets(self._bootstrap, name, stretches)):
                places.setdefault(_text(raw.key), set()).add(raw.partition)
                first_ms = min(first_ms, raw.timestamp)
        since = Span(round(first_ms - BEFORE_MS), None)
        async for raw in _all(read_span(self._bootstrap, self._prefix + VERDICTS.name, since)):
            places.setdefault(_text(raw.key), set()).add(raw.partition)
        return {key: sorted(found) for key, found in sorted(places.items()) if len(found) > 1}

    async def signal(self, signal: GateSignal) -> None:
        await (await self._publisher.send(GATES, signal, key=signal.sender.encode()))

    async def gateways(self) -> frozenset[str]:
        return frozenset(member.name for member in await self._groups.members(self._prefix + GROUP))


@contextlib.asynccontextmanager
async def kafka_ground(settings: Settings, publisher: Publisher, actor: str) -> AsyncIterator[KafkaGround]:
    async with Groups(settings.bootstrap) as groups:
        yield KafkaGround(settings, publisher, groups, actor)


async def _all(span: AbstractAsyncContextManager[Reading]) -> AsyncGenerator[Raw]:
    async with span as reading, contextlib.aclosing(reading.chunks()) as chunks:
        async for chunk in chunks:
            for raw in chunk:
                yield raw


def _text(key: bytes | None) -> str:
    return (key or b"").decode(errors="replace")
