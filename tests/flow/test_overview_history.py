"""How the running overview comes to what lies before the newest windows."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import pytest

from streams.bus.subscriber import Received
from streams.downstream.overview.feed import Overview
from streams.downstream.overview.memory import MemoryLog, memory_overview
from streams.errors import BrokerUnreachableError
from streams.settings import Settings
from streams.topics import Topic
from tests.overview import EVERYTHING, minute, part, span, window


class FollowedLog(MemoryLog):
    """Nothing is handed over that was not put while it was followed; `away` makes readings fail."""

    away = False

    async def read(self, topic: Topic, partition: int, low: int, high: int) -> list[Received[Any]]:
        if self.away:
            raise BrokerUnreachableError("the broker is away")
        return await super().read(topic, partition, low, high)


def day_of_windows() -> FollowedLog:
    log = FollowedLog(minute(0))
    for n in range(0, 600, 60):
        log.put(window(n), minute(n + 1))
    for n in range(3):
        log.put(part(n, 30 + n), minute(1))
    return log


async def until_frames(overview: Overview, frames: int) -> None:
    async with asyncio.timeout(5):
        while overview.view(EVERYTHING, span(0, 600)).frames < frames:
            await asyncio.sleep(0.001)


def overview_at(log: MemoryLog, since: datetime) -> Overview:
    return Overview(Settings(), since, log=log, clock=lambda: minute(600))


async def test_older_windows_come_in_behind_the_start_as_far_as_asked_for() -> None:
    async with overview_at(day_of_windows(), minute(300)) as overview:
        assert overview.view(EVERYTHING, span(0, 600)).frames == 0
        await until_frames(overview, 100)
        assert overview.view(EVERYTHING, span(0, 299)).frames == 0
        await overview.ensure(span(0, 600))
        view = overview.view(EVERYTHING, span(0, 600))
    assert view.frames == 200
    assert [block.count for block in view.missing.blocks] == [3]


async def test_a_broker_that_is_away_delays_older_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.downstream.overview.feed.RETRY_S", 0.01)
    log = day_of_windows()
    log.away = True
    async with overview_at(log, minute(0)) as overview:
        with pytest.raises(BrokerUnreachableError):
            await overview.ensure(span(0, 600))
        log.away = False
        await until_frames(overview, 200)


async def test_a_span_long_before_anything_is_asked_for_once() -> None:
    overview = memory_overview([window(0)], clock=lambda: minute(600), since=minute(300))
    async with overview, asyncio.timeout(5):
        await overview.ensure(span(-(10**8), 600))
        assert overview.view(EVERYTHING, span(0, 600)).frames == 20
