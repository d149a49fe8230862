"""The inspection of all partitions of one worker: admits frames, keeps a lane for each partition, drains on stop.

Place in the flow: the agent hands over every event with `accept`; the inspector answers, the outbox publishes. Frames of
one partition run side by side and come out in order. It knows nothing of Faust and of how a verdict is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.records import VerdictIssued
from streams.inspection.budget import Budget
from streams.inspection.inspector import Arrival, Inspector
from streams.inspection.lanes import Slot
from streams.inspection.metrics import InspectionMetrics
from streams.inspection.outbox import Entry, Outbox, Outputs, Sender


class Published(Protocol):
    """The part of `bus.readback.VerdictTail` that inspection needs."""

    async def published(self, partition: int, frames_topic: str, from_offset: int) -> dict[int, VerdictIssued]: ...


@dataclass(frozen=True, slots=True, eq=False)
class _Assignment:
    """One partition in one generation of the consumer group."""

    generation: int
    outbox: Outbox
    published: asyncio.Task[dict[int, VerdictIssued]]


class Inspection:
    """Use it on one event loop. `die` ends the process; it is called where going on could lose a frame."""

    def __init__(
        self,
        inspector: Inspector,
        tail: Published,
        sender: Sender,
        budget: Budget,
        metrics: InspectionMetrics,
        die: Callable[[str], None],
    ) -> None:
        self._inspector = inspector
        self._tail = tail
        self._sender = sender
        self._budget = budget
        self._metrics = metrics
        self._die = die
        self._assignments: dict[int, _Assignment] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._closing = False
        self.completed = 0

    @property
    def in_flight(self) -> int:
        """Frames admitted and not yet acknowledged."""
        return self._budget.frames

    async def accept(self, arrival: Arrival) -> None:
        """Take one event in; waits while the budget is used up, so that Kafka and not the heap holds the rest."""
        nbytes = len(arrival.value or b"")
        while self._closing or not self._budget.admits(nbytes):
            self._changed.clear()
            await self._changed.wait()
        self._budget.admit(nbytes, time.monotonic())
        self._gauge()
        assignment = self._assignment(arrival)
        slot = assignment.outbox.lane.open(arrival.source.offset, Entry(arrival.key, nbytes, arrival.ack))
        task = asyncio.create_task(self._handle(arrival, assignment, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Admit nothing any more and wait until every frame under way is acknowledged."""
        self._closing = True
        while self._budget.frames:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        for assignment in self._assignments.values():
            assignment.outbox.close()

    def _assignment(self, arrival: Arrival) -> _Assignment:
        """The partition's lane; a new generation gets a new one, which first reads back what is published already."""
        source = arrival.source
        current = self._assignments.get(source.partition)
        if current and current.generation == arrival.generation:
            return current
        if current and not current.outbox.lane:
            current.outbox.close()
        outbox = Outbox(source.partition, self._sender, self._acked, self._die)
        reading: Awaitable[dict[int, VerdictIssued]]
        reading = self._tail.published(source.partition, source.topic, source.offset)
        self._assignments[source.partition] = _Assignment(arrival.generation, outbox, asyncio.ensure_future(reading))
        return self._assignments[source.partition]

    async def _handle(self, arrival: Arrival, assignment: _Assignment, slot: Slot[Entry]) -> None:
        try:
            known = await assignment.published
            outputs = await self._inspector.inspect(arrival, lambda offset: known.pop(offset, None))
            assignment.outbox.decide(slot, outputs)
        except Exception as error:  # a bug or a broken part: without outputs the frame may not be acknowledged
            where = f"{arrival.source.topic}/{arrival.source.partition}@{arrival.source.offset}"
            self._die(f"inspecting {where} failed: {type(error).__name__}: {error}")

    def _acked(self, entry: Entry) -> None:
        self._budget.release(entry.nbytes, time.monotonic())
        self.completed += 1
        self._changed.set()
        self._count(entry.outputs, time.monotonic() - entry.decided_at)

    def _count(self, outputs: Outputs, publish_s: float) -> None:
        self._metrics.publish.observe(publish_s)
        if outputs.redelivered:
            self._metrics.redelivered.inc()
        elif outputs.verdict:
            self._metrics.verdicts.labels(outputs.verdict.outcome).inc()
            self._metrics.queue.observe(outputs.verdict.queue_ms / 1000)
            self._metrics.decode.observe(outputs.verdict.decode_ms / 1000)
        if outputs.dead_letter:
            self._metrics.deadletters.labels(outputs.dead_letter.reason).inc()
        self._gauge()

    def _gauge(self) -> None:
        self._metrics.inflight_frames.set(self._budget.frames)
        self._metrics.inflight_bytes.set(self._budget.bytes)
