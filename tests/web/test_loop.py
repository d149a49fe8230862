"""The loop's page as people see it: real Chromium, a real broker, samples, decisions, a recipe and a proposal."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import BrowserContext, Page, expect

from schemas.records import ModelProposed, Outcome, ProposalState, ReworkFinding, Strategy
from streams.bus.admin import ensure_topics
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.settings import Settings
from streams.topics import OUTCOMES, PROPOSALS, RECIPES, SAMPLES, topic_specs
from streams.web.dashboard.app import DashboardOptions, open_dashboard
from tests.builders import recipe
from tests.contracts.samples import OUTCOME, SAMPLE
from tests.released import in_s
from tests.web.signing_in import SLOW_MS, go

pytestmark = [
    pytest.mark.broker,
    # NiceGUI looks at every object of the process when it starts, which wakes a deprecated one of torch
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op`:FutureWarning"),
]
RunWeb = Callable[[FastAPI], AbstractAsyncContextManager[str]]
HOSTILE = "<img src=x onerror=alert(1)>"
SPOKEN = (Strategy.PASS_AUDIT, Strategy.UNCERTAIN, Strategy.CORRECTED)


@dataclasses.dataclass
class Line:
    """What a line has published, by hand."""

    settings: Settings

    @asynccontextmanager
    async def publisher(self) -> AsyncIterator[Publisher]:
        settings = self.settings
        async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
            yield publisher

    async def in_force(self, model_id: str, version: int = 1) -> None:
        made = recipe(version=version, model_id=model_id, created_at=datetime.now(UTC), effective_at=in_s(6))
        async with self.publisher() as publisher:
            await (await publisher.send(RECIPES, made, key=b"recipe", partition=0))
        await asyncio.sleep(6.2)

    async def sample(self, count: int, labelled: int) -> None:
        """Samples of SKU A after the recipe; of the first `labelled` somebody said what they are: every other one is
        an escape.
        """
        async with self.publisher() as publisher:
            for number in range(count):
                about = {"plant": "p1", "line": "l1", "station": "s1", "sku": "A", "verdict_id": uuid4()}
                now, strategy = datetime.now(UTC), SPOKEN[number % len(SPOKEN)]
                sample = dataclasses.replace(
                    SAMPLE, sample_id=uuid4(), strategy=strategy, selected_at=now, inspected_at=now, **about
                )
                await (await publisher.send(SAMPLES, sample, key=b"p1/l1/s1", partition=0))
                if number < labelled:
                    found = ReworkFinding.CONFIRMED if number % 2 else ReworkFinding.FALSE_REJECT
                    said = dataclasses.replace(
                        OUTCOME, outcome_id=uuid4(), finding=found, verdict_outcome=Outcome.OK, supersedes=None,
                        predicted_label=None, corrected_label="crack" if number % 2 else None, decided_at=now, **about
                    )  # fmt: skip
                    await (await publisher.send(OUTCOMES, said, key=b"p1/l1/s1", partition=0))

    async def propose(self, state: ProposalState, **changes: object) -> ModelProposed:
        metrics = {
            name + end: value
            for name, values in {
                "base_escape": (0.5, 0.391, 0.609), "escape": (0.062, 0.021, 0.139),
                "base_overkill": (0.021, 0.007, 0.048), "overkill": (0.017, 0.005, 0.043),
            }.items()
            for end, value in zip(("", "_low", "_high"), values, strict=True)
        }  # fmt: skip
        record = ModelProposed(
            proposal_id=uuid4(), plant="p1", line="l1", sku="A", state=state, model_id="flange-40-1f2e3d4c",
            sha256="c" * 64, base_model_id="flange-40", dataset="p1-l1-A@0123456789abcdef", dataset_sha256="d" * 64,
            metrics=metrics, proposed_by="ana", at=datetime.now(UTC)
        )  # fmt: skip
        record = dataclasses.replace(record, **changes)  # type: ignore[arg-type]
        async with self.publisher() as publisher:
            await (await publisher.send(PROPOSALS, record, key=b"p1/l1/A", partition=0))
        return record


@pytest_asyncio.fixture(loop_scope="session")
async def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=2)
    await ensure_topics(bootstrap, topic_specs(settings))
    return Line(settings)


async def shot(page: Page, name: str) -> None:
    """Keeps a picture for a person to look at, where LINESIDE_SHOTS names a folder."""
    if folder := os.environ.get("LINESIDE_SHOTS"):
        await page.evaluate("document.fonts.ready")
        await page.wait_for_timeout(400)
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def opened(context: BrowserContext, url: str, path: str = "/loop") -> Page:
    page = await context.new_page()
    await page.set_viewport_size({"width": 1440, "height": 900})
    await go(page, url + path)
    await expect(page.locator(".ls-main")).to_be_visible(timeout=SLOW_MS)
    return page


async def test_the_page_says_where_each_loop_stands_and_follows_what_happens(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    async with open_dashboard(line.settings, DashboardOptions()) as web, run_web(web) as url:
        page = await opened(touch_screen, url)
        await expect(page.get_by_text("No line has a recipe, a sample or a proposal yet")).to_be_visible(
            timeout=SLOW_MS
        )

        await line.in_force("flange-40")
        await line.sample(30, labelled=18)
        row = page.locator(".lp-row").filter(has_text="p1 / l1 · A")
        await expect(row).to_contain_text("12 of 30 samples have no label yet", timeout=SLOW_MS)
        await expect(row).to_contain_text("corrected 10, audit of passes 10, near the limit 10")
        await expect(row).to_contain_text("18 of 30")
        await expect(row.locator(".lp-fact").filter(has_text="Escapes found")).to_contain_text("9")

        proposed = await line.propose(ProposalState.PROPOSED, proposed_by=HOSTILE)
        await expect(row).to_contain_text("flange-40-1f2e3d4c waits for an approval", timeout=SLOW_MS)
        await expect(row).to_contain_text("50.0\N{NO-BREAK SPACE}% → 6.2\N{NO-BREAK SPACE}%")
        await expect(row).to_contain_text("[39.1\N{EN DASH}60.9] → [2.1\N{EN DASH}13.9]")
        await expect(row).to_contain_text(HOSTILE)
        assert await page.locator("img[src='x']").count() == 0, "a name is text"
        await shot(page, "loop")

        decided = dataclasses.replace(proposed, state=ProposalState.REJECTED, decided_by="bo", reason="too few cracks")
        async with line.publisher() as publisher:
            await (await publisher.send(PROPOSALS, decided, key=b"p1/l1/A", partition=0))
        await expect(row).to_contain_text("rejected", timeout=SLOW_MS)
        await expect(row).to_contain_text("bo, ")
        await expect(row).to_contain_text("12 of 30 samples have no label yet")


async def test_counts_begin_anew_when_another_model_is_in_force_and_the_dashboard_leads_there(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.in_force("flange-40")
    await line.sample(24, labelled=24)
    async with open_dashboard(line.settings, DashboardOptions()) as web, run_web(web) as url:
        page = await opened(touch_screen, url, "/")
        await page.get_by_role("link", name="Retraining loop").click()
        row = page.locator(".lp-row").filter(has_text="p1 / l1 · A")
        await expect(row).to_contain_text("24 of 24 samples are labelled, enough", timeout=SLOW_MS)
        await line.in_force("flange-41", version=2)
        await expect(row).to_contain_text("flange-41", timeout=SLOW_MS)
        await expect(row).to_contain_text("no samples yet")
        german = await opened(touch_screen, url, "/loop?lang=de")
        await expect(german.get_by_text("Stichproben seitdem").first).to_be_visible(timeout=SLOW_MS)
