"""Promise 1 where people or Kafka move the group's offsets: nothing without a result is passed over.

frames    ══ decided ══════╪══ not decided ═════════╡ end
worker    ━━━━━━━━━━━━━━━━▶
person                                               committed := end      (or forgotten, or frames deleted)
worker                     ━━━━━━━━━━━━━━━━━━━━━━━━━▶ reads from what is decided on, not from what is committed
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from prometheus_client import CollectorRegistry

from streams.bus import readback
from streams.bus.offsets import end_offsets
from streams.bus.subscriber import subscribe_events
from streams.downstream.parts.service import PartsService
from streams.downstream.statistics.service import StatisticsService
from streams.inspection import starts
from streams.settings import Settings
from streams.topics import FRAMES, LINE_STATS, PARTS, VERDICTS
from tests.broker.growing import running
from tests.broker.running import inspected, prepared, publish, running_worker, until_lag_is_zero
from tests.builders import OK_LEVEL, FakeEngine, frame, picture
from tests.faults.ledger import results
from tests.faults.moved import commit, delete_before, forget

GROUP = "inspection"
RECOVERY_S = 30.0


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    return await prepared(bootstrap, topic_prefix, tmp_path)


def frames(first: int, last: int) -> list:
    """Of six stations."""
    return [frame(number, line=f"l{number % 6}") for number in range(first, last)]


async def ends(settings: Settings) -> dict[int, int]:
    return await end_offsets(settings.bootstrap, settings.topic_prefix + FRAMES.name)


async def slowest_s(settings: Settings, since: datetime, numbers: range) -> float:
    """From `since` until the last verdict about frames of these numbers stood on the topic, by the broker's clock."""
    stands = [
        event.timestamp
        async for event in subscribe_events(VERDICTS.name, "earliest", settings=settings, follow=False)
        if event.record.trigger_seq in numbers
    ]
    assert len(stands) == len(numbers)
    return (max(stands) - since).total_seconds()


@pytest.mark.parametrize(("again", "redelivered"), [(starts.AGAIN, 200), (3, 3 * 3)])  # in three partitions
async def test_frames_below_an_offset_moved_to_the_latest_are_inspected_still(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, again: int, redelivered: int
) -> None:
    monkeypatch.setattr(starts, "AGAIN", again)
    await inspected(settings, frames(0, 200))
    await publish(settings, frames(200, 350))
    await commit(settings, GROUP, FRAMES, await ends(settings))

    began = datetime.now(UTC)
    async with running_worker(settings) as worker:
        async with asyncio.timeout(RECOVERY_S):
            while len((await results(settings)).ids) < 350:
                await asyncio.sleep(0.2)
        await publish(settings, frames(350, 360))
        await until_lag_is_zero(settings)
    found = await results(settings)

    assert len(found.ids) == 360
    assert found.copies() == {}
    assert found.order_breaks() == 0
    assert await slowest_s(settings, began, range(200, 350)) < RECOVERY_S
    assert "was moved past" in caplog.text
    assert worker.metrics.redelivered._value.get() == redelivered, "defects and letters of the last ones may be missing"


async def test_where_undecodable_frames_are_the_last_nothing_comes_twice_and_nothing_is_passed_over(
    settings: Settings,
) -> None:
    """decided │ 5 of garbage: dead letters │ restart │ 5 of garbage, 1 frame │ offsets to the latest │ restart"""
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap)
    await producer.start()

    async def garbage() -> None:
        for _ in range(5):
            await producer.send_and_wait(settings.topic_prefix + FRAMES.name, b"garbage", partition=0)

    await inspected(settings, frames(0, 20))
    await garbage()
    for _ in range(2):
        async with running_worker(settings):
            await until_lag_is_zero(settings)
    assert len((await results(settings)).letters[0]) == 5
    await garbage()
    await publish(settings, frames(20, 30))
    await commit(settings, GROUP, FRAMES, await ends(settings))
    async with running_worker(settings):
        async with asyncio.timeout(RECOVERY_S):
            while len((await results(settings)).ids) < 30:
                await asyncio.sleep(0.2)
    await producer.stop()
    letters = {letter.source_offset for _, letter in (await results(settings)).letters[0]}
    assert len(letters) == 10


@pytest.mark.parametrize(("again", "redelivered"), [(starts.AGAIN, 600), (10, 10 * 3)])  # in three partitions
async def test_a_forgotten_group_reads_the_last_again_and_decides_nothing_twice(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, again: int, redelivered: int
) -> None:
    monkeypatch.setattr(starts, "AGAIN", again)
    monkeypatch.setattr(starts, "FAR", 2 * again)
    monkeypatch.setattr(readback, "BLOCK", 16)
    before = await inspected(settings, frames(0, 600))
    await forget(settings, GROUP)
    await publish(settings, frames(600, 650))

    async with running_worker(settings) as worker:
        await until_lag_is_zero(settings)
    found = await results(settings)

    assert worker.metrics.redelivered._value.get() == redelivered
    assert len(found.ids) == 650
    assert found.ids > before.ids
    assert found.copies() == {}
    assert found.order_breaks() == 0


