"""The Faust agent of the part service: takes raw events from `verdicts` and hands them over; nothing else.

Events are read as bytes and without acks of Faust's own, as in inspection. Faust does not wait until all events are
acknowledged when partitions are taken away or the service stops: parts that wait for views may wait for long, and their
verdicts, never acknowledged, come again to whoever reads the partition next.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import faust
from faust.exceptions import ConsumerNotStarted

from streams.inspection.agent import arrival_of
from streams.inspection.inspector import Arrival

Accept = Callable[[Arrival], Awaitable[None]]
Release = Callable[[], Awaitable[None]]


def attach(app: faust.App, topic_name: str, accept: Accept, release: Release) -> None:
    """Declare the agent on `app`; `release` is awaited before partitions go to another member of the group."""
    app.conf.stream_wait_empty = False
    topic = app.topic(topic_name, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")

    @app.agent(topic, name="parts", concurrency=1)
    async def parts(stream: Any) -> None:  # StreamT, which does not know noack()
        async for event in stream.noack().events():
            await accept(arrival_of(event))

    @app.on_partitions_revoked.connect(weak=False)
    async def revoked(app: Any, partitions: Any, **options: Any) -> None:
        await release()
        await app.consumer.commit()


async def unread(app: Any) -> dict[int, int]:
    """How many offsets of each assigned partition are ready and not fetched; those unknown just now are left out."""
    consumer: Any = app.consumer
    found: dict[int, int] = {}
    with suppress(ConsumerNotStarted, RuntimeError):  # before the first and during a rebalance
        for tp in consumer.assignment() - app.held:
            found[tp.partition] = await consumer._thread.unread(tp)
    return found
