"""Faust as Lineside needs it: committed reads, a buffer bounded in bytes, and the settings that were measured to work.

Every agent's app is made here. Knows nothing of inspection; what was measured about Faust is in `infra/decisions`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

import faust
import faust.auth
from faust.exceptions import ConsumerNotStarted
from faust.streams import _CStreamIterator  # type: ignore[attr-defined]  # whether the compiled one is there
from faust.tables import TableManager
from faust.transport.drivers import aiokafka as driver
from mode.utils.queues import ThrowableQueue

from streams.bus.connect import gathering
from streams.bus.refusals import not_allowed
from streams.bus.rights import require_membership
from streams.bus.security import connection_options
from streams.errors import OperatorError
from streams.settings import Settings
from streams.topics import FRAMES

FETCH_MAX_BYTES = FRAMES.max_message_bytes // 4  # a partition and fetch; one larger event still comes, alone
SESSION_S = 6.0  # Kafka's own least: a killed worker's partitions stand still for so long
HEARTBEAT_S = 1.0  # also how late the others hear that they must take them
NEXT_SEEK_S = 15.0  # from one that failed, because partitions were taken away, to that of the next assignment
METADATA_MAX_AGE_MS = 3_000  # how late a new partition is seen, which then takes a rebalance


Starts = Callable[[Mapping[Any, int | None]], Awaitable[Mapping[Any, int]]]
"""Given what the group has committed, by topic and partition: where to read from instead, where that is another."""


class ReadCommittedThread(driver.AIOKafkaConsumerThread):
    """Faust reads uncommitted unless `exactly_once` is on; an aborted transaction's frames are no frames.

    Its driver leaves no room for a consumer's options either.
    """

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._isolation_level = "read_committed"
        for option, value in gathering(transport.app.gather_ms).items():
            setattr(consumer, f"_{option}", value)
        return consumer

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109  # Faust's signature
        max_records: int | None = None,
    ) -> Any:
        """As Faust's; whose records came last stands last in line.

        aiokafka would give all of one partition's fetch, a thousand frames, before the next partition's first one.
        """
        records = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        line = consumer._fetcher._records
        for tp in records:
            if tp in line:
                line[tp] = line.pop(tp)
        return records

    async def begin_at_first(self, tps: Iterable[Any]) -> None:
        """Nothing of these was ever committed.

        aiokafka fetches from the moment of an assignment, and Faust drops what comes before it has sought; without a
        place to seek to the next fetch would go on behind what was dropped.
        """
        await self.call_thread(self._ensure_consumer().seek_to_beginning, *tps)

    def unread(self, tp: Any) -> int | None:
        """Offsets that are ready to be read and not fetched yet; None where that is not known just now.

        It never waits: aiokafka's own `position` does, for a partition without one, for as long as a rebalance takes,
        and whoever watched by it would see a worker that does nothing.
        """
        subscription = self._ensure_consumer()._subscription.subscription
        assignment = subscription.assignment if subscription else None
        state = assignment.state_value(tp) if assignment else None
        if state is None or state.lso is None or not state.has_valid_position:
            return None
        return max(0, int(state.lso - state.position))


class ReadCommittedConsumer(driver.Consumer):
    """Begins each assignment where the app's `starts` says, and where that is silent at what is committed."""

    _sought = 0

    async def perform_seek(self) -> None:
        """As Faust's, which passes over that it failed while partitions come and go; another one makes it good.

        Where none does, the worker ends: reading on from elsewhere would pass frames over.
        """
        before = self._sought
        try:
            await super().perform_seek()
        except Exception as error:
            self.add_future(self._sought_again(before, error))
            raise
        self._sought += 1

    async def _sought_again(self, before: int, error: Exception) -> None:
        await self.sleep(NEXT_SEEK_S)
        if self._sought == before and not self.should_stop:
            await self.crash(error)

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Faust takes what is given here for what is committed and read; so a lower offset is committed again."""
        app: Any = self.app  # a LinesideApp
        thread: Any = self._thread
        committed: dict[Any, Any] = dict(await super().seek_to_committed())
        starts: dict[Any, int] = dict(await app.starts(committed)) if app.starts else {}
        if fresh := [tp for tp, offset in committed.items() if offset is None and tp not in starts]:
            await thread.begin_at_first(fresh)
        if starts:
            await self.seek_wait(starts)
        return committed | starts

    def _new_consumer_thread(self) -> ReadCommittedThread:
        return ReadCommittedThread(self, loop=self.loop, beacon=self.beacon)


class ReadCommittedTransport(driver.Transport):
    Consumer = ReadCommittedConsumer


class ByteBoundedQueue(ThrowableQueue):  # type: ignore[type-arg]
    """Faust's buffer counts messages; this one is also full when its messages hold `max_bytes`.

    Its size is the larger of both fills, in messages, so that all of Faust's back-pressure works by it.
    """

    def __init__(self, maxsize: int, max_bytes: int, **options: Any) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._queue: Any  # asyncio's, a deque
        super().__init__(maxsize, **options)

    def qsize(self) -> int:
        return max(len(self._queue), self._bytes * self.maxsize // self._max_bytes)

    def empty(self) -> bool:
        return not self._queue and not self._errors

    def clear(self) -> None:
        super().clear()
        self._bytes = 0

    def _put(self, item: Any) -> None:
        self._bytes += len(item.message.value or b"")
        super()._put(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= len(item.message.value or b"")
        return item


class NoTables(TableManager):
    """Faust waits a second at each start for tables that agents may still declare; ours have none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class LinesideApp(faust.App):
    """Faust as Lineside needs it: committed reads and a buffer bounded in bytes."""

    bootstrap = ""
    buffer_max_bytes = 64 << 20
    gather_ms = 0
    starts: Starts | None = None
    held: frozenset[Any] = frozenset()  # topics and partitions that are not read for now; see `holding.py`

    async def start(self) -> None:
        """As Faust's; NotAllowedError without the rights to its group and topics, for which Faust waits in silence."""
        topics = {topic for agent in self.agents.values() for topic in agent.channel.topics}
        await require_membership(self.bootstrap, self.conf.id, sorted(topics))
        await super().start()

    async def _on_partitions_revoked(self, revoked: Any) -> None:
        """As Faust's, also while it stops: what is under way is finished, and the group goes on.

        Faust closes the consumer then, from the wrong thread: it neither answers the rebalance nor leaves the group,
        which stood still until the process ended.
        """
        if self.should_stop:
            await self._consumer_wait_empty(self.consumer, self.log)
        else:
            await super()._on_partitions_revoked(revoked)

    def _on_rebalance_when_stopped(self) -> None:
        """Nothing: what is assigned while it stops stays paused, and is given back in a moment."""

    def _new_transport(self) -> Any:
        return ReadCommittedTransport(self.conf.broker_consumer, self)

    def unread(self) -> dict[Any, int]:
        """How many offsets of each assigned TP are ready and not fetched; those unknown just now are left out."""
        consumer: Any = self.consumer
        try:
            found = {tp: consumer._thread.unread(tp) for tp in consumer.assignment() - self.held}
        except ConsumerNotStarted:  # before the first rebalance
            return {}
        return {tp: offsets for tp, offsets in found.items() if offsets is not None}

    def FlowControlQueue(self, maxsize: int | None = None, *, clear_on_resume: bool = False) -> Any:  # noqa: N802
        return ByteBoundedQueue(
            maxsize or self.conf.stream_buffer_maxsize,
            self.buffer_max_bytes,
            flow_control=self.flow_control,
            clear_on_resume=clear_on_resume,
        )


