"""The event log as this interface reads it: a span of history in order of append time, and what comes from now on.

Place in the flow: Kafka behind the routes. Knows neither filters nor forms.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager, aclosing
from typing import Any, Protocol

from schemas import records
from schemas.codec import Codec
from streams.bus.offsets import end_offsets
from streams.bus.spans import Reading, Span, read_span
from streams.bus.subscriber import Received, Subscription
from streams.settings import Settings
from streams.topics import Topic
from streams.web.api.page import LOOKBACK


class EventLog(Protocol):
    """What the routes read from; the real one is KafkaLog."""

    def read(self, topic: Topic, span: Span) -> AbstractAsyncContextManager[Reading]: ...

    async def ends(self, topic: Topic) -> dict[int, int]: ...

    def follow(self, topic: Topic, position: Mapping[int, int]) -> AsyncGenerator[Received[Any]]: ...


class KafkaLog:
    """Reads committed records of this installation's topics. Errors are those of `Subscription`."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec

    def read(self, topic: Topic, span: Span) -> AbstractAsyncContextManager[Reading]:
        """A span of history, as `read_span` gives it, LOOKBACK records early."""
        return read_span(self._settings.bootstrap, self._name(topic), dataclasses.replace(span, lookback=LOOKBACK))

    async def ends(self, topic: Topic) -> dict[int, int]:
        """The offset behind the last readable record of every partition."""
        return await end_offsets(self._settings.bootstrap, self._name(topic))

    async def follow(self, topic: Topic, position: Mapping[int, int]) -> AsyncGenerator[Received[records.Event]]:
        """Events from `position` on, for ever. Copies of earlier events are left out, as in Subscription."""
        early = {partition: max(0, offset - LOOKBACK) for partition, offset in position.items()}
        subscription: Subscription[Any] = Subscription(topic, early, settings=self._settings, codec=self._codec)
        async with aclosing(aiter(subscription)) as events:
            async for event in events:
                if event.offset >= position.get(event.partition, 0):
                    yield event

    def _name(self, topic: Topic) -> str:
        return self._settings.topic_prefix + topic.name
