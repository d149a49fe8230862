"""The Faust agent of inspection: takes raw events from `frames` and hands them over; nothing else.

Events are read as bytes, because Faust acknowledges what it can't decode; without acks of its own (`noack`), because an
offset may be acknowledged only in order and after its outputs are confirmed.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import faust

from streams.inspection.decide import Source
from streams.inspection.inspector import Arrival

Accept = Callable[[Arrival], Awaitable[None]]


def attach(app: faust.App, topic_name: str, accept: Accept) -> None:
    """Declare the agent on `app`; `accept` waits while there is no room for another frame."""
    topic = app.topic(topic_name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic, name="inspection", concurrency=1)
    async def inspection(stream: Any) -> None:  # StreamT, which does not know noack()
        async for event in stream.noack().events():
            await accept(arrival_of(event))


def arrival_of(event: Any) -> Arrival:
    """A Faust event as our parts take it."""
    message = event.message
    appended_at = datetime.fromtimestamp(round(message.timestamp * 1000) / 1000, UTC)
    return Arrival(
        source=Source(message.topic, message.partition, message.offset, appended_at),
        generation=message.generation_id,
        key=message.key,
        headers=tuple(message.headers or ()),
        value=message.value,
        received_at=datetime.now(UTC),
        received_s=time.monotonic(),
        ack=event.ack,
    )
