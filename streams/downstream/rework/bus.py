"""What a desk needs of Kafka: topics read from some time on, and records sent until they are confirmed.

`kafka_bus.py` is the real one, `memory_bus.py` the one in memory. Knows nothing of cases.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from schemas.records import Event
from streams.downstream.rework.cases import Read
from streams.topics import Topic


@dataclass(frozen=True, slots=True)
class Feed:
    """Where the records of a topic go. `take` may raise ValueError for a record that makes no sense.

    The start of the bus waits until what lay in the topic was taken, unless `awaited` is False. A feed that is not in
    a hurry comes up to `gather_ms` late, many records at once.
    """

    topic: Topic
    take: Callable[[Read[Any]], None]
    awaited: bool = True
    gather_ms: int = 0


class Bus(Protocol):
    """A connection that lasts: through a restart of the broker it goes on where it was."""

    @property
    def connected(self) -> bool:
        """Whether the broker answers."""

    async def start(self, feeds: Sequence[Feed], on_connection: Callable[[], None]) -> None:
        """Begins to read, each
        partition in its order, each record once; `on_connection` tells when `connected` changed.

            Raises BrokerUnreachableError or CallerError where a topic can't be reached now.
        """

    async def stop(self) -> None: ...

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]:
        """Sends a record until the broker has confirmed it, which the returned awaitable waits for.

        Where a confirmation is lost the record is sent again, so a copy may lie in the topic: readers count the
        first of an id. The awaitable raises RecordTooLargeError and nothing else.
        """