def why_it_gave_up(app: faust.App, settings: Settings) -> str:
    """Why a crashed app crashed, for whoever runs it: what Kafka forbade as a sentence, anything else as it is."""
    reason = app.crash_reason
    refused = not_allowed(reason, settings.bootstrap) if reason else None
    return str(refused) if refused else f"Faust gave up: {reason!r}"


def _credentials(bootstrap: str) -> faust.auth.Credentials | None:
    """The security of a connection in Faust's words; it hands both values on to aiokafka as they are."""
    options = connection_options(bootstrap)
    if not options:
        return None
    if "sasl_mechanism" not in options:
        return faust.auth.SSLCredentials(options["ssl_context"])
    return faust.auth.SASLCredentials(
        username=options["sasl_plain_username"],
        password=options["sasl_plain_password"],
        ssl_context=options["ssl_context"],
        mechanism=options["sasl_mechanism"],
    )


def faust_app(settings: Settings, name: str, gather_ms: int = 0) -> LinesideApp:
    """A Faust app with the settings that were measured to work; refuses Faust without its compiled iterator.

    An app that is not in a hurry takes its events up to `gather_ms` late, many at once.
    """
    if _CStreamIterator is None:
        raise OperatorError(
            "Faust's compiled stream iterator is missing (NO_CYTHON, or a build without it); the pure Python one loses "
            "frames. Install the faust-streaming wheel for this platform."
        )
    brokers = ";".join(f"kafka://{host.strip()}" for host in settings.bootstrap.split(","))
    app = LinesideApp(
        settings.topic_prefix + name,
        broker=brokers,
        broker_credentials=_credentials(settings.bootstrap),
        store="memory://",
        TableManager=NoTables,
        datadir=settings.data_dir / "faust",
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        table_standby_replicas=0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=FETCH_MAX_BYTES,
        consumer_metadata_max_age_ms=METADATA_MAX_AGE_MS,
        broker_max_poll_records=64,
        broker_commit_interval=settings.commit_interval_s,
        broker_session_timeout=SESSION_S,
        broker_rebalance_timeout=60.0,
        broker_heartbeat_interval=HEARTBEAT_S,
        producer_request_timeout=60.0,
        stream_buffer_maxsize=settings.buffer_messages,
        stream_wait_empty=True,
    )
    app.bootstrap = settings.bootstrap
    app.gather_ms = gather_ms
    app.buffer_max_bytes = max(settings.inflight_max_bytes // 4, 2 * FRAMES.max_message_bytes)
    return app