async def test_offsets_moved_back_decide_nothing_twice(settings: Settings) -> None:
    await inspected(settings, frames(0, 300))
    await commit(settings, GROUP, FRAMES, dict.fromkeys(await ends(settings), 0))
    found = await inspected(settings, frames(300, 310))
    assert len(found.ids) == 310
    assert found.copies() == {}


async def test_frames_deleted_above_the_committed_offset_are_counted_and_the_rest_is_inspected(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    await inspected(settings, frames(0, 60))
    before = await ends(settings)
    await publish(settings, frames(60, 180))
    cut = {p: end - 10 for p, end in (await ends(settings)).items() if end > before[p] + 10}
    await delete_before(settings, FRAMES, cut)

    async with running_worker(settings) as worker:
        await until_lag_is_zero(settings)
    found = await results(settings)

    gone = sum(at - before[p] for p, at in cut.items())
    assert gone > 20
    assert worker.metrics.gone._value.get() == gone
    assert "were deleted before they were inspected" in caplog.text
    assert len(found.ids) == 180 - gone
    assert found.copies() == {}


async def test_frames_deleted_under_a_running_worker_are_counted_too(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The engine hangs, so the worker is at offset 100 at most; deleted up to 350; the engine goes on."""
    engine = FakeEngine()
    engine.gate.clear()
    settings = dataclasses.replace(settings, buffer_messages=8)
    big = {f"ballast-{number}": "x" * 500 for number in range(50)}
    await publish(settings, [frame(number, image=picture(OK_LEVEL), attributes=big) for number in range(400)])
    [partition] = [p for p, end in (await ends(settings)).items() if end]

    async with running_worker(settings, engine) as worker:
        async with asyncio.timeout(20):
            while worker.inspection.in_flight < 20:
                await asyncio.sleep(0.05)
        await delete_before(settings, FRAMES, {partition: 350})
        engine.gate.set()
        await until_lag_is_zero(settings)
        async with asyncio.timeout(5):
            while not worker.metrics.gone._value.get():
                await asyncio.sleep(0.1)
    decided = {v.source_offset for _, v in (await results(settings)).verdicts[partition]}

    assert set(range(350, 400)) <= decided
    assert worker.metrics.gone._value.get() == 400 - len(decided) > 100
    assert "were deleted before they were inspected" in caplog.text


async def parts_made(settings: Settings) -> Counter[str | None]:
    """How often each part was decided."""
    found = subscribe_events(PARTS.name, "earliest", settings=settings, follow=False)
    return Counter([event.record.part_id async for event in found])


@pytest.mark.parametrize("how", ["to the latest", "forgotten"])
async def test_parts_are_decided_once_and_all_where_their_groups_offsets_moved(settings: Settings, how: str) -> None:
    made = [frame(number, line=f"l{number % 6}", part_id=f"P{number}") for number in range(200)]
    await inspected(settings, made[:120])
    async with running(PartsService(settings, CollectorRegistry())):
        async with asyncio.timeout(RECOVERY_S):
            while len(await parts_made(settings)) < 120:
                await asyncio.sleep(0.2)
    await inspected(settings, made[120:])
    if how == "forgotten":
        await forget(settings, "parts")
    else:
        ends = await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)
        await commit(settings, "parts", VERDICTS, ends)
    async with running(PartsService(settings, CollectorRegistry())):
        async with asyncio.timeout(RECOVERY_S):
            while len(await parts_made(settings)) < 200:
                await asyncio.sleep(0.2)
    assert set((await parts_made(settings)).values()) == {1}


async def counted(settings: Settings) -> int:
    """Frames in all windows, by the newest revision of each."""
    newest = {}
    async for event in subscribe_events(LINE_STATS.name, "earliest", settings=settings, follow=False):
        window = event.record
        newest[window.line, window.window_start, window.partition] = window.frames
    return sum(newest.values())


@pytest.mark.parametrize("how", ["to the latest", "forgotten"])
async def test_statistics_count_every_frame_once_where_their_groups_offsets_moved(settings: Settings, how: str) -> None:
    settings = dataclasses.replace(settings, window_s=2, lateness_s=3)
    deaths: list[str] = []
    await inspected(settings, frames(0, 120))
    async with running(StatisticsService(settings, deaths.append)):
        async with asyncio.timeout(RECOVERY_S):
            while await counted(settings) < 120:
                await asyncio.sleep(0.2)
    await inspected(settings, frames(120, 200))
    if how == "forgotten":
        await forget(settings, "statistics")
    else:
        ends = await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)
        await commit(settings, "statistics", VERDICTS, ends)
    async with running(StatisticsService(settings, deaths.append)):
        async with asyncio.timeout(RECOVERY_S):
            while await counted(settings) < 200:
                await asyncio.sleep(0.2)
        await asyncio.sleep(1)
    assert await counted(settings) == 200
    assert deaths == []
