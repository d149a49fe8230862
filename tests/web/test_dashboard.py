"""The dashboard as people use it: real Chromium, a real broker, windows, verdicts and pictures of a line."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import dataclasses
import io
import json
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import BrowserContext, Dialog, Locator, Page, expect

from schemas.records import Encoding, Event, Finding, LineWindow, Outcome, PartDecided, PartOutcome, PartReason, Reason
from streams.bus.admin import ensure_topics
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.capture.surface import Part
from streams.capture.synthetic import SyntheticOptions, take
from streams.downstream.statistics.latency import BUCKETS, bucket
from streams.inspection.decide import Judgement
from streams.settings import Settings
from streams.topics import FRAMES, LINE_STATS, PARTS, VERDICTS, Topic, station_key, topic_specs
from streams.web.dashboard.app import DashboardOptions, open_dashboard
from streams.web.i18n import load
from tests.builders import frame, verdict
from tests.web.signing_in import SLOW_MS, go

pytestmark = [
    pytest.mark.broker,
    # NiceGUI looks at every object of the process when it starts, which wakes a deprecated one of torch
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op`:FutureWarning"),
]

RunWeb = Callable[[FastAPI], AbstractAsyncContextManager[str]]
MINUTE = timedelta(minutes=1)
HOSTILE = "<img src=x onerror=alert(1)>"
FORMULA = "=1+1"
IS_CHOSEN = re.compile(r"\bis-chosen\b")
LATENCY_MS = 40.0
FRAMES_A_MINUTE, NG_A_MINUTE = 60, 3


@cache
def drawn(number: int) -> bytes:
    """A JPEG of a scratched part."""
    return take(SyntheticOptions(), Part("A", number, 1, "scratch", 0.9))


@dataclasses.dataclass
class Plant:
    """What lines have published, by hand. Windows and frames are of the last minutes."""

    settings: Settings

    def __post_init__(self) -> None:
        self.now = datetime.now(UTC).replace(second=0, microsecond=0)

    def window(self, minutes_ago: int, line: str = "l1", **changes: Any) -> LineWindow:
        ng, frames = NG_A_MINUTE, FRAMES_A_MINUTE
        counts = [0] * BUCKETS
        counts[bucket(LATENCY_MS)] = frames
        fields: dict[str, Any] = {
            "plant": "p1",
            "line": line,
            "station": "s1",
            "window_start": self.now - minutes_ago * MINUTE,
            "width_ms": 60_000,
            "revision": 1,
            "final": minutes_ago > 2,
            "partition": 0,
            "through_offset": 1000 - minutes_ago,
            "frames": frames,
            "outcomes": {"OK": frames - ng, "NG": ng},
            "labels": {"scratch": ng},
            "parts": {"OK": frames - ng, "NG": ng},
            "models": {"m1": frames},
            "recipes": {"A@4": frames},
            "latency_counts": tuple(counts),
            "latency_p50_ms": LATENCY_MS,
            "latency_p95_ms": LATENCY_MS,
            "latency_p99_ms": LATENCY_MS,
            "deadline_ms": 120,
            "at": datetime.now(UTC),
        }
        return LineWindow(**fields | changes)

    async def run(self, minutes: int = 20, line: str = "l1", until: int = 1, **changes: Any) -> None:
        """Windows of the last minutes; those of the next ones too where `until` is below 0."""
        windows = [self.window(ago, line, **changes) for ago in range(minutes, until - 1, -1)]
        await self.publish(LINE_STATS, *windows, line=line)

    async def reject(self, label: str, *part_ids: str | None) -> None:
        """Rejected frames with pictures, and the verdicts about them, the last one the newest."""
        for number, part_id in enumerate(part_ids):
            shot = frame(
                uuid4().int % 10**6, image=drawn(number), part_id=part_id, encoding=Encoding.JPEG, width=640, height=480
            )
            async with self.publisher() as publisher:
                at = await (await publisher.send(FRAMES, shot, key=station_key("p1", "l1", "s1"), partition=0))
            found = Finding(label=label, score=0.93, threshold=0.62)
            judged = verdict(
                shot, Judgement(Outcome.NG, Reason.SCORE, findings=(found,), scores={label: 0.93}), at.offset
            )
            taken_at = self.now - timedelta(seconds=90 - number)
            await self.publish(VERDICTS, dataclasses.replace(judged, source_timestamp=taken_at, source_partition=0))

    async def lose(self, count: int) -> None:
        """Parts that nobody inspected."""
        for number in range(count):
            at = self.now - 5 * MINUTE + timedelta(seconds=number)
            lost = PartDecided(
                decision_id=uuid4(),
                plant="p1",
                line="l1",
                station="s1",
                sku="A",
                part_id=f"P-{number}",
                outcome=PartOutcome.NOT_INSPECTED,
                reason=PartReason.MISSING_VIEW,
                views_expected=2,
                first_at=at,
                through_at=at,
                decided_at=at,
            )
            await self.publish(PARTS, lost)

    def publisher(self) -> Publisher:
        return Publisher(self.settings.bootstrap, self.settings.topic_prefix, codec_for(self.settings))

    async def publish(self, topic: Topic, *records: Event, line: str = "l1") -> None:
        key = station_key("p1", line, "s1")
        async with self.publisher() as publisher:
            await asyncio.gather(*[await publisher.send(topic, r, key=key, partition=0) for r in records])


@pytest_asyncio.fixture(loop_scope="session")
async def plant(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Plant:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=2)
    await ensure_topics(bootstrap, topic_specs(settings))
    return Plant(settings)


@contextlib.asynccontextmanager
async def dashboard(plant: Plant, run_web: RunWeb) -> AsyncIterator[str]:
    async with open_dashboard(plant.settings, DashboardOptions()) as web, run_web(web) as url:
        yield url


async def look(context: BrowserContext, url: str, query: str = "?span=1h&lang=en") -> Page:
    """The page, signed in; fails where anything of others became more than text."""
    page = await context.new_page()
    page.on("dialog", lambda dialog: asyncio.ensure_future(_unwanted(dialog)))
    await go(page, f"{url}/{query}")
    await expect(page.locator(".db")).to_be_visible(timeout=SLOW_MS)
    return page


async def _unwanted(dialog: Dialog) -> None:
    await dialog.dismiss()
    pytest.fail(f"a text became a script: {dialog.message}")


def panel(page: Page, name: str) -> Locator:
    return page.locator(f".db-panel-{name}")


async def open_first_bar(page: Page) -> Locator:
    """The gallery of the Pareto's first bar, by keyboard."""
    await panel(page, "pareto").locator(".db-chart").focus()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    gallery = page.locator(".db-gallery")
    await expect(gallery).to_be_visible(timeout=SLOW_MS)
    return gallery


