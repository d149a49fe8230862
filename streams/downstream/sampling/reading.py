"""A topic read up to a time, again and again, each partition from where the last reading ended.

By the broker's append times, which only go forward within a partition. Knows records only by their times.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Generic, TypeVar

from schemas import records
from schemas.codec import Codec
from streams.bus.frames_at import FrameReader, RecordReader, committed_by
from streams.bus.subscriber import FirstOnly, Received, Subscription
from streams.settings import Settings
from streams.topics import Topic, frames_topic, inspection_group

R = TypeVar("R", bound=records.Event)
EPOCH = datetime.fromtimestamp(0, UTC)


class ReadUpTo(Generic[R]):
    """One topic from `since` on (append time). `time_of`: the time a record belongs to, its append time at most."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        topic: Topic,
        since: datetime,
        time_of: Callable[[Received[R]], datetime] = lambda received: received.timestamp,
    ) -> None:
        self._settings = settings
        self._codec = codec
        self._topic = topic
        self._since = since
        self._time_of = time_of
        name = settings.topic_prefix + topic.name
        self._reader = RecordReader(settings.bootstrap, name, codec, topic.record)
        self._next: dict[int, int] = {}
        self._newest: dict[int, datetime] = {}
        self._ahead: dict[int, datetime] = {}  # the time of a record that was met and not yet due
        self._firsts: dict[int, FirstOnly] = {}

    async def start(self) -> None:
        await self._reader.start()

    async def stop(self) -> None:
        await self._reader.stop()

    async def records(self, until: datetime) -> AsyncGenerator[tuple[Received[R], datetime]]:
        """What lies in the topic now and belongs before `until`, with that time; partition by partition."""
        started = await self._reader.offsets_at(self._since)
        for partition, end in sorted((await self._reader.ends()).items()):
            begin = self._next.setdefault(partition, started.get(partition, 0))
            if begin < end and self._ahead.get(partition, EPOCH) < until:
                async with aclosing(self._partition(partition, begin, until)) as found:
                    async for item in found:
                        yield item

    async def _partition(
        self, partition: int, begin: int, until: datetime
    ) -> AsyncGenerator[tuple[Received[R], datetime]]:
        first_only = self._firsts.setdefault(partition, FirstOnly())
        subscription: Subscription[R] = Subscription(
            self._topic, {partition: begin}, settings=self._settings, codec=self._codec, follow=False
        )
        async with aclosing(aiter(subscription)) as events:
            async for received in events:
                newest = self._newest.get(partition, EPOCH)
                at = max(newest, min(received.timestamp, self._time_of(received)))
                if at >= until:
                    self._ahead[partition] = at
                    return
                self._newest[partition] = at
                self._next[partition] = received.offset + 1
                if not first_only.is_copy(received.record, received.offset):
                    yield received, at


class InspectedUpTo:
    """Whether every frame appended from `since` to a time has its verdict."""

    def __init__(self, settings: Settings, frames: FrameReader, since: datetime) -> None:
        self._bootstrap = settings.bootstrap
        self._topic = frames_topic(settings)
        self._group = settings.topic_prefix + inspection_group(settings.pool)
        self._frames = frames
        self._since = since
        self._decided: dict[int, int] = {}
        self._ends: dict[int, int] = {}

    def saw(self, received: Received[records.VerdictIssued]) -> None:
        """A verdict that was read: those of earlier frames of its partition stand before it.

        One of a replay says nothing of that, and one about a frame that was not there when `missing` asked is a lie.
        """
        verdict, at = received.record, received.partition
        if verdict.source_topic != self._topic or verdict.source_partition != at or verdict.simulated:
            return
        if verdict.source_offset < self._ends.get(at, 0):
            self._decided[at] = max(self._decided.get(at, 0), verdict.source_offset + 1)

    async def missing(self, until: datetime) -> list[int]:
        """Partitions with frames appended before `until` for which no verdict is certain yet.

        Certain is what lies below a frame whose verdict was read, or below what inspection has committed: read
        verdicts after asking this.
        """
        begins, ends = await self._frames.offsets_at(self._since), await self._frames.offsets_at(until)
        self._ends = await self._frames.ends()
        open_ = {p: end for p, end in ends.items() if end > max(begins.get(p, 0), self._decided.get(p, 0))}
        if not open_:
            return []
        committed = await committed_by(self._bootstrap, self._group, self._topic)
        return sorted(p for p, end in open_.items() if committed.get(p, 0) < end)
