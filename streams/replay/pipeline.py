"""Frames of the past through the engine and out to the run's topic: side by side within, in order at the end.

Place in the flow: between `past`, which reads, and the run's topic. Bounded in frames and bytes like a worker. What a
run has published already is passed over, so it may end and begin again anywhere. Knows no group and no plan.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Protocol

from schemas.records import VerdictIssued
from streams.inspection.budget import Budget
from streams.inspection.decide import VerdictAt, verdict_id
from streams.replay.past import Past

UNCONFIRMED = 2_000  # verdicts that may be on their way to the broker


class Judge(Protocol):
    async def verdict(self, past: Past) -> VerdictIssued: ...


class Out(Protocol):
    async def send(self, verdict: VerdictIssued) -> Awaitable[object]: ...


class Pipeline:
    """One reading of one set of partitions. `reached` holds, by partition, the offset behind the last that is done."""

    def __init__(
        self, run: str, judge: Judge, out: Out, budget: Budget, wait: Callable[[Past], Awaitable[None]]
    ) -> None:
        """`wait` is awaited before each frame: a replay at a pace waits there."""
        self._run = run
        self._judge = judge
        self._out = out
        self._budget = budget
        self._wait = wait
        self._changed = asyncio.Event()
        self._unconfirmed: asyncio.Queue[tuple[Past, Awaitable[object]] | None] = asyncio.Queue(UNCONFIRMED)
        self._judged: asyncio.Queue[tuple[Past, asyncio.Task[VerdictIssued]] | None] = asyncio.Queue()
        self.reached: dict[int, int] = {}
        self.done = 0

    async def run(
        self, chunks: AsyncIterator[list[Past]], published: Mapping[int, Mapping[VerdictAt, VerdictIssued]]
    ) -> None:
        """Judges all chunks and returns when the broker has confirmed every verdict.

        `published`: by partition, what the run's topic has already. Cancelled, it leaves nothing running.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._send())
            group.create_task(self._confirm())
            try:
                async for chunk in chunks:
                    for past in chunk:
                        await self._take(past, published, group)
            finally:
                self._judged.put_nowait(None)

    async def _take(
        self, past: Past, published: Mapping[int, Mapping[VerdictAt, VerdictIssued]], group: asyncio.TaskGroup
    ) -> None:
        where, frame = past.source, past.frame
        known = published.get(where.partition, {})
        if (where.offset, verdict_id(frame.frame_id, frame.attempt, self._run)) in known:
            self.done += 1
            return
        await self._wait(past)
        while not self._budget.admits(past.nbytes):
            self._changed.clear()
            await self._changed.wait()
        self._budget.admit(past.nbytes, time.monotonic())
        self._judged.put_nowait((past, group.create_task(self._judge.verdict(past))))

    async def _send(self) -> None:
        """Hands verdicts over in the order in which their frames came."""
        while item := await self._judged.get():
            past, task = item
            verdict = await task
            self._budget.release(past.nbytes, time.monotonic())
            self._changed.set()
            await self._unconfirmed.put((past, await self._out.send(verdict)))
        await self._unconfirmed.put(None)

    async def _confirm(self) -> None:
        while item := await self._unconfirmed.get():
            past, delivery = item
            await delivery
            self.reached[past.source.partition] = past.source.offset + 1
            self.done += 1
