"""The inspection of all partitions of one worker: admits frames, keeps a lane for each partition, drains on stop.

Place in the flow: the agent hands over every event with `accept`; the inspector answers, the outbox publishes. Frames
of one partition run side by side and come out in order. It knows nothing of Faust and of how a verdict is made.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from schemas.records import VerdictIssued
from streams.inspection.budget import Budget
from streams.inspection.decide import Source, VerdictAt
from streams.inspection.inspector import Arrival, Inspector
from streams.inspection.lanes import Slot
from streams.inspection.metrics import InspectionMetrics
from streams.inspection.outbox import Entry, Outbox, Outputs, Sender


class Known(Protocol):
    """What the topic of verdicts has already: `bus.readback.Published`."""

    @property
    def about(self) -> Mapping[VerdictAt, VerdictIssued]: ...
    @property
    def newest(self) -> Mapping[UUID, VerdictIssued]: ...


KnownFrom = Callable[[int, str, int], Awaitable[Known]]
"""What a partition has already, of a topic of frames from an offset on."""
OnGap = Callable[[int, int, int], None]
"""Told of a partition whose frames from one offset to before another did not come."""


@dataclass(frozen=True, slots=True, eq=False)
class _Assignment:
    """One partition in one generation of the consumer group."""

    generation: int
    outbox: Outbox
    known: asyncio.Task[Known]


class Inspection:
    """Use it on one event loop. `die` ends the process; it is called where going on could lose a frame."""

    def __init__(
        self,
        inspector: Inspector,
        known_from: KnownFrom,
        sender: Sender,
        budget: Budget,
        metrics: InspectionMetrics,
        die: Callable[[str], None],
        on_gap: OnGap = lambda partition, low, high: None,
    ) -> None:
        self._inspector = inspector
        self._known_from = known_from
        self._sender = sender
        self._budget = budget
        self._metrics = metrics
        self._die = die
        self._on_gap = on_gap
        self._assignments: dict[int, _Assignment] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.completed = 0

    @property
    def in_flight(self) -> int:
        """Frames admitted and not yet acknowledged."""
        return self._budget.frames

    @property
    def reading_back(self) -> list[int]:
        """Partitions whose frames wait until it is known what is published already."""
        return sorted(number for number, assignment in self._assignments.items() if not assignment.known.done())

    async def accept(self, arrival: Arrival) -> None:
        """Take one event in; waits while the budget is used up, so that Kafka and not the heap holds the rest."""
        try:
            await self._take(arrival)
        except Exception as error:  # Faust would go on without it, and wait for it at the next rebalance
            self._die(f"taking {_where(arrival)} failed: {error!r}")

    async def _take(self, arrival: Arrival) -> None:
        nbytes = len(arrival.value or b"")
        while not self._budget.admits(nbytes):
            self._changed.clear()
            await self._changed.wait()
        self._budget.admit(nbytes, time.monotonic())
        self._gauge()
        assignment = self._assignment(arrival)
        lane, offset = assignment.outbox.lane, arrival.source.offset
        if lane.newest is not None and offset > lane.newest + 1:
            self._on_gap(arrival.source.partition, lane.newest + 1, offset)
        slot = lane.open(offset, Entry(nbytes, arrival.ack))
        task = asyncio.create_task(self._handle(arrival, assignment, slot))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until every frame that was accepted is acknowledged; whoever calls it has stopped bringing more."""
        while self._budget.frames:
            self._changed.clear()
            await self._changed.wait()

    def close(self) -> None:
        for assignment in self._assignments.values():
            assignment.outbox.close()

    def _assignment(self, arrival: Arrival) -> _Assignment:
        """The partition's lane; a new one first reads back what is published already.

        A new generation gets one, and so does a partition of which a frame comes again in the same generation: Faust
        seeks more than once around a rebalance, and then gives the last one that it gave once more.
        """
        source = arrival.source
        current = self._assignments.get(source.partition)
        if current and current.generation == arrival.generation and not current.outbox.lane.passed(source.offset):
            return current
        outbox = Outbox(source.partition, self._sender, self._acked, self._die)
        reading = asyncio.create_task(self._read_back(current.outbox if current else None, source))
        self._assignments[source.partition] = _Assignment(arrival.generation, outbox, reading)
        return self._assignments[source.partition]

    async def _read_back(self, before: Outbox | None, source: Source) -> Known:
        """What is published already. An earlier lane of the partition ends first: it might still add to it."""
        while before and before.lane:
            self._changed.clear()
            await self._changed.wait()
        if before:
            before.close()
        await self._inspector.quarantine.look_again()
        return await self._known_from(source.partition, source.topic, source.offset)

    async def _handle(self, arrival: Arrival, assignment: _Assignment, slot: Slot[Entry]) -> None:
        try:
            known = await assignment.known
            outputs = await self._inspector.inspect(arrival, known.about, known.newest)
            assignment.outbox.decide(slot, outputs)
        except Exception as error:  # a bug or a broken part: without outputs the frame may not be acknowledged
            self._die(f"inspecting {_where(arrival)} failed: {type(error).__name__}: {error}")

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
            if outputs.verdict.batch_size:
                self._metrics.queue.observe(outputs.verdict.queue_ms / 1000)
                self._metrics.decode.observe(outputs.verdict.decode_ms / 1000)
        if outputs.dead_letter:
            self._metrics.deadletters.labels(outputs.dead_letter.reason).inc()
        self._gauge()

    def _gauge(self) -> None:
        self._metrics.inflight_frames.set(self._budget.frames)
        self._metrics.inflight_bytes.set(self._budget.bytes)


def _where(arrival: Arrival) -> str:
    return f"{arrival.source.topic}/{arrival.source.partition}@{arrival.source.offset}"
