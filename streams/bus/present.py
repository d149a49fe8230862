"""A topic as it lies there now: read once, and done. For commands, and for programs that begin.

Place in the flow: above the subscriber, which follows topics. What a record means is its reader's affair.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from schemas.codec import Codec
from streams.bus.positions import Start
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.settings import Settings
from streams.topics import Topic


async def present(
    settings: Settings, topic: Topic, since: Start = "earliest", codec: Codec | None = None
) -> AsyncGenerator[Received[Any]]:
    """Every record from a start on, in the order of each partition, without later copies; read it to its end.

    BrokerUnreachableError, or CallerError for a topic that is missing.
    """
    subscription: Subscription[Any] = Subscription(
        topic, since, settings=settings, codec=codec or codec_for(settings), follow=False
    )
    async with aclosing(aiter(subscription)) as events:
        async for received in events:
            yield received


async def records_of(settings: Settings, topic: Topic, since: Start = "earliest") -> list[Any]:
    """The records alone."""
    return [received.record async for received in present(settings, topic, since)]
