"""Line statistics through the real broker and the real Faust: right counts, in time, by one worker and by two."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.records import AlarmKind, AlarmRaised, PartOutcome
from streams.bus.history import History
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, subscribe_events
from streams.downstream.statistics.service import StatisticsService
from streams.settings import Settings
from streams.topics import ALARMS, LINE_STATS, OUTCOMES, PARTS, VERDICTS, Topic
from tests.broker.line_stats_log import Shift, everything, send, send_by, until_published
from tests.broker.running import prepared
from tests.builders import Deaths
from tests.contracts import samples
from tests.line_stats import at, part, verdict


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[StatisticsService]:
    """A service that has its partitions; it is stopped at the end and must not have died."""
    deaths, stop, ready = Deaths(), asyncio.Event(), asyncio.Event()
    service = StatisticsService(settings, die=deaths)
    task = asyncio.create_task(service.run(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED, timeout=60)
    waiting.cancel()
    try:
        yield service
    finally:
        stop.set()
        await task
    assert deaths == []


async def send_bytes(settings: Settings, topic: Topic, value: bytes | None) -> None:
    """To every partition."""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()
    try:
        for partition in range(settings.partitions):
            await producer.send_and_wait(settings.topic_prefix + topic.name, value, key=b"x", partition=partition)
    finally:
        await producer.stop()


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    return replace(made, window_s=2, lateness_s=3)


@pytest.fixture
async def history(settings: Settings) -> AsyncIterator[History]:
    async with History(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as made:
        yield made


def delays_of(verdicts: list[Received[Any]], revisions: list[Received[Any]]) -> Iterator[timedelta]:
    """From a verdict's append to that of the first revision of its station that counts it, copies left out."""
    seen = set()
    for received in verdicts:
        if received.record.verdict_id not in seen:
            seen.add(received.record.verdict_id)
            of_station = (r for r in revisions if r.record.station == received.record.station)
            yield (
                next(r.timestamp for r in of_station if r.record.through_offset >= received.offset) - received.timestamp
            )


@pytest.mark.alone
async def test_windows_say_what_one_fold_over_the_log_says_and_in_time(settings: Settings, history: History) -> None:
    """100 verdicts a second; each is in a published revision within a second of its append."""
    shift = Shift()
    async with (
        serving(settings),
        Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher,
    ):
        for _ in range(60):
            await send_by(publisher, VERDICTS, shift.verdicts(10))
            await send_by(publisher, PARTS, shift.parts(3))
            await asyncio.sleep(0.1)
        windows = await until_published(settings, history)
    assert sum(window.frames for window in windows.values()) == 600
    assert sum(window.late_frames for window in windows.values()) > 10
    assert sum(window.missing_triggers for window in windows.values()) > 10

    delays = [
        delay
        for verdicts, revisions in zip(
            await everything(settings, history, VERDICTS), await everything(settings, history, LINE_STATS), strict=True
        )
        for delay in delays_of(verdicts, revisions)
    ]
    assert len(delays) == 600
    print(f"append of a verdict to append of its window: median {sorted(delays)[len(delays) // 2]}, max {max(delays)}")
    assert max(delays) < timedelta(seconds=1)


async def test_two_workers_share_the_partitions_and_one_takes_over_from_the_other(
    settings: Settings, history: History
) -> None:
    """first   ━━━━━━━━━━━━━━━━━━━━━▶ stop
    second           ━━━━━━━━━━━━━━━━━━━━━━━━▶
    """
    shift = Shift(2)
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:

        async def work(seconds: float) -> None:
            for _ in range(round(seconds * 5)):
                await send_by(publisher, VERDICTS, shift.verdicts(20))
                await send_by(publisher, PARTS, shift.parts(5))
                await asyncio.sleep(0.2)

        async with serving(settings):
            await work(3)
            second = serving(settings)
            working = asyncio.create_task(work(10))
            await second.__aenter__()
            await working
        await work(3)
        await until_published(settings, history)
        await second.__aexit__(None, None, None)


async def test_what_came_while_nobody_served_is_counted_and_bad_bytes_harm_nothing(
    settings: Settings, history: History
) -> None:
    shift = Shift(3)
    await send(settings, VERDICTS, shift.verdicts(50))
    await send(settings, VERDICTS, [verdict(1, 0, station="s1", simulated=True)])
    for topic in (VERDICTS, PARTS):
        await send_bytes(settings, topic, b"no event")
        await send_bytes(settings, topic, None)
    async with serving(settings):
        await until_published(settings, history)
    await send(settings, PARTS, shift.parts(50))
    await send(settings, VERDICTS, shift.verdicts(50))
    async with serving(settings):
        windows = await until_published(settings, history)
    assert sum(sum(window.parts.values()) for window in windows.values()) == 50


async def test_a_line_out_of_control_raises_one_alarm_and_an_outcome_shows_in_the_newest_window(
    settings: Settings, history: History
) -> None:
    """Twelve calm windows, then one with half of its parts bad; a restart raises nothing again."""
    calm = [
        part(100 * window + n, 2 * window + 1, outcome=PartOutcome.NG if n == window % 3 else PartOutcome.OK)
        for window in range(12)
        for n in range(30)
    ]
    bad = [part(5_000 + n, 25, outcome=PartOutcome.NG if n % 2 else PartOutcome.OK) for n in range(30)]
    await send(settings, VERDICTS, [verdict(n, n * 2 + 1) for n in range(13)])
    await send(settings, PARTS, calm + bad)
    for _ in range(2):
        async with serving(settings):
            await until_published(settings, history)
            await asyncio.sleep(0.5)
    events = subscribe_events(ALARMS.name, "earliest", settings=settings, follow=False)
    alarms = [event.record async for event in events]
    (alarm,) = (a for a in alarms if isinstance(a, AlarmRaised))
    assert (alarm.kind, alarm.subject, alarm.value, alarm.since) == (AlarmKind.RUN_RULE, "p1/l1/s1", 0.5, at(24))

    async with serving(settings):
        decided = replace(samples.OUTCOME, plant="p1", line="l1", station="s1", inspected_at=at(20), supersedes=None)
        await send(settings, OUTCOMES, [replace(decided, review=1)])
        async with asyncio.timeout(10):
            while True:
                logs = await everything(settings, history, LINE_STATS)
                newest = max((r.record for log in logs for r in log), key=lambda w: (w.window_start, w.revision))
                if newest.overkill and newest.overkill.n:
                    break
                await asyncio.sleep(0.1)
    assert newest.window_start == at(24)
    await until_published(settings, history)
