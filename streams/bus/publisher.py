"""Sends events to Kafka, each confirmed by every in-sync replica; the way out of gateways and agents.

Every event is Avro in Confluent framing with CloudEvents headers in binary mode. A key is placed by murmur2, the
default of the Java client. Does not know where records come from, nor what a failed send means to its caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata

from schemas import records
from schemas.codec import Codec
from streams.bus.abort import abort, track_requests
from streams.bus.admin import wait_for_broker
from streams.bus.connect import ANSWER_TIMEOUT_S, START_TIMEOUT_S, reaching, topic_missing
from streams.bus.refusals import not_allowed
from streams.bus.security import kafka_options
from streams.errors import CallerError, LinesideError, OperatorError
from streams.topics import KEY_PART, TOPICS, Topic

REQUEST_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 60.0
METADATA_MAX_AGE_MS = 10_000  # how long keys are placed by an old number of partitions
METADATA_POLL_S = 0.1
ADDED_TIMEOUT_S = 3.0
BATCH_MAX_BYTES = 512 << 10  # below every topic's max_message_bytes, which limits a whole batch
REQUEST_MAX_BYTES = max(topic.max_message_bytes for topic in TOPICS.values()) + (1 << 20)

Compression = Literal["lz4", "zstd", "snappy", "gzip"]
Headers = list[tuple[str, bytes]]
StationEvent = (
    records.PartDecided
    | records.ReworkOutcome
    | records.SampleSelected
    | records.StationClaim
    | records.LineWindow
    | records.DefectLocated
    | records.CameraReference
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where the broker put one event. `timestamp_ms` is the broker's append time, milliseconds since 1970."""

    partition: int
    offset: int
    timestamp_ms: int


class RecordTooLargeError(CallerError):
    """An event exceeds what its topic accepts."""


