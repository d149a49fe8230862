"""The overview's connection to a real Kafka, which outlives the broker's restarts.

Place in the flow: under `feed.py`. Windows and parts are followed from the start of what is shown, cases of rework from
as far back as a rework station has them, recipes and alarms from their beginning.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from streams.bus.connect import partitions_of, reaching
from streams.bus.history import History
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received
from streams.downstream.overview.log import BEGINNING
from streams.downstream.rework.bus import Feed
from streams.downstream.rework.kafka_bus import KafkaBus
from streams.errors import LinesideError
from streams.settings import Settings
from streams.topics import ALARMS, DEFECTS, OUTCOMES, RECIPES, SAMPLES, Topic, frames_of, inspection_group

READ_TIMEOUT_S = 15.0
PARTITIONS_S = 10.0  # how late an added partition may be seen
REWORK = (DEFECTS, SAMPLES, OUTCOMES)
CONTROL = (RECIPES, ALARMS)


class KafkaLog:
    """Implements `Log`. `since` is for windows and parts, `cases_since` for defects, samples and outcomes."""

    def __init__(self, settings: Settings, since: datetime, cases_since: datetime) -> None:
        self._settings = settings
        self._buses = {
            REWORK: KafkaBus(settings, cases_since),
            CONTROL: KafkaBus(settings, BEGINNING),
            (): KafkaBus(settings, since),
        }
        self._history = History(settings.bootstrap, settings.topic_prefix, codec_for(settings))
        self._partitions: dict[str, tuple[float, tuple[int, ...]]] = {}  # when asked, and the answer

    @property
    def connected(self) -> bool:
        return all(bus.connected for bus in self._buses.values())

    async def start(self, feeds: Sequence[Feed], on_connection: Callable[[], None]) -> None:
        await self._history.start()
        apart = {topic.name for topics in self._buses for topic in topics}
        for topics, bus in self._buses.items():
            wanted = [feed for feed in feeds if (feed.topic in topics if topics else feed.topic.name not in apart)]
            await bus.start(wanted, on_connection)

    async def stop(self) -> None:
        for bus in self._buses.values():
            await bus.stop()
        await self._history.stop()

    async def stretch(
        self, topic: Topic, start: datetime, end: datetime, of: int | None = None
    ) -> dict[int, tuple[int, int]]:
        found = {}
        async with _answering(self._settings.bootstrap):
            for partition in await self._partitions_of(topic) if of is None else (of,):
                low = await self._history.offset_at(topic, partition, start)
                found[partition] = (low, max(low, await self._history.offset_at(topic, partition, end)))
        return found

    async def read(self, topic: Topic, partition: int, low: int, high: int) -> list[Received[Any]]:
        taken: list[Received[Any]] = []
        async with _answering(self._settings.bootstrap):
            await self._history.read(topic, partition, low, high, taken.append)
        return taken

    async def waiting(self) -> int | None:
        try:
            async with _answering(self._settings.bootstrap):
                return sum([await self._behind(pool) for pool in self._settings.pool_names])
        except LinesideError:  # `connected` says so
            return None

    async def _behind(self, pool: str) -> int:
        """Frames of a pool that its workers have not inspected."""
        frames, group = frames_of(pool), self._settings.topic_prefix + inspection_group(pool)
        committed, behind = await self._history.committed(group, frames), 0
        for partition in await self._partitions_of(frames):
            begin, end = await self._history.bounds(frames, partition)
            behind += max(0, end - max(begin, committed.get(partition, 0)))
        return behind

    async def _partitions_of(self, topic: Topic) -> tuple[int, ...]:
        asked_s, found = self._partitions.get(topic.name, (-math.inf, ()))
        if time.monotonic() - asked_s > PARTITIONS_S:
            name = self._settings.topic_prefix + topic.name
            found = await partitions_of(self._settings.bootstrap, name)
            self._partitions[topic.name] = (time.monotonic(), found)
        return found


@asynccontextmanager
async def _answering(bootstrap: str) -> AsyncIterator[None]:
    """A block that must end within READ_TIMEOUT_S; BrokerUnreachableError where it doesn't, or Kafka fails."""
    async with reaching(bootstrap), asyncio.timeout(READ_TIMEOUT_S):
        yield
