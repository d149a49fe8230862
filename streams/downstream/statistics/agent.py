"""The Faust agent of statistics: takes raw events from `verdicts` and `parts`, hands them over and acknowledges them.

Both topics have the same partitions, and Faust assigns equal numbers together. Events are read as bytes, because Faust
acknowledges what it can't decode.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import faust


@dataclass(frozen=True, slots=True)
class Arrival:
    """One event as Kafka delivers it; `appended_at` is the broker's clock."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    value: bytes | None


Accept = Callable[[Arrival], Awaitable[None]]


def attach(app: faust.App, topic_names: tuple[str, ...], accept: Accept) -> None:
    """Declare the agent on `app`; an event is acknowledged when `accept` has returned."""
    topic = app.topic(*topic_names, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic, name="statistics", concurrency=1)
    async def statistics(stream: Any) -> None:  # StreamT, which does not know noack()
        async for event in stream.noack().events():
            message = event.message
            at = datetime.fromtimestamp(round(message.timestamp * 1000) / 1000, UTC)
            await accept(Arrival(message.topic, message.partition, message.offset, at, message.value))
            event.ack()


def on_assignments(
    app: faust.App, assigned: Callable[[frozenset[int]], Awaitable[None]], revoked: Callable[[], Awaitable[None]]
) -> None:
    """Have `assigned` called with the partitions of every new assignment, and `revoked` before the next one.

    When `revoked` is called, every event handed over has been acknowledged.
    """

    @app.on_partitions_assigned.connect(weak=False)
    async def when_assigned(app: Any, partitions: Any, **options: Any) -> None:
        await assigned(frozenset(tp.partition for tp in partitions))

    @app.on_partitions_revoked.connect(weak=False)
    async def when_revoked(app: Any, partitions: Any, **options: Any) -> None:
        await revoked()
