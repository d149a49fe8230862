"""The ground of one fault: topics of its own, workers, what works downstream, a load, and the ledger beside it.

Place in the flow: the runner opens one for each fault and hands it to the fault's function, which harms what is on it.
Whatever was started on it ends with it. Knows no fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient

from streams.bus.admin import ensure_topics
from streams.bus.embedded import EmbeddedBroker
from streams.bus.security import kafka_options
from streams.chaos.downstream import COMMANDS, incomplete
from streams.chaos.fault import Fault, Size
from streams.chaos.judgement import Evidence
from streams.chaos.ledger import Mark, Results, Sample
from streams.chaos.load import Load, LoadPlan
from streams.chaos.programs import Programs
from streams.chaos.reading import OUTAGE, LedgerReader, sample_commits
from streams.chaos.stations import partition_of, stations
from streams.commands.children import Child
from streams.settings import Settings
from streams.topics import DEADLETTERS, DEFECTS, FRAMES, PARTS, VERDICTS, topic_specs

LOOK_S = 1.0
FLOW_S = 120.0  # until every partition has had a verdict, at the start
READY_S = 120.0


@dataclasses.dataclass(frozen=True, slots=True)
class Ground:
    """What all stages of a run share."""

    broker: EmbeddedBroker
    folder: Path
    model_dir: Path
    size: Size = Size.NORMAL
    rate_per_s: float = 150.0
    workers: int = 0  # of faults that don't need one alone; 0: as the fault says


class Stage:
    """Open it as an async context manager; then the load is on and every partition has verdicts."""

    def __init__(self, ground: Ground, fault: Fault) -> None:
        prefix, folder = f"chaos-{fault.name}.", ground.folder / fault.name
        base = Settings(
            bootstrap_servers=ground.broker.bootstrap_servers,
            topic_prefix=prefix,
            data_dir=folder,
            window_s=2,
            lateness_s=3,
            archive_period_s=2,
        )
        self.settings = dataclasses.replace(base, **fault.settings)
        self.broker = ground.broker
        self.size = ground.size
        self.model_dir = ground.model_dir
        self.fault = fault
        self.programs = Programs(self.settings)
        self.workers: list[Child] = []
        self.downstream: dict[str, Child] = {}
        plan = LoadPlan(ground.rate_per_s * fault.rate, fault.deadline_ms)
        self.load = Load(self.settings, plan, stations(self.settings.partitions))
        topics = (FRAMES, VERDICTS, DEADLETTERS, DEFECTS, PARTS)
        self._ledger = LedgerReader(self.settings, topics)
        self._worker_count = max(fault.workers, ground.workers) if fault.workers > 1 else fault.workers
        self._samples: list[Sample] = []
        self._marks: list[Mark] = []
        self._problems: list[str] = []
        self._notes: list[str] = []
        self._letters = 0
        self._sampled = asyncio.Event()
        self._sampling: asyncio.Task[None] | None = None
        self._numbers = itertools.count(1)
        self._started = time.monotonic()
        self._retired_restarts = 0

    async def __aenter__(self) -> Self:
        try:
            await ensure_topics(self.settings.bootstrap, topic_specs(self.settings))
            group = f"{self.settings.topic_prefix}inspection"
            self._sampling = asyncio.create_task(sample_commits(self.settings, group, self._samples, self._sampled))
            started = [self.add_worker() for _ in range(self._worker_count)]
            await asyncio.gather(*started, *(self._start_downstream(name) for name in self.fault.downstream))
            if self.load.plan.rate_per_s:
                self.load.start()
                await self.flowing(self.load.partitions)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def add_worker(self) -> Child:
        """One more supervised worker, ready."""
        arguments = ["worker", "--model", str(self.model_dir), "--default-recipe"]
        name = f"worker-{next(self._numbers)}"
        worker = await self.programs.child(name, arguments, self.fault.module)
        self.workers.append(worker)
        return worker

    async def remove_worker(self, worker: Child) -> None:
        """Let a worker drain and end."""
        self.workers.remove(worker)
        self._retired_restarts += worker.restarts
        await worker.stop()

    async def _start_downstream(self, name: str) -> None:
        self.downstream[name] = await self.programs.child(name, COMMANDS[name])

    # What a fault's function says while it works

    async def load_on(self, seconds: float | None = None) -> None:
        """Let time pass under load; `seconds` as the size of the run says, unless given."""
        await asyncio.sleep(self.size.calm_s if seconds is None else seconds)

    @property
    def results(self) -> Results:
        """The ledger as of the last look."""
        return self._ledger.results

    @property
    def busy_partitions(self) -> set[int]:
        """Partitions that have had frames."""
        return {partition for partition, log in self.results.frames.items() if log}

    def partitions_grew(self, count: int) -> None:
        """From now on the ledger reads so many, and the load's keys have moved."""
        self._ledger.partitions = count
        for station in self.load.stations:
            station.partition = partition_of(station.key, count)

    def cause_ended(self, partitions: Collection[int] | None = None) -> None:
        """From now on recovery is measured, of all partitions under load or those given."""
        self._marks.append(Mark(int(time.time() * 1000), tuple(partitions or self.load.partitions)))

    def expect(self, holds: object, otherwise: str) -> None:
        """The fault fails with this sentence where something does not hold."""
        if not holds:
            self._problems.append(otherwise)

    async def until(self, condition: Callable[[], object], otherwise: str, timeout_s: float = READY_S) -> None:
        """Wait for something; the fault fails with this sentence where it does not come."""
        deadline = time.monotonic() + timeout_s
        while not condition() and time.monotonic() < deadline:  # noqa: ASYNC110  # processes have no events
            await asyncio.sleep(0.05)
        self.expect(condition(), f"{otherwise} within {timeout_s:g} s")

    async def until_read(
        self, condition: Callable[[Results], object], otherwise: str, timeout_s: float = READY_S
    ) -> None:
        """The same for what the ledger shows."""
        deadline = time.monotonic() + timeout_s
        while not (holds := condition(await self.read())) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_S)
        self.expect(holds, f"{otherwise} within {timeout_s:g} s")

    async def until_letters(self, count: int) -> None:
        """Returns when `count` more events have a dead letter; the fault fails where others get one too."""
        expected = self._letters = self._letters + count
        await self.until_read(lambda found: len(found.refused()) >= expected, f"{count} dead letters did not come")
        await self.load_on()
        letters = len((await self.read()).refused())
        self.expect(letters == expected, f"{letters} events were refused; expected {expected}")

    def note(self, text: str) -> None:
        """Something that explains the figures; kept in the report."""
        self._notes.append(text)

    async def read(self) -> Results:
        """The ledger as of now; as of the last look while Kafka is away."""
        with contextlib.suppress(*OUTAGE):
            await self._ledger.read_on()
        return self._ledger.results

    # What the runner does around it

    async def flowing(self, partitions: Collection[int]) -> None:
        """Returns once each partition has had a result."""

        def all_flow(found: Results) -> bool:
            return all(found.first_ms[p] for p in partitions)

        await self.until_read(all_flow, "not every partition had its first verdict", FLOW_S)

    async def recovered(self) -> None:
        """Keeps the load on until every partition is back, or twice the limit has passed."""
        deadline = time.monotonic() + 2 * self.fault.limits.recovery_s
        while time.monotonic() < deadline:
            found = await self.read()
            if all(found.recovery_s(mark) < float("inf") for mark in self._marks):
                return
            await asyncio.sleep(LOOK_S)

    async def drained(self) -> None:
        """Ends the load; returns when everything has its answer, or the limit has passed."""
        await self.load.stop()
        deadline = time.monotonic() + self.fault.limits.drain_s
        while time.monotonic() < deadline:
            found = await self.read()
            if not found.lost() and not found.missing_defects():
                break
            await asyncio.sleep(LOOK_S)
        self._problems += await incomplete(self.fault.downstream, self.settings, self.read, self.programs, deadline)

    async def evidence(self) -> Evidence:
        """What was seen, at the end."""
        self._sampled.set()
        if self._sampling:
            await self._sampling
        return Evidence(
            samples=self._samples,
            marks=self._marks,
            confirmed=self.load.confirmed,
            problems=self._problems,
            notes=self._notes,
            restarts=self._retired_restarts + sum(worker.restarts for worker in self.workers),
            took_s=time.monotonic() - self._started,
        )

    async def _close(self) -> None:
        self._sampled.set()
        await self.load.abandon()
        await self.programs.close()
        if self._sampling:
            await asyncio.wait([self._sampling])
        await self._delete_topics()

    async def _delete_topics(self) -> None:
        """A broker with the topics of twenty faults would take ever longer to come back."""
        with contextlib.suppress(*OUTAGE):
            admin = AIOKafkaAdminClient(**kafka_options(self.settings.bootstrap))
            try:
                await admin.start()
                await admin.delete_topics([spec.name for spec in topic_specs(self.settings)])
            finally:
                await admin.close()
