"""Typed events of a topic, for anyone: `async for defect in subscribe("defects")`.

The way in for dashboards, integrations and `lineside tail`; inspection itself reads through Faust. Reads committed
events only, decodes by the writer's schema, and keeps the contract that the FIRST record of a verdict_id in log order
counts. Does not know what its events are used for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, Literal, TypeVar, cast, overload
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas import records
from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from streams.bus.connect import acquaint, gathering, partitions_of, reaching
from streams.bus.positions import Commits, Start, starting_offsets
from streams.bus.refusals import not_allowed
from streams.bus.registry_client import codec_for
from streams.bus.security import kafka_options
from streams.errors import CallerError
from streams.recent_ids import REMEMBERED_IDS, RecentIds
from streams.settings import Settings, load_settings
from streams.topics import Topic, topic_named

log = logging.getLogger(__name__)

POLL_S = 0.25
METADATA_MAX_AGE_MS = 10_000  # a new partition is noticed after this

R_co = TypeVar("R_co", bound=records.Event, covariant=True)


@dataclass(frozen=True, slots=True)
class Received(Generic[R_co]):
    """One event and where it lay. `timestamp` is the broker's append time."""

    record: R_co
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None


class FirstOnly:
    """Tells the first record of an id from later copies, for the newest `remembered` ids of one partition.

    Copies appear only after a fault and lie no further apart than what one worker had in flight. A record met again
    at its own offset is a redelivery, not a copy.
    """

    def __init__(self, remembered: int = REMEMBERED_IDS) -> None:
        self._ids = RecentIds(remembered)

    def is_copy(self, record: records.Event, offset: int) -> bool:
        identity = _identity(record)
        if identity is None:
            return False
        first = self._ids.mark_of(identity.int)
        if first is not None:
            return offset > first
        self._ids.remember(identity.int, offset)
        return False


def _identity(record: records.Event) -> UUID | None:
    """The id of which the first record counts; None for events that are never repeated."""
    match record:
        case records.VerdictIssued() | records.DefectDetected():
            return (record.verdict if isinstance(record, records.DefectDetected) else record).verdict_id
        case records.ShadowCompared():
            return record.shadow.verdict_id
        case records.PartDecided():
            return record.decision_id
        case records.SampleSelected():
            return record.sample_id
        case records.DefectLocated():
            return record.location_id
        case records.ReworkOutcome():
            return record.outcome_id
    return None


class Subscription(Generic[R_co]):
    """One reading of one topic; iterate it once. `skipped` and `copies` count what was left out."""

    def __init__(
        self,
        topic: Topic,
        from_: Start = "latest",
        *,
        settings: Settings,
        codec: Codec | None = None,
        group: str | None = None,
        follow: bool = True,
        gather_ms: int = 0,
        added_too: bool = False,
    ) -> None:
        """`gather_ms`: a reader that is not in a hurry waits so long for more, and costs the broker and itself less.

        `added_too`: also where offsets are given, partitions that are added later are read, from their beginning.
        """
        if group is not None and (not follow or isinstance(from_, Mapping)):
            raise CallerError("a group follows its topic on all partitions; leave out follow=False and single offsets")
        if isinstance(from_, datetime) and from_.tzinfo is None:
            raise CallerError(f"from_ needs a time zone, such as datetime.now(UTC); came {from_.isoformat()}")
        self._topic = topic
        self._name = settings.topic_prefix + topic.name
        self._from = from_
        self._settings = settings
        self._codec = codec or codec_for(settings)
        self._group = group
        self._follow = follow
        self._pace = gathering(gather_ms)
        self._takes_added = added_too or not isinstance(from_, Mapping)
        self._firsts: dict[int, FirstOnly] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._commits: Commits | None = None
        self.caught_up = asyncio.Event()
        """Set once everything that lay in the topic at the start has been handed out and the next was asked for."""
        self.skipped = 0
        """Values that are no event of this topic."""
        self.copies = 0
        """Later copies of an event that has an id."""

    async def __aiter__(self) -> AsyncGenerator[Received[R_co]]:
        async with self._consuming() as consumer:
            await self._look_up(consumer)
            while self._follow or not self.caught_up.is_set():
                fetched = await consumer.getmany(timeout_ms=int(POLL_S * 1000), max_records=1)
                for tp, messages in fetched.items():
                    for message in messages:
                        mark = self._commits.mark() if self._commits else 0
                        event = self._event(message)
                        if event is not None:
                            yield event
                        if self._commits:
                            self._commits.done(tp, message.offset, mark)
                if self._commits:
                    await self._commits.commit_if_due()
                else:
                    await self._take_in_new_partitions(consumer)
                if not self.caught_up.is_set():
                    await self._look_up(consumer)

    def _event(self, message: Any) -> Received[R_co] | None:
        where = f"{self._name} partition {message.partition} offset {message.offset}"
        try:
            if message.value is None:
                raise SchemaInvalidError("no value")
            record = self._codec.decode(message.value, self._topic.record)
        except (SchemaInvalidError, SchemaUnknownError) as error:
            self.skipped += 1
            log.warning("skipped %s: %s", where, error)
            return None
        if self._firsts.setdefault(message.partition, FirstOnly()).is_copy(record, message.offset):
            self.copies += 1
            return None
        at = datetime.fromtimestamp(message.timestamp / 1000, UTC)
        return Received(cast(R_co, record), message.partition, message.offset, at, message.key)

    async def _look_up(self, consumer: AIOKafkaConsumer) -> None:
        """Sets caught_up when no partition has anything left of what lay there at the start."""
        for tp, end in tuple(self._ends.items()):
            if await consumer.position(tp) >= end:
                del self._ends[tp]
        if not self._ends:
            self.caught_up.set()

    async def _take_in_new_partitions(self, consumer: AIOKafkaConsumer) -> None:
        """Without a group, reads partitions added to the topic from their beginning and goes on in the others."""
        present, read = consumer.partitions_for_topic(self._name) or (), consumer.assignment()
        if not self._takes_added or len(present) <= len(read):
            return
        positions = {tp: await consumer.position(tp) for tp in read}
        consumer.assign([TopicPartition(self._name, p) for p in present])
        for tp, offset in positions.items():
            consumer.seek(tp, offset)

    @asynccontextmanager
    async def _consuming(self) -> AsyncIterator[AIOKafkaConsumer]:
        partitions = await partitions_of(self._settings.bootstrap, self._name)
        consumer = AIOKafkaConsumer(
            **kafka_options(self._settings.bootstrap),
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",  # where retention overtakes a slow reader: lose no more than is lost
            isolation_level="read_committed",
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            **self._pace,
        )
        try:
            async with reaching(self._settings.bootstrap):
                await self._begin(consumer, partitions)
            yield consumer
        except KafkaError as error:
            if refused := not_allowed(error, self._settings.bootstrap):
                raise refused from error
            raise
        finally:
            if self._commits:
                await self._commits.commit()
            await consumer.stop()

    async def _begin(self, consumer: AIOKafkaConsumer, partitions: Iterable[int]) -> None:
        if self._group is not None:
            self._commits = Commits(consumer, self._from, self._settings.commit_interval_s)
            consumer.subscribe([self._name], listener=self._commits)
            await consumer.start()
            return
        await consumer.start()
        wanted = set(partitions) & set(self._from) if isinstance(self._from, Mapping) else partitions
        tps = [TopicPartition(self._name, p) for p in wanted]
        await acquaint(consumer, self._name)
        self._ends = await consumer.end_offsets(tps)
        starts = await starting_offsets(consumer, self._from, tps)
        consumer.assign(tps)  # not before: the answers above would wait behind its first fetches, 0.5 s each
        for tp, offset in starts.items():
            consumer.seek(tp, offset)


