"""Work shared by partitions: a member of a consumer group that takes part in it, and commits, but never reads.

For programs that read in their own way, such as a replay. Kafka hands the partitions of a member that dies to the
others. Does not know what is done with a partition.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Self

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from streams.bus.connect import partitions_of, start_consumer, stop_consumer
from streams.bus.security import kafka_options

POLL_MS = 200
SESSION_MS = 30_000  # a member may run at the lowest priority beside a busy line


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """One member. `assigned` is set to the partitions that are its own now; `changes` is set when they change."""

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topic: str,
        give_back: Callable[[], Awaitable[None]],
        *,
        name: str = "lineside",
        session_ms: int = SESSION_MS,
    ) -> None:
        """`topic` is a full name; `give_back` is awaited before partitions go to others: work on them must end.

        Who asks for the group's members is told `name`. A member that dies is one until `session_ms` are over.
        """
        self._bootstrap = bootstrap
        self._topic = topic
        self._give_back = give_back
        self._consumer = AIOKafkaConsumer(
            **kafka_options(bootstrap),
            group_id=group,
            client_id=name,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=1,
            session_timeout_ms=session_ms,
            heartbeat_interval_ms=min(3_000, session_ms // 3),
            rebalance_timeout_ms=2 * session_ms,
            max_poll_interval_ms=10 * session_ms,
        )
        self._polling: asyncio.Task[None] | None = None
        self.assigned: frozenset[int] = frozenset()
        self.changes = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Joins; BrokerUnreachableError, or CallerError for no such topic."""
        self._partitions = await partitions_of(self._bootstrap, self._topic)
        self._consumer.subscribe([self._topic], listener=self)
        await start_consumer(self._consumer, self._bootstrap)
        self._polling = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._polling:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        await stop_consumer(self._consumer)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        """Notes how far partitions are done; those that are not its own any more are left out."""
        mine = {TopicPartition(self._topic, p): at for p, at in offsets.items() if p in self.assigned}
        if mine:
            try:
                await self._consumer.commit(mine)
            except (CommitFailedError, IllegalStateError):
                pass  # the group was rebalanced meanwhile: who has them now finds what is published
            except KafkaError as error:
                raise ConnectionError(f"how far the work is can't be noted: {error}") from error

    async def committed(self) -> dict[int, int]:
        """How far every partition is done, by whomever; 0 where nothing is."""
        tps = [TopicPartition(self._topic, p) for p in self._partitions]
        return {tp.partition: await self._consumer.committed(tp) or 0 for tp in tps}

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.assigned = frozenset()
        self.changes.set()
        await self._give_back()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        tps = list(assigned)
        self._consumer.pause(*tps)
        self.assigned = frozenset(tp.partition for tp in tps)
        self.changes.set()

    async def _poll(self) -> None:
        """Keeps the member alive: nothing comes, all is paused."""
        while True:
            await self._consumer.getmany(timeout_ms=POLL_MS)
