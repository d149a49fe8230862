"""The parts of all partitions of one service: verdicts in, decisions and alarms out, acknowledged when confirmed.

Place in the flow: the agent hands over every event of `verdicts` with `accept`; what the core answers is sent in that
order, and an offset is acknowledged when all that waited for it is confirmed by the broker. A send that fails ends the
process. Parts that still wait when a partition is taken away belong to whoever reads it next: nothing of them was
acknowledged. It knows nothing of Faust and of how a part is decided.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from schemas.codec import Codec, SchemaInvalidError, SchemaUnknownError
from schemas.records import DeadLetter, Reason, VerdictIssued
from streams.downstream.parts.acks import Prefix
from streams.downstream.parts.assembler import Fate, Seen
from streams.downstream.parts.metrics import PartsMetrics
from streams.downstream.parts.partition import Before, Partition, Step, TimeoutMs
from streams.inspection.inspector import Arrival, dead_letter
from streams.inspection.limits import check_texts
from streams.inspection.outbox import Sender
from streams.topics import ALARMS, DEADLETTERS, PARTS, station_key

log = logging.getLogger(__name__)
RELEASE_TIMEOUT_S = 10.0  # for what is already sent


class History(Protocol):
    """The part of `PartsHistory` that is needed here."""

    async def before(self, partition: int, first: int) -> Before: ...


class _NoVerdictError(Exception):
    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(slots=True)
class _Clock:
    """The broker's time in a partition: of its newest verdict, and on from there while there is nothing to read."""

    newest: datetime
    heard_s: float

    def hear(self, at: datetime, now_s: float) -> datetime:
        self.newest, self.heard_s = max(self.newest, at), now_s
        return self.newest

    def at(self, now_s: float) -> datetime:
        return self.newest + timedelta(seconds=now_s - self.heard_s)


class _Line:
    """One partition in one generation of the consumer group: its core, its acknowledgements and its sends."""

    def __init__(self, core: Partition, clock: _Clock, die: Callable[[str], None]) -> None:
        self.core = core
        self.clock = clock
        self.prefix = Prefix()
        self.order = asyncio.Lock()  # a step is sent before the next is made
        self.unconfirmed = 0  # steps
        self.sent: asyncio.Queue[tuple[list[Awaitable[object]], tuple[int, ...]]] = asyncio.Queue()
        self.acknowledging = asyncio.create_task(self._acknowledge(die))

    def hand_over(self, sends: list[Awaitable[object]], done: tuple[int, ...]) -> None:
        """Acknowledge `done` when all sends so far are confirmed."""
        self.unconfirmed += 1
        self.sent.put_nowait((sends, done))

    async def _acknowledge(self, die: Callable[[str], None]) -> None:
        while True:
            sends, done = await self.sent.get()
            try:
                for send in sends:
                    await send
                for ack in self.prefix.done(done):
                    ack()
            except Exception as error:  # whatever it was, nothing may be acknowledged any more
                die(f"a part's decision was not confirmed: {type(error).__name__}: {error}")
                return
            self.unconfirmed -= 1
            self.sent.task_done()


