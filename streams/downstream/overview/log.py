"""What an overview needs of Kafka: topics followed, and stretches of them read again.

`kafka_log.py` is the real one, `memory.py` the one in memory. Knows nothing of views.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from streams.bus.subscriber import Received
from streams.downstream.rework.bus import Feed
from streams.topics import Topic

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""No record was appended before."""


class Log(Protocol):
    """A connection that lasts: through a restart of the broker it goes on where it was."""

    @property
    def connected(self) -> bool:
        """Whether the broker answers."""

    async def start(self, feeds: Sequence[Feed], on_connection: Callable[[], None]) -> None:
        """Begins to follow; returns when what lay in the awaited topics was handed over."""

    async def stop(self) -> None: ...

    async def stretch(
        self, topic: Topic, start: datetime, end: datetime, of: int | None = None
    ) -> dict[int, tuple[int, int]]:
        """The first offset appended at or after `start`, and the first at or after `end`, not before that.

        By partition, all of them or the one that is named. Raises as `read` does.
        """

    async def read(self, topic: Topic, partition: int, low: int, high: int) -> list[Received[Any]]:
        """The records at offsets `low` to `high` (exclusive) in log order, copies included.

        Raises BrokerUnreachableError where the broker doesn't answer.
        """

    async def waiting(self) -> int | None:
        """Frames that inspection has not committed; None where that can't be told."""
