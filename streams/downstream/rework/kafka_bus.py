"""The desk's connection to a real Kafka, which outlives the broker's restarts.

Place in the flow: under `desk.py`. A reading that ends by an error begins anew from the same time and leaves out
what was handed over before; a send that fails is repeated by a new publisher, since a refused one may send nothing
more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any

from schemas.codec import Codec
from schemas.records import Event
from streams.bus.admin import wait_for_broker
from streams.bus.connect import partitions_of
from streams.bus.publisher import Delivery, Publisher, RecordTooLargeError
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.downstream.rework.bus import Feed
from streams.errors import BrokerUnreachableError, LinesideError, NotAllowedError
from streams.settings import Settings
from streams.topics import Topic

log = logging.getLogger(__name__)

RETRY_S = 1.0
WATCH_S = 2.0
STOP_S = 5.0


class KafkaBus:
    """Implements `Bus`; reads from the first record appended at or after `since`."""

    def __init__(self, settings: Settings, since: datetime) -> None:
        self._settings = settings
        self._since = since
        self._codec = codec_for(settings)
        self._sender = SteadySender(settings, self._codec)
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False

    @property
    def connected(self) -> bool:
        return self._connected

    async def start(self, feeds: Sequence[Feed], on_connection: Callable[[], None]) -> None:
        for feed in feeds:
            await partitions_of(self._settings.bootstrap, self._settings.topic_prefix + feed.topic.name)
        self._connected = True
        readers = [Reader(self._settings, self._codec, feed, self._since) for feed in feeds]
        reading = [asyncio.create_task(reader.run(), name=f"desk reads {reader.topic}") for reader in readers]
        self._tasks = [*reading, asyncio.create_task(self._watch(on_connection), name="desk watches the broker")]
        for reader, task, feed in zip(readers, reading, feeds, strict=True):
            if feed.awaited:
                await reader.until_caught_up(task)

    async def stop(self) -> None:
        await _end(self._tasks)
        await self._sender.stop()
        self._connected = False

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> asyncio.Task[Delivery]:
        return self._sender.send(topic, record, key, partition)

    async def _watch(self, on_connection: Callable[[], None]) -> None:
        while True:
            try:
                await wait_for_broker(self._settings.bootstrap, WATCH_S)
                answers = True
            except BrokerUnreachableError:
                answers = False
            if answers != self._connected:
                self._connected = answers
                on_connection()
            await asyncio.sleep(WATCH_S)


class Reader:
    """Reads one topic for as long as it runs."""

    def __init__(self, settings: Settings, codec: Codec, feed: Feed, since: datetime) -> None:
        self.topic = feed.topic.name
        self.caught_up = asyncio.Event()
        self._settings = settings
        self._codec = codec
        self._feed = feed
        self._since = since
        self._next: dict[int, int] = {}

    async def until_caught_up(self, running: asyncio.Task[None]) -> None:
        """Returns when all was read that lay there at the start; raises what ended `running`, its own task, before."""
        waiting = asyncio.create_task(self.caught_up.wait())
        await asyncio.wait((waiting, running), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        if running.done():
            running.result()

    async def run(self) -> None:
        while True:
            try:
                await self._read()
            except Exception as error:  # whatever ends a reading, the next begins where it was
                if isinstance(error, NotAllowedError) and not self.caught_up.is_set():
                    raise  # a start without the right fails; a right that is lost later is waited for
                log.warning("reading %s again in %g s: %s", self.topic, RETRY_S, error)
                await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        subscription: Subscription[Any] = Subscription(
            self._feed.topic,
            self._since,
            settings=self._settings,
            codec=self._codec,
            gather_ms=self._feed.gather_ms,
        )
        subscription.caught_up = self.caught_up
        async with aclosing(aiter(subscription)) as events:
            async for event in events:
                if event.offset < self._next.get(event.partition, 0):
                    continue
                self._next[event.partition] = event.offset + 1
                try:
                    self._feed.take(event)
                except Exception:  # one bad record harms only itself
                    log.exception("passed over %s/%d/%d", self.topic, event.partition, event.offset)


class SteadySender:
    """Sends each record until it is confirmed."""

    def __init__(self, settings: Settings, codec: Codec) -> None:
        self._settings = settings
        self._codec = codec
        self._publisher: Publisher | None = None
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[Delivery]] = set()

    def send(self, topic: Topic, record: Event, key: bytes | None, partition: int | None) -> asyncio.Task[Delivery]:
        task = asyncio.create_task(self._deliver(topic, record, key, partition), name=f"desk sends to {topic.name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        await _end(self._tasks)
        if self._publisher is not None:
            await self._give_up(self._publisher)

    async def _deliver(self, topic: Topic, record: Event, key: bytes | None, partition: int | None) -> Delivery:
        publisher: Publisher | None = None
        while True:
            try:
                publisher = await self._present()
                return await (await publisher.send(topic, record, key=key, partition=partition))
            except RecordTooLargeError:
                raise
            except LinesideError as error:
                log.warning("sending to %s again in %g s: %s", topic.name, RETRY_S, error)
                if publisher is not None:
                    await self._give_up(publisher)
                await asyncio.sleep(RETRY_S)

    async def _present(self) -> Publisher:
        async with self._lock:
            if self._publisher is None:
                publisher = Publisher(self._settings.bootstrap, self._settings.topic_prefix, self._codec)
                await publisher.start()
                self._publisher = publisher
            return self._publisher

    async def _give_up(self, publisher: Publisher) -> None:
        """Closes a publisher; whatever else it had to send fails and is sent by the next one."""
        async with self._lock:
            if publisher is self._publisher:
                self._publisher = None
                with suppress(LinesideError):
                    await publisher.stop(timeout_s=RETRY_S)


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits for them; twice, as aiokafka's fetcher may swallow the first."""
    pending = set(tasks)
    for _ in range(2):
        for task in pending:
            task.cancel()
        if pending:
            _, pending = await asyncio.wait(pending, timeout=STOP_S)