class Assembly:
    """Use it on one event loop. `die` ends the process; it is called where going on could lose a part."""

    def __init__(
        self,
        codec: Codec,
        timeout_ms: TimeoutMs,
        history: History,
        sender: Sender,
        metrics: PartsMetrics,
        die: Callable[[str], None],
    ) -> None:
        self._codec = codec
        self._timeout_ms = timeout_ms
        self._history = history
        self._sender = sender
        self._metrics = metrics
        self._die = die
        self._lines: dict[int, _Line] = {}
        self._generation: int | None = None
        self._released: int | None = None  # the generation that was given back
        self.taken = 0

    @property
    def unconfirmed(self) -> bool:
        """True while something sent is not confirmed."""
        return any(line.unconfirmed for line in self._lines.values())

    async def accept(self, arrival: Arrival) -> None:
        """Take one event in."""
        try:
            line = await self._line(arrival)
            if line is not None:
                async with line.order:
                    if self._lines.get(arrival.source.partition) is line:  # else given back while it waited
                        await self._take(line, arrival)
                self.taken += 1
        except Exception as error:  # a bug or a broken part: the event may not be acknowledged
            where = f"{arrival.source.topic}/{arrival.source.partition}@{arrival.source.offset}"
            self._die(f"taking {where} failed: {type(error).__name__}: {error}")

    async def pass_time(self, unread: Mapping[int, int]) -> None:
        """Let waits end where a partition has nothing to read; `unread` is how much there is, by partition."""
        for number, line in tuple(self._lines.items()):
            now_s = time.monotonic()
            if unread.get(number, 1):
                line.clock.heard_s = now_s
                continue
            try:
                async with line.order:
                    if self._lines.get(number) is line:
                        step = line.core.pass_time(line.clock.at(now_s), datetime.now(UTC))
                        await self._send(line, number, step)
            except Exception as error:
                self._die(f"deciding parts of partition {number} failed: {type(error).__name__}: {error}")

    async def release(self) -> None:
        """Give all partitions back: what is sent is confirmed and acknowledged, what waits is left to the next."""
        lines, self._lines, self._released = self._lines, {}, self._generation
        for number, line in lines.items():
            try:
                async with asyncio.timeout(RELEASE_TIMEOUT_S), line.order:
                    await self._send(line, number, line.core.end())
                    await line.sent.join()
            except TimeoutError:
                log.warning("partition %d is given back with decisions that are not confirmed yet", number)
            line.acknowledging.cancel()

    async def _line(self, arrival: Arrival) -> _Line | None:
        """The partition's line; None for an event of a generation that was given back."""
        source = arrival.source
        if arrival.generation == self._released:
            return None
        if arrival.generation != self._generation:
            for line in self._lines.values():  # not given back: nothing of them may be acknowledged any more
                line.acknowledging.cancel()
            self._lines, self._generation = {}, arrival.generation
        if source.partition not in self._lines:
            before = await self._history.before(source.partition, source.offset)
            if arrival.generation != self._generation or arrival.generation == self._released:
                return None
            core = Partition(self._timeout_ms, before, source.offset, source.timestamp)
            clock = _Clock(source.timestamp, time.monotonic())
            self._lines[source.partition] = _Line(core, clock, self._die)
        return self._lines[source.partition]

    async def _take(self, line: _Line, arrival: Arrival) -> None:
        source = arrival.source
        line.prefix.open(source.offset, arrival.ack)
        at = line.clock.hear(source.timestamp, time.monotonic())
        now, letter = datetime.now(UTC), None
        try:
            verdict = self._verdict(arrival.value)
        except _NoVerdictError as error:
            log.warning("%s/%d@%d is no verdict: %s", source.topic, source.partition, source.offset, error)
            self._metrics.refused.inc()
            letter = dead_letter(arrival, error.reason, str(error))
        if letter or verdict.simulated:
            step = line.core.pass_time(at, now)
            step = dataclasses.replace(step, done=(*step.done, source.offset))
        else:
            step = line.core.take(Seen(verdict, source.offset, at), now)
            self._metrics.late_views.inc(step.fate is Fate.LATE)
        await self._send(line, source.partition, step, letter)

    def _verdict(self, value: bytes | None) -> VerdictIssued:
        if value is None:
            raise _NoVerdictError(Reason.TOMBSTONE, "a verdict event without a value")
        try:
            verdict = self._codec.decode(value, VerdictIssued)
            check(verdict)
        except SchemaUnknownError as error:
            raise _NoVerdictError(Reason.SCHEMA_UNKNOWN, str(error)) from error
        except (SchemaInvalidError, ValueError) as error:
            raise _NoVerdictError(Reason.SCHEMA_INVALID, str(error)) from error
        return verdict

    async def _send(self, line: _Line, partition: int, step: Step, letter: DeadLetter | None = None) -> None:
        sends: list[Awaitable[object]] = []
        if letter:
            sends.append(await self._sender.send(DEADLETTERS, letter, key=letter.key, partition=partition))
        for part in step.parts:
            key = station_key(part.plant, part.line, part.station)
            sends.append(await self._sender.send(PARTS, part, key=key, partition=partition))
            self._metrics.parts.labels(part.outcome).inc()
        for alarm in step.alarms:
            sends.append(await self._sender.send(ALARMS, alarm, key=alarm.subject.encode(), partition=0))
            self._metrics.alarms.labels(alarm.kind).inc()
        if sends or step.done:
            line.hand_over(sends, step.done)
        self._metrics.open.labels(partition).set(line.core.open_parts)
        self._metrics.held.labels(partition).set(len(line.prefix))


def check(verdict: VerdictIssued) -> None:
    """ValueError where what follows from a verdict could not be keyed, sent or read."""
    station_key(verdict.plant, verdict.line, verdict.station)
    texts = ("camera", "sku", "part_id", "lot_id", "order_id", "model_id")
    check_texts((name, getattr(verdict, name)) for name in texts)
    for name in ("pass_no", "view", "views", "attempt", "gateway_ms"):
        if (getattr(verdict, name) or 0) < 0:
            raise ValueError(f"{name} must be 0 or more; came {getattr(verdict, name)}")
