"""Partitions that are not read for now, because what follows from them could not be written.

Place in the flow: at every assignment of a Faust app, and every few seconds while something is held. Somebody may add
partitions to one topic alone; what is derived from partition p must be written to partition p. Such a partition waits
in Kafka, the others go on, and when its topics have grown it is read from where it was. Knows no record.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from streams.bus.admin import partition_counts
from streams.errors import BrokerUnreachableError

log = logging.getLogger(__name__)
LOOK_S = 2.0
REPEAT_S = 30.0  # how often it is said again


class Holding:
    """Of one app; `needs` are the full names of the topics that are written to by partition number."""

    def __init__(
        self,
        app: Any,
        bootstrap: str,
        needs: Sequence[str],
        on_change: Callable[[int], None] = lambda held: None,
        before_reading: Callable[[frozenset[int]], Awaitable[None]] | None = None,
    ) -> None:
        """`on_change` is told how many are held; `before_reading` is awaited before held partitions are read."""
        self._app = app
        self._bootstrap = bootstrap
        self._needs = tuple(needs)
        self._on_change = on_change
        self._before_reading = before_reading
        self._said_s = 0.0
        self._watching: asyncio.Task[None] | None = None

    async def assigned(self, tps: Iterable[Any]) -> None:
        """A new assignment: holds what can't be written."""
        counts = await partition_counts(self._bootstrap, self._needs)
        fewest = min(counts.values())
        held = frozenset(tp for tp in tps if tp.partition >= fewest)
        self._app.held = held
        self._on_change(len(held))
        if held:
            self._app.consumer.pause_partitions(held)
            await self._fetching("pause", held)
            self._say(counts)
            if self._watching is None or self._watching.done():
                self._watching = asyncio.create_task(self._watch())

    def stop(self) -> None:
        if self._watching:
            self._watching.cancel()

    async def _watch(self) -> None:
        while self._app.held:
            await asyncio.sleep(LOOK_S)
            try:
                counts = await partition_counts(self._bootstrap, self._needs)
            except BrokerUnreachableError as error:
                log.warning("can't look at partitions now: %s", error)
                continue
            free = frozenset(tp for tp in self._app.held if tp.partition < min(counts.values()))
            if free:
                await self._let_go(free)
            elif self._app.held and time.monotonic() - self._said_s > REPEAT_S:
                self._say(counts)

    async def _let_go(self, free: frozenset[Any]) -> None:
        assigned = self._app.consumer.assignment()
        mine = frozenset(tp for tp in free if tp in assigned)  # of aiokafka's own type, not Faust's equal one
        if self._before_reading:
            await self._before_reading(frozenset(tp.partition for tp in mine))
        self._app.held -= free
        self._on_change(len(self._app.held))
        await self._fetching("resume", mine)
        self._app.consumer.resume_partitions({tp for tp in assigned if tp in mine})  # of Faust's own type
        log.warning("partitions %s are read again: their topics have grown", sorted(tp.partition for tp in free))

    async def _fetching(self, what: str, tps: frozenset[Any]) -> None:
        """Faust's own pause only leaves aside what is fetched already; aiokafka's stops the fetching."""
        thread = self._app.consumer._thread
        if tps:
            await thread.call_thread(getattr(thread._ensure_consumer(), what), *tps)

    def _say(self, counts: dict[str, int]) -> None:
        self._said_s = time.monotonic()
        topic = next(iter(self._app.held)).topic
        least = min(counts, key=counts.__getitem__)
        needed = max(tp.partition for tp in self._app.held) + 1
        log.error(
            "%s has more partitions than %s, which has %d: partitions %s are held, nothing of them is lost; run "
            "`lineside topics --grow %d` (or higher)",
            *(topic, least, counts[least], sorted(tp.partition for tp in self._app.held), needed),
        )
