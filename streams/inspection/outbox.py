"""Publishes what was decided, in the order of the partition, and acknowledges what is confirmed.

Place in the flow: behind the decision, one outbox a lane. The verdict goes first; only when the broker has confirmed
it do the defect and the dead letter follow; only when all are confirmed is the frame acknowledged. A send that fails is
never the frame's fault: it ends the process. It decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.records import DeadLetter, DefectDetected, Event, VerdictIssued
from streams.inspection.lanes import Lane, Slot
from streams.topics import DEADLETTERS, DEFECTS, VERDICTS, Topic, station_key


class Sender(Protocol):
    """The part of `bus.publisher.Publisher` that an outbox needs."""

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]: ...


@dataclass(frozen=True, slots=True)
class Outputs:
    """What one frame leads to. `redelivered` verdicts are on the topic already and are not sent again."""

    verdict: VerdictIssued | None = None
    redelivered: bool = False
    defect: DefectDetected | None = None
    dead_letter: DeadLetter | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """One frame on its way through a lane."""

    nbytes: int
    ack: Callable[[], None]
    outputs: Outputs = Outputs()  # frozen
    decided_at: float = 0.0


class Outbox:
    """The publishing side of one lane."""

    def __init__(
        self, partition: int, sender: Sender, acked: Callable[[Entry], None], die: Callable[[str], None]
    ) -> None:
        self._partition = partition
        self._sender = sender
        self._acked = acked
        self._die = die
        self.lane: Lane[Entry] = Lane()
        self._decided = asyncio.Event()
        self._unconfirmed: asyncio.Queue[tuple[Slot[Entry], Awaitable[object] | None]] = asyncio.Queue()
        self._following: asyncio.Queue[tuple[Slot[Entry], list[Awaitable[object]]]] = asyncio.Queue()
        stages = (self._send_verdicts, self._send_followers, self._acknowledge)
        self._tasks = [asyncio.create_task(self._guarded(stage)) for stage in stages]

    def decide(self, slot: Slot[Entry], outputs: Outputs) -> None:
        """Hand over what a frame leads to; it is published when its turn has come."""
        slot.content.outputs = outputs
        slot.content.decided_at = time.monotonic()
        if self.lane.decide(slot):
            self._decided.set()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _guarded(self, stage: Callable[[], Awaitable[None]]) -> None:
        try:
            await stage()
        except Exception as error:  # whatever it was, outputs may be missing: nothing may be acknowledged any more
            self._die(f"publishing to partition {self._partition} failed: {type(error).__name__}: {error}")

    async def _send_verdicts(self) -> None:
        while True:
            await self._decided.wait()
            self._decided.clear()
            for slot in self.lane.take_decided():
                outputs, sent = slot.content.outputs, None
                if outputs.verdict and not outputs.redelivered:
                    sent = await self._send(VERDICTS, outputs.verdict, _key(outputs.verdict))
                self._unconfirmed.put_nowait((slot, sent))

    async def _send_followers(self) -> None:
        while True:
            slot, verdict_sent = await self._unconfirmed.get()
            if verdict_sent is not None:
                await verdict_sent
            outputs, followers = slot.content.outputs, list[Awaitable[object]]()
            if outputs.defect:
                followers.append(await self._send(DEFECTS, outputs.defect, _key(outputs.defect.verdict)))
            if outputs.dead_letter:
                followers.append(await self._send(DEADLETTERS, outputs.dead_letter, outputs.dead_letter.key))
            self._following.put_nowait((slot, followers))

    async def _acknowledge(self) -> None:
        while True:
            slot, followers = await self._following.get()
            for follower in followers:
                await follower
            for ready in self.lane.confirm(slot):
                ready.content.ack()
                self._acked(ready.content)

    async def _send(self, topic: Topic, record: Event, key: bytes | None) -> Awaitable[object]:
        return await self._sender.send(topic, record, key=key, partition=self._partition)


def _key(verdict: VerdictIssued) -> bytes:
    return station_key(verdict.plant, verdict.line, verdict.station)