class Publisher:
    """An idempotent producer of typed events; use it as an async context manager, or start() and stop() it.

    After a send that the broker refused, or after stop(), send nothing more: the sequence numbers of an idempotent
    producer then have a gap and the broker refuses what follows in that partition. Start a new one.
    """

    def __init__(
        self, bootstrap: str, prefix: str, codec: Codec, *, compression: Compression | None = None, linger_ms: int = 0
    ) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._codec = codec
        self._compression = compression
        self._linger_ms = linger_ms
        self._producer: AIOKafkaProducer | None = None
        self._pending: set[asyncio.Future[Delivery]] = set()
        self._requests: set[asyncio.Task[None]] = set()

    @property
    def pending(self) -> int:
        """Events handed over whose delivery is not yet confirmed."""
        return len(self._pending)

    async def start(self) -> None:
        """Connects; BrokerUnreachableError where no Kafka answers, NotAllowedError for who may write nothing at all."""
        await wait_for_broker(self._bootstrap, ANSWER_TIMEOUT_S)
        async with reaching(self._bootstrap):
            producer = AIOKafkaProducer(
                **kafka_options(self._bootstrap),
                acks="all",
                enable_idempotence=True,
                compression_type=self._compression,
                linger_ms=self._linger_ms,
                metadata_max_age_ms=METADATA_MAX_AGE_MS,
                max_batch_size=BATCH_MAX_BYTES,
                max_request_size=REQUEST_MAX_BYTES,
                request_timeout_ms=int(REQUEST_TIMEOUT_S * 1000),
            )
            self._requests = track_requests(producer)
            try:
                async with asyncio.timeout(START_TIMEOUT_S):
                    await producer.start()
            except BaseException as error:
                await producer.stop()
                if refused := not_allowed(error, self._bootstrap, "write to any topic"):
                    raise refused from error
                raise
        self._producer = producer

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Waits until everything sent is confirmed, then closes; OperatorError where that takes above `timeout_s`."""
        if self._producer is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._producer.stop()
        except TimeoutError:
            await self._producer.client.close()
            error = OperatorError(
                f"{self.pending} events were not confirmed by {self._bootstrap} within {timeout_s:g} s of closing; "
                "see whether all brokers run, then start this program again"
            )
            for future in tuple(self._pending):
                future.set_exception(error)
                future.exception()  # the error below reports them all
            raise error from None

    async def abort(self) -> None:
        """Closes at once: what is not confirmed fails, and none of it is sent any more when this returns."""
        if self._producer is None:
            return
        await abort(self._producer, self._requests)
        for future in tuple(self._pending):
            if not future.done():
                future.set_exception(OperatorError(f"the connection to {self._bootstrap} was given up"))
            future.exception()  # who awaits it is told; nobody must
        self._pending.clear()

    async def __aenter__(self) -> Publisher:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def send(
        self, topic: Topic, record: records.Event, *, key: bytes | None, partition: int | None = None
    ) -> asyncio.Future[Delivery]:
        """Hands one event over and returns a future that resolves when the broker has confirmed it.

        Awaits only while the partition's buffer is full. Order within a partition is the order of calls, each awaited
        before the next. Give `partition` for everything derived from another topic's partition, and for every dead
        letter, whose key may be None or any bytes; without it the key decides.

        Raises RecordTooLargeError; CallerError for a topic or partition that does not exist; OperatorError where the
        buffer stays full. The future raises OperatorError, or NotAllowedError where this user may not write there.
        """
        if self._producer is None:
            raise CallerError("the publisher is not started; use `async with Publisher(...)`")
        name = self._prefix + topic.name
        if key is None and partition is None:
            raise CallerError(f"an event for {name} needs a key or a partition; came neither")
        value = self._codec.encode(record)
        headers = cloud_event_headers(record, key)
        _check_size(topic, key, value, headers)
        await self._check_partition(self._producer, topic, partition)
        try:
            sent = await self._producer.send(name, value, key=key, partition=partition, headers=headers)
        except KafkaError as error:
            raise _not_delivered(name, self._bootstrap, error) from error
        delivery = asyncio.get_running_loop().create_future()
        self._pending.add(delivery)
        delivery.add_done_callback(self._pending.discard)
        sent.add_done_callback(_resolve(name, self._bootstrap, delivery))
        return delivery

    async def partitions(self, topic: Topic, at_least: int = 1, timeout_s: float = START_TIMEOUT_S) -> int:
        """How many partitions the broker says that a topic has; from now on keys are placed by that number.

        Waits until there are `at_least` so many; CallerError where there are fewer after `timeout_s`.
        """
        if self._producer is None:
            raise CallerError("the publisher is not started; use `async with Publisher(...)`")
        name, client, known = self._prefix + topic.name, self._producer.client, set[int]()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._producer.partitions_for(name)
                while True:
                    await client.force_metadata_update()  # may be one that was asked for before
                    await client.force_metadata_update()
                    known = client.cluster.partitions_for_topic(name) or set()
                    if len(known) >= at_least:
                        return len(known)
                    await asyncio.sleep(METADATA_POLL_S)
        raise CallerError(
            f"{name} has {len(known)} partitions, {at_least} are needed; run `lineside topics --grow {at_least}`"
        )

    async def _check_partition(self, producer: AIOKafkaProducer, topic: Topic, partition: int | None) -> None:
        name = self._prefix + topic.name
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                known = await producer.partitions_for(name)
        except (TimeoutError, KafkaError) as error:
            raise topic_missing(name, self._bootstrap) from error
        if partition is not None and partition not in known:  # it may have been added since the last look
            try:
                await self.partitions(topic, partition + 1, ADDED_TIMEOUT_S)
            except CallerError:
                raise CallerError(
                    f"{name} has the partitions 0 to {max(known)}; came {partition}; if topics that feed it have more, "
                    f"run `lineside topics --grow {partition + 1}`"
                ) from None


def _resolve(
    name: str, bootstrap: str, delivery: asyncio.Future[Delivery]
) -> Callable[[asyncio.Future[RecordMetadata]], None]:
    def resolve(sent: asyncio.Future[RecordMetadata]) -> None:
        if delivery.done():
            return
        if sent.cancelled():
            delivery.cancel()
        elif error := sent.exception():
            delivery.set_exception(_not_delivered(name, bootstrap, error))
        else:
            at = sent.result()
            delivery.set_result(Delivery(at.partition, at.offset, at.timestamp))

    return resolve


def _not_delivered(name: str, bootstrap: str, error: BaseException) -> LinesideError:
    return not_allowed(error, bootstrap, f"write to {name}") or OperatorError(
        f"{name} did not take an event: {type(error).__name__}: {error}; see the broker's log, then start this "
        "program again"
    )


def _check_size(topic: Topic, key: bytes | None, value: bytes, headers: Headers) -> None:
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(key, value, headers)
    if size > topic.max_message_bytes:
        raise RecordTooLargeError(
            f"an event of {size} bytes is too large for topic {topic.name}, which takes {topic.max_message_bytes}; "
            "send a large picture as a claim check (lower inline_max_bytes)"
        )


def cloud_event_headers(record: records.Event, key: bytes | None) -> Headers:
    """CloudEvents 1.0 in Kafka's binary mode: an id unique within its source, and the time of the fact itself."""
    event_id, source, time = _identity(record, key)
    return [
        ("ce_id", event_id.encode()),
        ("ce_source", quote(source).encode()),
        ("ce_type", b"lineside." + type(record).__name__.encode()),
        ("ce_specversion", b"1.0"),
        ("ce_time", time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z").encode()),
        ("content-type", b"application/avro"),
    ]


def _identity(record: records.Event, key: bytes | None) -> tuple[str, str, datetime]:
    match record:
        case records.FrameCaptured():
            return f"{record.frame_id}/{record.attempt}", _camera(record), record.captured_at
        case records.VerdictIssued():
            return str(record.verdict_id), _camera(record), record.decided_at
        case records.DefectDetected(verdict=verdict):
            return f"{verdict.verdict_id}/defect", _camera(verdict), verdict.decided_at
        case records.DeadLetter():
            origin = f"{record.source_topic}/{record.source_partition}/{record.source_offset}"
            return origin, _station_of(key), record.at
        case records.AlarmRaised():
            return f"{record.alarm_id}/{record.at.timestamp()}", f"/{record.subject}", record.at
        case records.ShadowCompared(shadow=shadow):
            return f"{shadow.verdict_id}/compared", _camera(shadow), record.compared_at
        case records.Recipe() | records.ModelReleased() | records.ModelProposed():
            return _of_people(record)
        case records.AuditEntry() | records.GateSignal():
            return _of_sender(record)
        case _:
            return _of_station(record)


def _of_people(record: records.Recipe | records.ModelReleased | records.ModelProposed) -> tuple[str, str, datetime]:
    match record:
        case records.Recipe():
            line = f"{record.plant}/{record.line}"
            return f"{line}/{record.sku}/{record.version}", f"/{line}", record.created_at
        case records.ModelProposed():
            moment = f"{record.at.timestamp()}"
            return f"{record.proposal_id}/{moment}", f"/{record.plant}/{record.line}", record.at
        case records.ModelReleased():
            moment = f"{record.released_at.timestamp()}"
            return f"{record.model_id}/{moment}", f"/models/{record.model_id}", record.released_at


def _of_sender(record: records.AuditEntry | records.GateSignal) -> tuple[str, str, datetime]:
    if isinstance(record, records.AuditEntry):
        return f"{record.chain_id}/{record.chain_seq}", f"/{record.chain_id}", record.at
    moment = f"{record.at.timestamp()}"
    return f"{record.pause_id}/{record.kind}/{record.sender}/{moment}", f"/gates/{record.sender}", record.at


def _of_station(record: StationEvent) -> tuple[str, str, datetime]:
    source = f"/{record.plant}/{record.line}/{record.station}"
    match record:
        case records.PartDecided():
            return str(record.decision_id), source, record.decided_at
        case records.ReworkOutcome():
            return str(record.outcome_id), source, record.decided_at
        case records.SampleSelected():
            return str(record.sample_id), source, record.selected_at
        case records.StationClaim():
            return f"{record.claim_id}/{record.released}", source, record.at
        case records.DefectLocated():
            return str(record.location_id), source, record.located_at
        case records.CameraReference():
            return f"{record.camera}/{record.sku}/{record.taught_at.timestamp()}", source, record.taught_at
        case records.LineWindow():
            return f"{record.window_start.timestamp():.0f}/{record.revision}", source, record.at


def _camera(record: records.FrameCaptured | records.VerdictIssued) -> str:
    return f"/{record.plant}/{record.line}/{record.station}/{record.camera}"


def _station_of(key: bytes | None) -> str:
    parts = (key or b"").decode(errors="replace").split("/")
    return "/" + "/".join(parts) if len(parts) == 3 and all(map(KEY_PART.fullmatch, parts)) else "/unknown"