def subscribe_events(
    topic: str,
    from_: Start = "latest",
    *,
    settings: Settings | None = None,
    group: str | None = None,
    follow: bool = True,
) -> Subscription[records.Event]:
    """The events of a topic with their metadata, to be iterated with `async for`.

    `topic` is a name with or without prefix. `from_` is "latest", "earliest", a time with zone (by the broker's append
    time), an offset for every partition, or {partition: offset} to read those partitions alone; offsets are brought
    into what the topic holds. Without `group`: all partitions, nothing is committed. With a group its members share
    the partitions, each event comes at least once, and `from_` counts only where the group has no offset yet.
    With `follow=False` the iteration ends with what lay in the topic at its start.

    Values that are no event are logged and skipped, later copies of a verdict_id ignored (the newest 8,192 ids of a
    partition are remembered, from where reading began). Leaving the iteration closes the consumer; wrap it in
    `contextlib.aclosing(aiter(...))` to wait for that. Raises BrokerUnreachableError, CallerError for an unknown
    topic, OperatorError where a schema registry is configured and needed but does not answer.
    """
    settings = settings or load_settings()
    return Subscription(topic_named(topic, settings.topic_prefix), from_, settings=settings, group=group, follow=follow)


@overload
def subscribe(
    topic: Literal["frames"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.FrameCaptured]: ...
@overload
def subscribe(
    topic: Literal["verdicts"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.VerdictIssued]: ...
@overload
def subscribe(
    topic: Literal["defects"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.DefectDetected]: ...
@overload
def subscribe(
    topic: Literal["deadletters"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.DeadLetter]: ...
@overload
def subscribe(topic: Literal["recipes"], from_: Start = ..., **options: Any) -> AsyncGenerator[records.Recipe]: ...
@overload
def subscribe(topic: Literal["parts"], from_: Start = ..., **options: Any) -> AsyncGenerator[records.PartDecided]: ...
@overload
def subscribe(
    topic: Literal["outcomes"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.ReworkOutcome]: ...
@overload
def subscribe(
    topic: Literal["samples"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.SampleSelected]: ...
@overload
def subscribe(
    topic: Literal["line-stats"], from_: Start = ..., **options: Any
) -> AsyncGenerator[records.LineWindow]: ...
@overload
def subscribe(topic: Literal["alarms"], from_: Start = ..., **options: Any) -> AsyncGenerator[records.AlarmRaised]: ...
@overload
def subscribe(topic: str, from_: Start = ..., **options: Any) -> AsyncGenerator[records.Event]: ...
async def subscribe(topic: str, from_: Start = "latest", **options: Any) -> AsyncGenerator[Any]:
    """The plain records of a topic; arguments as for `subscribe_events`."""
    async with aclosing(aiter(subscribe_events(topic, from_, **options))) as events:
        async for event in events:
            yield event.record
