"""The overview on the real Kafka: live windows, history, pictures, and a broker that goes and comes back."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.records import LineWindow, VerdictIssued
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.downstream.overview.feed import Overview
from streams.downstream.overview.view import Choice, Span
from streams.downstream.rework.cases import Scope
from streams.settings import Settings
from streams.topics import LINE_STATS, VERDICTS
from tests.broker.line_stats_log import send
from tests.broker.running import prepared
from tests.contracts.samples import WINDOW
from tests.line_stats import verdict

EVERYTHING = Scope()


def now() -> datetime:
    return datetime.now(UTC)


def window(minutes_ago: int, station: str = "s1", frames: int = 10, revision: int = 0) -> LineWindow:
    start = (now() - timedelta(minutes=minutes_ago)).replace(second=0, microsecond=0)
    fields: dict[str, Any] = {
        **{"plant": "p1", "line": "l1", "station": station, "window_start": start, "revision": revision},
        **{"frames": frames, "outcomes": {"OK": frames}, "at": start},
    }
    return dataclasses.replace(WINDOW, **fields)


def last(**length: float) -> Span:
    return Span(now() - timedelta(**length), now() + timedelta(minutes=1), live=True)


def frames_of(overview: Overview) -> int:
    return overview.view(EVERYTHING, last(hours=1)).frames


async def until(overview: Overview, holds: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Waits for a change after which something holds."""
    changed = asyncio.Event()
    end = overview.on_change(changed.set)
    try:
        async with asyncio.timeout(timeout_s):
            while not holds():
                await changed.wait()
                changed.clear()
    finally:
        end()


def shots(count: int) -> Iterable[VerdictIssued]:
    """Verdicts of five stations, triggered just now."""
    at = now().replace(microsecond=0)
    for n in range(count):
        yield verdict(n, 0, station=f"s{n % 5}", source_timestamp=at, gateway_ms=0, decided_at=at)


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    return await prepared(bootstrap, topic_prefix, tmp_path)


@pytest.mark.alone
async def test_history_and_live_windows_are_shown_and_the_highest_revision_counts(settings: Settings) -> None:
    await send(settings, LINE_STATS, [window(9), window(9, frames=12, revision=1), window(9, station="s2")])
    async with Overview(settings) as overview:
        assert frames_of(overview) == 22
        sent_at = now()
        await send(settings, LINE_STATS, [window(8, frames=5)])
        await until(overview, lambda: frames_of(overview) == 27)
        assert now() - sent_at < timedelta(seconds=2)
        assert overview.connected


async def test_a_span_before_what_is_held_is_read_when_it_is_asked_for(settings: Settings) -> None:
    await send(settings, LINE_STATS, [window(9), window(9, station="s2")])
    await asyncio.sleep(0.05)  # the log's clock has milliseconds
    async with Overview(settings, since=now()) as overview:
        assert frames_of(overview) == 0
        await overview.ensure(last(hours=1))
        assert frames_of(overview) == 20


async def test_pages_of_pictures_hold_every_frame_once_newest_first(settings: Settings) -> None:
    sent = list(shots(120))
    await send(settings, VERDICTS, sent)
    async with Overview(settings) as overview:
        span, found, cursor, pages = last(minutes=5), list[str](), None, 0
        while pages == 0 or cursor is not None:
            page = await overview.gallery(EVERYTHING, span, Choice(), cursor, limit=25)
            found += [item.verdict_id for item in page.items]
            cursor, pages = page.cursor, pages + 1
        one = await overview.gallery(Scope("p1", "l1", "s3"), span, Choice(), limit=100)
    assert sorted(found) == sorted(str(shot.verdict_id) for shot in sent)
    assert pages in (5, 6)
    assert [item.verdict_id for item in one.items] == [str(s.verdict_id) for s in reversed(sent) if s.station == "s3"]


async def test_what_waits_for_inspection_can_be_told(settings: Settings) -> None:
    async with Overview(settings) as overview:
        await until(overview, lambda: overview.view(EVERYTHING, last(hours=1)).waiting == 0)


async def test_an_overview_outlives_the_brokers_restart(tmp_path: Path, unused_tcp_port: int) -> None:
    with EmbeddedBroker(BrokerConfig(tmp_path / "broker", port=unused_tcp_port)) as broker:
        settings = await prepared(broker.bootstrap_servers, "lineside.", tmp_path)
        await send(settings, LINE_STATS, [window(9)])
        await send(settings, VERDICTS, shots(3))
        async with Overview(settings) as overview:
            await asyncio.to_thread(broker.stop)
            await until(overview, lambda: not overview.connected, 30)
            assert frames_of(overview) == 10
            await asyncio.to_thread(broker.start)
            await until(overview, lambda: overview.connected, 30)
            await send(settings, LINE_STATS, [window(8, frames=7)])
            await until(overview, lambda: frames_of(overview) == 17, 30)
            page = await overview.gallery(EVERYTHING, last(minutes=5), Choice())
            assert len(page.items) == 3
