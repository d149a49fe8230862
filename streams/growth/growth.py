"""Adds partitions to all topics keyed by station, in the order in which nothing is lost and no order breaks.

    derived topics grow ─ gateways pause ─ all frames decided, all parts made ─ frames grow ─ gateways go on
    └ nothing is written there yet       └ a key's partition changes here: no frame of it may be under way ┘

Every step can be done again: what broke off is finished by the next run. Knows Kafka through `Ground`; decides how long
to wait and what to say.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from streams.errors import OperatorError
from streams.growth.gateways import Pause
from streams.partitions import Plan, plan

POLL_S = 0.25
QUIET_S = 2.0  # no frame for so long after all gateways paused: no other producer writes
TAKEN_S = 30.0


class Ground(Protocol):
    """What is needed of Kafka; topics by full name."""

    @property
    def frames(self) -> Sequence[str]:
        """The topics of frames, of all pools."""
        ...

    async def counts(self) -> dict[str, int]:
        """Partitions of every topic keyed by station; 0 for one that is missing."""
        ...

    async def audit(self, before: Mapping[str, int], target: int) -> None: ...

    async def grow(self, topics: Mapping[str, int], partitions: int) -> None:
        """Returns when the new partitions take records. `topics` by name, with what they have now."""
        ...

    async def frame_ends(self) -> Mapping[Any, int]:
        """The ends of all partitions of all frames."""
        ...

    async def waits(self) -> dict[str, int]:
        """Who still has how much to read before keys may move: `inspection` always, others where they run."""
        ...

    async def untaken(self, partitions: int) -> int:
        """How many partitions of frames no inspection worker reads; 0 where no worker runs."""
        ...

    async def moved_keys(self, behind: int) -> dict[str, list[int]]:
        """Stations with frames in two partitions since frames had more than `behind`."""
        ...


@dataclass(slots=True)
class Report:
    """What a growth did; times in seconds."""

    target: int
    before: Mapping[str, int]
    grown: list[str] = field(default_factory=list)
    gateways: list[str] = field(default_factory=list)
    paused_s: float = 0.0
    drained_s: float = 0.0
    taken_s: float | None = None  # until workers read the new partitions
    moved_keys: dict[str, list[int]] = field(default_factory=dict)
    setting: str = ""


class Growth:
    """One run. `say` tells a person what goes on; `timeout_s` limits how long gateways may be paused."""

    def __init__(self, ground: Ground, pause: Pause, say: Callable[[str], None], timeout_s: float) -> None:
        self._ground = ground
        self._pause = pause
        self._say = say
        self._timeout_s = timeout_s

    async def run(self, target: int) -> Report:
        """CallerError for what can't be; OperatorError where draining takes too long: gateways have gone on then."""
        counts = await self._ground.counts()
        todo = plan(counts, self._ground.frames, target)
        report = Report(target, counts, setting=f"LINESIDE_PARTITIONS={target}")
        await self._pause.refuse_another()
        await self._pause.end_abandoned(min(counts[name] for name in self._ground.frames))
        if todo.derived or todo.frames:
            await self._ground.audit(counts, target)
        if todo.derived:
            self._say(f"{len(todo.derived)} derived topics get {target} partitions")
            await self._ground.grow(todo.derived, target)
            report.grown += todo.derived
        if todo.frames:
            await self._grow_frames(todo, report)
        if todo.behind is not None:
            report.moved_keys = await self._ground.moved_keys(todo.behind)
        return report

    async def _grow_frames(self, todo: Plan, report: Report) -> None:
        now, began_s = min(todo.frames.values()), time.monotonic()
        async with self._pause.held(lambda: now):
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._wait_for_gateways(report)
                    await self._drain(report)
            except TimeoutError:
                raise OperatorError(await self._why_not()) from None
            if not self._pause.safe:
                raise OperatorError(
                    "Kafka did not confirm that the pause goes on, so gateways may have gone on; run it again"
                )
            await self._ground.grow(todo.frames, report.target)
            now = report.target
        report.grown += todo.frames
        report.paused_s = time.monotonic() - began_s
        self._say(f"frames has {report.target} partitions; gateways go on after {report.paused_s:.1f} s")
        await self._watch_them_go_on(report, began_s)

    async def _wait_for_gateways(self, report: Report) -> None:
        self._say("gateways are asked to pause")
        report.gateways = sorted(await self._pause.all_paused())
        self._say(f"{len(report.gateways)} gateways have paused")

    async def _drain(self, report: Report) -> None:
        """Returns when nothing waits and nobody has sent a frame for QUIET_S."""
        began_s = quiet_since_s = time.monotonic()
        ends, said = await self._ground.frame_ends(), ""
        while True:
            waits = await self._ground.waits()
            latest = await self._ground.frame_ends()
            if latest != ends or await self._pause.missing():
                ends, quiet_since_s = latest, time.monotonic()
            elif not any(waits.values()) and time.monotonic() - quiet_since_s >= QUIET_S:
                break
            if (words := _words(waits)) and words != said:
                self._say(f"waiting for {words}")
                said = words
            await asyncio.sleep(POLL_S)
        report.drained_s = time.monotonic() - began_s
        self._say("every frame has its verdict, every part its decision")

    async def _why_not(self) -> str:
        """What was in the way, asked when time is up."""
        ends = await self._ground.frame_ends()
        reasons = [f"{name} has not answered" for name in sorted(await self._pause.missing())]
        if words := _words(await self._ground.waits()):
            reasons.append(f"{words} (does `lineside worker` run?)")
        await asyncio.sleep(QUIET_S)
        if await self._ground.frame_ends() != ends:
            reasons.append("frames still come, from a producer that is no gateway of ours; stop it meanwhile")
        return (
            f"frames did not grow within {self._timeout_s:g} s: {'; '.join(reasons) or 'drained too late'}. Gateways "
            "go on, nothing is lost; run it again, with a longer --timeout where more time is all that is needed"
        )

    async def _watch_them_go_on(self, report: Report, began_s: float) -> None:
        late, untaken = frozenset(report.gateways), 1
        while (late or untaken) and time.monotonic() - began_s - report.paused_s < TAKEN_S:
            await asyncio.sleep(POLL_S)
            late = await self._pause.late(report.gateways)
            untaken = await self._ground.untaken(report.target)
        if late:
            self._say(f"no answer from {', '.join(sorted(late))}: see whether it sends")
        if untaken:
            self._say(f"{untaken} partitions of frames are read by no worker yet; see `lineside worker`'s log")
        else:
            report.taken_s = time.monotonic() - began_s - report.paused_s


def _words(waits: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count} to go" for name, count in waits.items() if count)
