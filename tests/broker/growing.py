"""Lines that run while partitions are added: gateways with endless sources, and what became of their frames."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from schemas.records import Encoding, VerdictIssued
from streams.bus.admin import partition_counts
from streams.bus.subscriber import Received, subscribe_events
from streams.capture.gateway import Counts
from streams.capture.source import Camera, Shot
from streams.downstream.parts.service import PartsService
from streams.downstream.statistics.service import StatisticsService
from streams.gateway_app import run_gateway
from streams.settings import Settings
from streams.topics import FRAMES, TOPICS, VERDICTS, Topic
from tests.builders import SIDE, picture


class Line:
    """Shots of some stations in turn, `rate` a second, until `stopped`."""

    total = None
    can_wait = False

    def __init__(self, stations: Sequence[str], rate: float) -> None:
        self.stations, self.rate = stations, rate
        self.stopped = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[Shot]:
        image, number = picture(), 0
        while not self.stopped.is_set():
            station = self.stations[number % len(self.stations)]
            yield Shot(
                camera=Camera("p", station, "s", "c"),
                sku="A",
                data=image,
                encoding=Encoding.PNG,
                width=SIDE,
                height=SIDE,
                captured_at=datetime.now(UTC),
                triggered_s=time.monotonic(),
                part_id=f"{station}-{number}",
            )
            number += 1
            await asyncio.sleep(1 / self.rate)

    def confirmed(self, shot: Shot) -> None:
        pass


@dataclass
class Running:
    """A gateway under way; `counts` as far as it told."""

    line: Line
    counts: Counts
    task: asyncio.Task[Counts] | None = None

    async def until_it_sends(self, more: int = 20, timeout_s: float = 30.0) -> None:
        goal = self.counts.confirmed + more
        async with asyncio.timeout(timeout_s):
            while self.counts.confirmed < goal:
                assert self.task is not None
                if self.task.done():
                    self.task.result()
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def gateways(settings: Settings, *lines: Line) -> AsyncIterator[list[Running]]:
    """One gateway for each line; all their frames are confirmed at the end."""
    running = [Running(line, Counts()) for line in lines]
    for number, one in enumerate(running):

        def progress(now: Counts, one: Running = one) -> None:
            one.counts = dataclasses.replace(now)

        own = dataclasses.replace(settings, spool_dir=str(settings.data_dir / f"spool-{number}"))
        one.task = asyncio.create_task(run_gateway(own, one.line, progress))
    try:
        for one in running:
            await one.until_it_sends()
        yield running
    finally:
        for one in running:
            one.line.stopped.set()
        await asyncio.gather(*(one.task for one in running if one.task))


@contextlib.asynccontextmanager
async def running(service: PartsService | StatisticsService) -> AsyncIterator[None]:
    """A service that is told to stop at the end."""
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(service.run(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield
    finally:
        stop.set()
        await task


async def alter(settings: Settings, topic: Topic, partitions: int) -> None:
    """As `kafka-topics --alter --partitions`, of one topic alone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap)
    await admin.start()
    try:
        await admin.create_partitions({settings.topic_prefix + topic.name: NewPartitions(partitions)})
    finally:
        await admin.close()


async def counts(settings: Settings) -> set[int]:
    """The different numbers of partitions of all topics keyed by station."""
    names = [settings.topic_prefix + topic.name for topic in TOPICS.values() if topic.by_station]
    return set((await partition_counts(settings.bootstrap, names)).values())


async def everything(settings: Settings, topic: Topic) -> list[Received[Any]]:
    return [event async for event in subscribe_events(topic.name, "earliest", settings=settings, follow=False)]


@dataclass(frozen=True)
class Outcome:
    """What became of all frames. Times are the broker's, in seconds."""

    frames: int
    undecided: int
    decided_twice: int
    out_of_order: frozenset[str]  # lines
    slowest_s: float  # from a frame's append to its verdict's
    longest_silence_s: float  # between two frames


async def outcome(settings: Settings) -> Outcome:
    frames, verdicts = await everything(settings, FRAMES), await everything(settings, VERDICTS)
    first: dict[Any, Received[VerdictIssued]] = {}
    again = 0
    for verdict in verdicts:
        key = (verdict.record.frame_id, verdict.record.attempt)
        again += key in first
        first.setdefault(key, verdict)
    by_line: dict[str, list[Received[VerdictIssued]]] = defaultdict(list)
    for verdict in first.values():
        by_line[verdict.record.line].append(verdict)
    stands = sorted(frame.timestamp for frame in frames)
    waits = [
        first[frame.record.frame_id, 1].timestamp - frame.timestamp
        for frame in frames
        if (frame.record.frame_id, 1) in first
    ]
    return Outcome(
        frames=len(frames),
        undecided=len(frames) - len(waits),
        decided_twice=again,
        out_of_order=frozenset(line for line, found in by_line.items() if not _in_order(found)),
        slowest_s=max(waits).total_seconds(),
        longest_silence_s=max(b - a for a, b in itertools.pairwise(stands)).total_seconds(),
    )


def _in_order(verdicts: list[Received[VerdictIssued]]) -> bool:
    """Whether a station's verdicts stand in the order of its triggers: by append time, and by offset in a partition."""
    in_turn = sorted(verdicts, key=lambda verdict: verdict.record.trigger_seq)
    return all(
        before.timestamp <= after.timestamp and (before.partition != after.partition or before.offset < after.offset)
        for before, after in itertools.pairwise(in_turn)
    )
