"""Topics in memory with the desk's interface to them: for tests and for pages without a broker.

Several desks on one `MemoryTopics` see each other's records in one order a topic. A bus can hold topics back, so
that what lies in one is read before what lies in another, and can be cut off.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from schemas.records import Event
from streams.bus.subscriber import Received
from streams.downstream.rework.bus import Feed
from streams.downstream.rework.link import now_ms
from streams.topics import Topic


class MemoryTopics:
    """What lies in the topics. `clock` is the broker's."""

    def __init__(self, clock: Callable[[], datetime] = now_ms) -> None:
        self.clock = clock
        self._topics: defaultdict[str, list[Received[Any]]] = defaultdict(list)
        self._buses: list[MemoryBus] = []

    def bus(self) -> MemoryBus:
        """A connection of one more desk."""
        self._buses.append(MemoryBus(self))
        return self._buses[-1]

    def put(self, topic: Topic, record: Event, *, key: bytes | None = None, partition: int | None = None) -> None:
        """Appends a record and lets every connected desk read it."""
        taken = self._topics[topic.name]
        taken.append(Received(record, partition or 0, len(taken), self.clock(), key))
        for bus in self._buses:
            bus.read()

    def records(self, topic: Topic) -> list[Any]:
        return [received.record for received in self._topics[topic.name]]

    def since(self, topic: Topic, offset: int) -> list[Received[Any]]:
        return self._topics[topic.name][offset:]


class MemoryBus:
    """Implements `Bus`."""

    def __init__(self, topics: MemoryTopics) -> None:
        self.held_back: set[str] = set()
        """Names of topics of which nothing is read for now; call read() after a change."""
        self._topics = topics
        self._feeds: Sequence[Feed] = ()
        self._next: defaultdict[str, int] = defaultdict(int)
        self._answers = asyncio.Event()
        self._on_connection: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        return self._answers.is_set()

    def cut(self) -> None:
        """The broker is gone: nothing is read, and what is sent waits."""
        self._answers.clear()
        self._on_connection()

    def mend(self) -> None:
        """The broker is back."""
        self._answers.set()
        self._on_connection()
        self.read()

    def read(self) -> None:
        """Hands over what has not been read yet."""
        for feed in self._feeds if self.connected else ():
            if feed.topic.name not in self.held_back:
                for received in self._topics.since(feed.topic, self._next[feed.topic.name]):
                    self._next[feed.topic.name] += 1
                    with suppress(ValueError):
                        feed.take(received)

    async def start(self, feeds: Sequence[Feed], on_connection: Callable[[], None]) -> None:
        self._feeds, self._on_connection = feeds, on_connection
        self._answers.set()
        self.read()

    async def stop(self) -> None:
        self._feeds = ()
        self._answers.clear()

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> asyncio.Task[None]:
        return asyncio.create_task(self._send(topic, record, key, partition))

    async def _send(self, topic: Topic, record: Event, key: bytes | None, partition: int | None) -> None:
        await self._answers.wait()
        self._topics.put(topic, record, key=key, partition=partition)
