"""The rework station where it must not lose or double a decision: races, blind reviews, a broker that restarts."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, expect

from schemas.records import ReworkFinding
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.topics import CLAIMS, OUTCOMES
from tests.web.station_pages import SLOW_MS, Line, RunWeb, key, new_line, nothing_left, opened, press, scan, station

pytestmark = [
    pytest.mark.broker,
    # NiceGUI looks at every object of the process when it starts, which wakes a deprecated one of torch
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op`:FutureWarning"),
]

A_HAND_MS = 500  # from key to key, on a machine that is busy


@pytest_asyncio.fixture(loop_scope="session")
async def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    return await new_line(bootstrap, topic_prefix, tmp_path)


async def first_press_shown(page: Page) -> None:
    """The first key counts, or the page says why it does not."""
    counts = page.locator('.st-strip [aria-keyshortcuts="2"][aria-pressed="true"], .st-banner:not(.hidden)')
    await expect(counts.first).to_be_visible()
    await page.wait_for_timeout(A_HAND_MS)  # it may have said so before the key: two keys at once are a scan


async def test_of_two_operators_one_saves_and_the_other_is_told_who(
    line: Line, run_web: RunWeb, chromium: Browser
) -> None:
    async with station(line, run_web) as at_work:
        pages = [await at_work.sit_down(await chromium.new_context(), name) for name in ("ana", "ben")]
        await line.reject("P-1")
        for page in pages:
            await expect(page.locator(".st-row")).to_have_count(1, timeout=SLOW_MS)
        await asyncio.gather(*(page.locator(".st-row").click() for page in pages))
        await asyncio.gather(*(page.keyboard.press("2") for page in pages))
        await asyncio.gather(*(first_press_shown(page) for page in pages))
        await asyncio.gather(*(page.keyboard.press("a") for page in pages))

        async with asyncio.timeout(20):
            while not (outcomes := await line.outcomes()):
                await asyncio.sleep(0.2)
        [outcome] = outcomes
        loser = pages[1 if outcome.operator == "ana" else 0]
        await expect(loser.locator(".st-banner")).to_contain_text(f"{outcome.operator}: false reject, use as is")
        await expect(key(loser, "1")).to_be_disabled()

    assert len(await line.read(OUTCOMES)) == 1


async def test_a_case_that_another_has_open_names_him_and_takes_no_decision(
    line: Line, run_web: RunWeb, chromium: Browser
) -> None:
    await line.reject("P-1", "P-2")
    async with station(line, run_web) as at_work:
        ana = await at_work.sit_down(await chromium.new_context(), "ana")
        await opened(ana, "P-1")
        ben = await at_work.sit_down(await chromium.new_context(), "ben")
        await opened(ben, "P-2")
        await expect(ben.locator(".st-row", has_text="P-1")).to_contain_text("with ana")

        await scan(ben, "P-1")

        await opened(ben, "P-1")
        await expect(ben.locator(".st-banner")).to_contain_text("ana has this case open")
        await expect(key(ben, "2")).to_be_disabled()
        await ben.get_by_role("button", name="Next case").click()
        await opened(ben, "P-2")
    assert {claim.record.operator for claim in await line.read(CLAIMS)} == {"ana", "ben"}


async def test_a_broker_that_restarts_in_mid_decision_costs_no_decision(
    tmp_path: Path, run_web: RunWeb, chromium: Browser
) -> None:
    with free_ports() as (port, controller_port):
        config = BrokerConfig(tmp_path / "broker", port, controller_port)
    broker = EmbeddedBroker(config)
    address = await asyncio.to_thread(broker.start)
    try:
        line = await new_line(address, "t.", tmp_path, partitions=1)
        await line.reject("P-1", "P-2")
        async with station(line, run_web) as at_work:
            page = await at_work.sit_down(await chromium.new_context(), "ana")
            await opened(page, "P-1")
            await asyncio.to_thread(broker.kill)
            await press(page, "1s")
            await expect(page.locator(".st-status")).to_contain_text("Not saved yet, will retry", timeout=SLOW_MS)
            await page.reload()
            await expect(page.locator(".st-status")).to_contain_text("Not saved yet, will retry", timeout=SLOW_MS)
            await expect(key(page, "S")).to_have_attribute("aria-pressed", "true")

            await asyncio.to_thread(broker.start)

            await opened(page, "P-2")
            [outcome] = await line.outcomes()
            assert (outcome.part_id, outcome.finding) == ("P-1", ReworkFinding.CONFIRMED)
    finally:
        await asyncio.to_thread(broker.stop)


@contextlib.contextmanager
def free_ports() -> Iterator[tuple[int, int]]:
    with socket.socket() as first, socket.socket() as second:
        for candidate in (first, second):
            candidate.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    yield ports


async def test_a_second_review_is_made_by_another_who_sees_nothing_of_the_first(
    bootstrap: str, topic_prefix: str, tmp_path: Path, run_web: RunWeb, chromium: Browser
) -> None:
    line = await new_line(bootstrap, topic_prefix, tmp_path, second_review_share=1.0)
    await line.reject("P-1")
    async with station(line, run_web) as at_work:
        ana = await at_work.sit_down(await chromium.new_context(), "ana")
        await opened(ana, "P-1")
        await press(ana, "1s")
        await nothing_left(ana)

        ben = await at_work.sit_down(await chromium.new_context(), "ben")
        await opened(ben, "P-1")
        await expect(ben.locator(".st-row.is-open")).to_contain_text("REVIEW")
        seen = await ben.locator("body").inner_text()
        assert not [word for word in ("ana", "scratch", "0.90", "0.62", "m1", "confirmed") if word in seen]
        await press(ben, "2a")
        await nothing_left(ben)
    made = [(read.record.operator, read.record.review, read.record.finding) for read in await line.read(OUTCOMES)]
    assert made == [("ana", 1, ReworkFinding.CONFIRMED), ("ben", 2, ReworkFinding.FALSE_REJECT)]


async def test_an_audit_shows_neither_score_nor_label_and_asks_whether_the_part_is_good(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.audit_one()
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-audit")
        await expect(page.locator(".st-status")).to_contain_text("Is this part good?")
        seen = await page.locator("body").inner_text()
        assert "0.99" not in seen
        assert "m1" not in seen
        await press(page, "1s")
        await nothing_left(page)
    [outcome] = await line.outcomes()
    assert (outcome.finding, outcome.sample_id is not None) == (ReworkFinding.CONFIRMED, True)
