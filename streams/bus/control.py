"""Control topics (recipes; later models) as every worker needs them: all of it before the first frame, then the rest.

Reads without a group, so that each reader gets every record. What a record means is its callback's affair.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any

from aiokafka.errors import KafkaError

from schemas.codec import Codec
from streams.bus.connect import partitions_of
from streams.bus.subscriber import Subscription
from streams.errors import BrokerUnreachableError, OperatorError
from streams.settings import Settings
from streams.topics import Topic

log = logging.getLogger(__name__)

RETRY_S = 1.0

OnRecord = Callable[[Any, datetime], None]
"""Takes a record of the topic and its append time. Runs on the event loop; a ValueError counts as a bad value."""


class ControlReader:
    """Reads one control topic from its beginning for as long as it runs; each good record is handed over once."""

    def __init__(self, settings: Settings, codec: Codec, topic: Topic, on_record: OnRecord) -> None:
        self._settings = settings
        self._codec = codec
        self._topic = topic
        self._on_record = on_record
        self._next: dict[int, int] = {}
        self._caught_up = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._refused = 0
        self._skipped_before = 0
        self._subscription = self._new_subscription()

    @property
    def bad_values(self) -> int:
        """Values that are no record of the topic, or that the callback refused with a ValueError."""
        return self._refused + self._skipped_before + self._subscription.skipped

    async def start(self) -> None:
        """Begins to read; BrokerUnreachableError or CallerError where the topic can't be reached now."""
        partitions = await partitions_of(self._settings.bootstrap, self._settings.topic_prefix + self._topic.name)
        self._next = dict.fromkeys(partitions, 0)
        self._task = asyncio.create_task(self._run(), name=f"control {self._topic.name}")

    async def caught_up(self) -> None:
        """Returns when all that lay in the topic at the start was handed over; raises what ended the reading."""
        assert self._task is not None, "start() comes first"
        waiting = asyncio.create_task(self._caught_up.wait())
        await asyncio.wait((waiting, self._task), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if self._task.done():
            self._task.result()

    async def wait(self) -> None:
        """Runs until stop(); raises what the callback raised, other than ValueError."""
        assert self._task is not None, "start() comes first"
        await asyncio.shield(self._task)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def __aenter__(self) -> ControlReader:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _run(self) -> None:
        while True:
            try:
                await self._read()
            except (KafkaError, BrokerUnreachableError, OperatorError, OSError) as error:
                log.warning("reading %s again in %g s: %s", self._topic.name, RETRY_S, error)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        """One connection's worth of reading, from where the last one ended."""
        self._skipped_before += self._subscription.skipped
        self._subscription = self._new_subscription()
        async with aclosing(aiter(self._subscription)) as events:
            async for event in events:
                try:
                    self._on_record(event.record, event.timestamp)
                except ValueError as error:
                    self._refused += 1
                    log.warning("refused %s offset %d: %s", self._topic.name, event.offset, error)
                self._next[event.partition] = event.offset + 1

    def _new_subscription(self) -> Subscription[Any]:
        subscription: Subscription[Any] = Subscription(
            self._topic, dict(self._next), settings=self._settings, codec=self._codec, added_too=True
        )
        subscription.caught_up = self._caught_up
        return subscription