async def test_a_line_is_a_tile_with_its_state_pace_and_yield(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run(until=-3)
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        tile = page.locator('.db-tile[data-line="l1"]')
        await expect(tile.locator(".db-state")).to_have_text(load("en", "dashboard")["line_RUNNING"], timeout=SLOW_MS)
        await expect(tile.locator(".db-pace .ls-large")).to_have_text("60.0")
        await expect(tile.locator(".db-yield strong")).to_have_text("95.0\N{NO-BREAK SPACE}%")
        await expect(panel(page, "latency")).to_contain_text("45\N{NO-BREAK SPACE}ms")
        for name in ("control", "pareto", "pace", "latency"):
            await expect(panel(page, name).locator("canvas")).to_be_visible()


async def test_without_any_window_the_page_says_why_and_what_to_do(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    words = load("en", "dashboard")
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        await expect(page.locator(".db-tiles")).to_contain_text(words["no_lines"], timeout=SLOW_MS)
        await expect(panel(page, "control")).to_contain_text(words["no_parts_hint"])
        await expect(panel(page, "quality")).to_contain_text(words["escape_hint"])


async def test_a_new_window_arrives_without_a_reload(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run()
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        root = page.locator(".db")
        await expect(page.locator(".db-tile")).to_have_count(1, timeout=SLOW_MS)
        await page.evaluate("window.notReloaded = true")
        before = int(await root.get_attribute("data-newest-ms") or 0)

        await plant.run(minutes=5, line="l2")

        await expect(page.locator('.db-tile[data-line="l2"]')).to_be_visible(timeout=SLOW_MS)
        assert int(await root.get_attribute("data-newest-ms") or 0) > before
        assert json.loads(await root.get_attribute("data-through") or "{}")
        assert await page.evaluate("window.notReloaded")


async def test_a_bar_opens_the_pictures_behind_it_and_hostile_texts_stay_texts(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run(labels={HOSTILE: NG_A_MINUTE})
    await plant.reject(HOSTILE, "P-1", HOSTILE, None)
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        await expect(panel(page, "pareto").locator("canvas")).to_be_visible(timeout=SLOW_MS)

        gallery = await open_first_bar(page)

        await expect(gallery.locator("h2")).to_contain_text(HOSTILE)
        await expect(gallery.locator(".db-shot")).to_have_count(3, timeout=SLOW_MS)
        await expect(gallery.get_by_text(HOSTILE, exact=True)).to_have_count(1)  # as a part id
        await expect(gallery).to_contain_text("0.93")
        await page.wait_for_function(
            "[...document.querySelectorAll('.db-gallery img')].every((i) => i.naturalWidth > 0)"
        )
        assert await page.locator('img[src="x"]').count() == 0
        await page.keyboard.press("Escape")
        await expect(gallery).to_be_hidden()


async def test_parts_that_were_not_inspected_are_one_card(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run()
    await plant.lose(12)
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        words = load("en", "dashboard")["block"].format(n=12)
        await expect(panel(page, "missing").locator(".db-row", has_text=words)).to_have_count(1, timeout=SLOW_MS)


async def test_the_address_gives_the_same_view_to_another(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run()
    await plant.run(line="l2")
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        await page.locator('.db-tile[data-line="l2"] .db-line').click(timeout=SLOW_MS)
        await expect(page.locator('.db-tile[data-line="l2"]')).to_have_class(IS_CHOSEN)
        other = await look(touch_screen, url, page.url.removeprefix(f"{url}/"))
        await expect(other.locator('.db-tile[data-line="l2"]')).to_have_class(IS_CHOSEN)
        async with asyncio.timeout(SLOW_MS / 1000):  # the span ends now: a minute may begin between the two looks
            while len({await panel(seen, "control").locator(".db-note").inner_text() for seen in (page, other)}) > 1:
                await asyncio.sleep(0.2)


async def test_each_chart_gives_its_numbers_as_csv_and_defuses_formulas(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run(labels={FORMULA: NG_A_MINUTE})
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url)
        await expect(panel(page, "pareto").locator("canvas")).to_be_visible(timeout=SLOW_MS)
        async with page.expect_download() as downloading:
            await panel(page, "pareto").locator(".db-tools a").click()
        text = Path(await (await downloading.value).path()).read_text("utf-8-sig")
        header, first, *_ = csv.reader(io.StringIO(text))
        assert header[:3] == ["label", "ng_frames", "cumulated_share"]
        assert first[:2] == [f"'{FORMULA}", str(20 * NG_A_MINUTE)]
        async with page.expect_download() as downloading:
            await panel(page, "control").locator(".db-tools button").click()
        assert Path(await (await downloading.value).path()).read_bytes().startswith(b"\x89PNG")


async def test_a_wall_screen_has_no_menus_and_a_german_reader_german_words(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.run()
    async with dashboard(plant, run_web) as url:
        page = await look(touch_screen, url, "?span=1h&wall=1&lang=de")
        await expect(page.locator(".db-state").first).to_have_text(
            load("de", "dashboard")["line_RUNNING"], timeout=SLOW_MS
        )
        await expect(page.locator(".db-yield strong").first).to_have_text("95,0\N{NO-BREAK SPACE}%")
        await expect(page.locator(".ls-header")).to_be_hidden()
        assert await page.locator("select").count() == 0
