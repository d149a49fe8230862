"""The running overview on topics in memory: what it reads, when it tells, and the pictures it finds."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from unittest.mock import Mock
from uuid import UUID

import pytest

from schemas.records import LineWindow, Outcome, PartOutcome, ReworkFinding, VerdictIssued
from streams.downstream.overview.memory import MemoryOverview, memory_overview
from streams.downstream.overview.view import Choice, Shown, Span, What
from streams.downstream.rework.cases import Scope
from streams.errors import CallerError
from streams.settings import Settings
from tests.contracts.samples import OUTCOME, WINDOW
from tests.line_stats import part, verdict

NOW = datetime(2026, 3, 2, 12, 0, 30, tzinfo=UTC)
EVERYTHING = Scope()


def ago(**length: float) -> datetime:
    return NOW - timedelta(**length)


def window(start: datetime, frames: int = 10, **changes: Any) -> LineWindow:
    """A window of station p1/l1/s1 that was made a minute after it began."""
    fields: dict[str, Any] = {
        **{"plant": "p1", "line": "l1", "station": "s1", "revision": 0},
        **{"frames": frames, "outcomes": {"OK": frames}},
        **{"window_start": start.replace(second=0), "at": start + timedelta(minutes=1)},
    }
    return dataclasses.replace(WINDOW, **fields | changes)


def span_of(**length: float) -> Span:
    return Span(ago(**length), NOW + timedelta(seconds=30), live=True)


def frame(n: int, at: datetime, **changes: Any) -> VerdictIssued:
    fields = {"source_timestamp": at, "gateway_ms": 0, "decided_at": at + timedelta(milliseconds=40)}
    return verdict(n, 0, **fields | changes)


def overview_of(*records: Any, **settings: Any) -> MemoryOverview:
    return memory_overview(records, settings=Settings(**settings), clock=lambda: NOW)


async def pages(overview: MemoryOverview, choice: Choice, span: Span, limit: int) -> list[list[Shown]]:
    found, cursor = list[list[Shown]](), None
    while True:
        page = await overview.gallery(EVERYTHING, span, choice, cursor, limit)
        found.append(list(page.items))
        if (cursor := page.cursor) is None:
            return found


async def test_a_window_that_arrives_is_in_the_next_view_and_told() -> None:
    overview = overview_of()
    async with overview:
        told = asyncio.Event()
        overview.on_change(told.set)
        before = overview.view(EVERYTHING, span_of(hours=1))
        overview.log.put(window(ago(minutes=2)), NOW)
        async with asyncio.timeout(0.2):
            await told.wait()
        after = overview.view(EVERYTHING, span_of(hours=1))
    assert (before.frames, after.frames) == (0, 10)
    assert after.version > before.version


async def test_many_changes_are_told_at_most_four_times_a_second() -> None:
    overview = overview_of()
    async with overview:
        calls: list[float] = []
        loop = asyncio.get_running_loop()
        overview.on_change(lambda: calls.append(loop.time()))
        for revision in range(60):
            overview.log.put(window(ago(minutes=2), frames=revision, revision=revision), NOW)
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        assert overview.view(EVERYTHING, span_of(hours=1)).frames == 59
    assert 2 <= len(calls) <= 6
    assert min(b - a for a, b in pairwise(calls)) > 0.2


async def test_what_is_not_counted_yet_is_told_later_than_the_windows_that_count_it() -> None:
    overview = overview_of()
    async with overview:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        overview.on_change(told.set)
        overview.log.put(part(0, 0, outcome=PartOutcome.NOT_INSPECTED), NOW)
        await asyncio.sleep(0.3)
        assert not told.is_set()
        overview.log.put(window(ago(minutes=2)), NOW)  # it hurries, and takes the part with it
        async with asyncio.timeout(0.2):
            await told.wait()
        told.clear()
        put_s = loop.time()
        overview.log.put(part(1, 0, outcome=PartOutcome.NOT_INSPECTED), NOW)
        async with asyncio.timeout(2):
            await told.wait()
        assert loop.time() - put_s > 0.9


async def test_a_view_is_made_once_until_something_changes() -> None:
    overview = overview_of(window(ago(minutes=2)))
    span = span_of(hours=1)
    before = overview.view(EVERYTHING, span)
    assert overview.view(EVERYTHING, span) is before
    overview.log.put(window(ago(minutes=1)), NOW)
    assert overview.view(EVERYTHING, span).frames == 20


async def test_a_listener_that_fails_does_not_keep_others_from_hearing() -> None:
    overview = overview_of()
    async with overview:
        told = asyncio.Event()
        overview.on_change(Mock(side_effect=RuntimeError))
        overview.on_change(told.set)
        overview.log.put(window(ago(minutes=2)), NOW)
        async with asyncio.timeout(1):
            await told.wait()


async def test_the_connection_and_what_waits_for_inspection_are_told() -> None:
    overview = overview_of()
    overview.log.lag = 7
    async with overview:
        told = asyncio.Event()
        overview.on_change(told.set)
        overview.log.connect(False)
        async with asyncio.timeout(1):
            await told.wait()
        assert not overview.connected
        assert overview.view(EVERYTHING, span_of(hours=1)).waiting == 7


async def test_the_plan_comes_from_the_settings() -> None:
    overview = overview_of(window(ago(minutes=2)), planned_parts_per_min="l1=60")
    assert overview.view(EVERYTHING, span_of(hours=1)).tiles[0].planned_parts_per_min == 60
    with pytest.raises(CallerError, match="planned_parts_per_min"):
        overview_of(planned_parts_per_min="l1")


async def test_history_comes_in_behind_the_start_and_further_when_a_span_asks() -> None:
    windows = [window(ago(hours=hours)) for hours in (50, 30, 20, 3)]
    overview = memory_overview(windows, settings=Settings(), clock=lambda: NOW, since=ago(hours=24))
    async with overview:
        async with asyncio.timeout(5):
            await overview.ensure(span_of(hours=24))
        assert overview.view(EVERYTHING, span_of(hours=60)).frames == 20
        async with asyncio.timeout(5):
            await overview.ensure(span_of(hours=60))
        assert overview.view(EVERYTHING, span_of(hours=60)).frames == 40


async def test_a_block_is_shown_once_however_far_history_is_read() -> None:
    fields: dict[str, Any] = {"outcome": PartOutcome.NOT_INSPECTED, "decided_at": ago(hours=3)}
    overview = overview_of(window(ago(hours=3)), part(1, 0, first_at=ago(hours=3), through_at=ago(hours=3), **fields))
    async with overview:
        await overview.ensure(span_of(hours=30))
        blocks = overview.view(EVERYTHING, span_of(hours=8)).missing.blocks
    assert [block.count for block in blocks] == [1]


async def test_pages_of_pictures_come_newest_first_without_gaps_or_repeats() -> None:
    overview = overview_of()
    for n in range(700):
        overview.log.put(frame(n, ago(seconds=700 - n)), ago(seconds=700 - n), partition=n % 3)
    overview.log.put(frame(800, ago(seconds=60), simulated=True), NOW)
    found = await pages(overview, Choice(), Span(ago(seconds=650), ago(seconds=49.5)), limit=24)
    offsets = [item.frame_offset for page in found for item in page]
    assert offsets == list(range(650, 49, -1))
    assert all(len(page) == 24 for page in found[:-1])


async def test_a_page_of_rare_pictures_ends_after_bounded_work_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.downstream.overview.album.MOST_READ", 200)
    overview = overview_of()
    for n in range(1000):
        rare = {"outcome": Outcome.NG} if n == 3 else {}
        overview.log.put(frame(n, ago(seconds=1100 - n), **rare), ago(seconds=1100 - n))
    found = await pages(overview, Choice(outcomes=("NG",)), span_of(hours=1), limit=24)
    assert [item.frame_offset for page in found for item in page] == [3]
    assert len(found) >= 4


async def test_of_copies_of_a_verdict_the_first_is_shown_once() -> None:
    overview = overview_of()
    for shot in (frame(1, ago(seconds=9)), frame(2, ago(seconds=8)), frame(1, ago(seconds=9), outcome=Outcome.NG)):
        overview.log.put(shot, NOW)
    page = await overview.gallery(EVERYTHING, span_of(hours=1), Choice())
    assert [(item.frame_offset, item.outcome) for item in page.items] == [(2, "OK"), (1, "OK")]


async def test_escapes_and_overkill_show_what_people_found() -> None:
    overview = overview_of()
    judged = [(Outcome.OK, ReworkFinding.CONFIRMED), (Outcome.NG, ReworkFinding.FALSE_REJECT)] * 3
    for n, (result, finding) in enumerate(judged):
        at = ago(seconds=60 - n)
        shot = frame(n, at, outcome=result)
        overview.log.put(shot, at)
        fields: dict[str, Any] = {
            **{"outcome_id": UUID(int=n), "verdict_id": shot.verdict_id, "verdict_outcome": result},
            **{"plant": "p1", "line": "l1", "station": "s1", "inspected_at": at},
            **{"finding": finding, "supersedes": None, "review": 1},
        }
        overview.log.put(dataclasses.replace(OUTCOME, **fields), NOW)
    escapes = await pages(overview, Choice(What.ESCAPES), span_of(hours=1), limit=2)
    overkill = await pages(overview, Choice(What.OVERKILL), span_of(hours=1), limit=24)
    assert [[item.frame_offset for item in page] for page in escapes] == [[4, 2], [0]]
    assert [(item.frame_offset, item.finding) for item in overkill[0]] == [(n, "FALSE_REJECT") for n in (5, 3, 1)]


@pytest.mark.parametrize("what", [What.FRAMES, What.OVERKILL])
@pytest.mark.parametrize("cursor", ["x", "f:0.-1", "f:1", "j:1:zz", "<b>" * 999])
async def test_a_cursor_that_is_none_is_refused(what: What, cursor: str) -> None:
    with pytest.raises(CallerError, match="cursor"):
        await overview_of().gallery(EVERYTHING, span_of(hours=1), Choice(what), cursor)
