"""The rework station's screen: the picture and what lies over it, targets for gloves, how fast a defect is on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, expect

from streams.topics import DEFECTS, LOCATIONS
from tests.contracts.samples import LOCATED
from tests.models_fixture import tiny_artifact
from tests.web.station_pages import RING, SLOW_MS, Line, RunWeb, key, new_line, opened, press, station

pytestmark = [
    pytest.mark.broker,
    # NiceGUI looks at every object of the process when it starts, which wakes a deprecated one of torch
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op`:FutureWarning"),
]

TOUCH_PX = 84  # 20 mm of 1024 pixels on 12 inches
TOO_SMALL = """(least) => [...document.querySelectorAll("button, a, input, textarea, select, [role=button]")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }))
  .map((element) => [element.closest(".q-field__control") ?? element, element.ariaLabel || element.textContent])
  .map(([target, name]) => [name, target.getBoundingClientRect()])
  .filter(([, box]) => Math.min(box.width, box.height) < least - 0.5)
  .map(([name, box]) => `${name.trim()}: ${box.width} x ${box.height}`)"""


@pytest_asyncio.fixture(loop_scope="session")
async def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    return await new_line(bootstrap, topic_prefix, tmp_path)


async def test_the_picture_is_shown_as_captured_beside_a_good_part(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.pass_one()
    await line.reject("P-1")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        picture = page.locator(".picture-sheet > img").first
        await expect(picture).to_have_js_property("naturalWidth", 640)
        good = page.locator(".st-reference img")
        await expect(good).to_have_js_property("naturalWidth", 640, timeout=SLOW_MS)

        for _ in range(2):
            await page.get_by_role("button", name="Larger").click()
        await expect(picture).to_have_css("image-rendering", "pixelated")
        await expect(picture).to_have_css("width", "1280px")
        await page.get_by_role("button", name="Move right").click()
        for _ in range(2):
            await page.keyboard.press("ArrowRight")
        await expect(page.get_by_role("button", name="Move right")).to_be_hidden()
        await page.keyboard.press("0")
        await expect(picture).not_to_have_class("is-enlarged")

        await good.click()
        await expect(page.locator(".picture-good")).to_be_visible()
        await expect(page.locator(".picture-badge")).to_have_text("GOOD PART")
        await page.keyboard.press("g")
        await expect(page.locator(".picture-good")).to_be_hidden()


async def test_the_picture_takes_the_room_of_queue_and_header_and_can_be_decided_on(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.reject("P-1")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        await page.get_by_role("button", name="Full").click()

        await expect(page.locator(".st-queue")).to_be_hidden()
        view = await page.locator(".picture-view").bounding_box()
        assert view is not None
        assert (view["x"], view["y"], view["width"] >= 700) == (0, 0, True)
        await press(page, "2a")
        await expect(page.locator(".st-nothing strong")).to_be_visible(timeout=SLOW_MS)
        await expect(page.locator(".st-queue")).to_be_visible()


async def test_one_key_takes_ring_and_heatmap_away(line: Line, run_web: RunWeb, touch_screen: BrowserContext) -> None:
    model = dataclasses.replace(tiny_artifact(), sha256="c" * 64)
    await line.reject("P-1", box=RING, model=model.sha256)
    async with station(line, run_web, [model]) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        ring, heat = page.locator(".picture-sheet .ring"), page.locator(".picture-heat")
        await expect(ring).to_have_attribute("width", "144")
        await page.keyboard.press("h")
        await expect(ring).to_have_count(0)
        await page.keyboard.press("h")
        await expect(heat).to_have_js_property("naturalWidth", 640, timeout=SLOW_MS)
        await page.keyboard.press("h")
        await expect(heat).to_have_count(0)
        await expect(ring).to_have_count(0)
        await page.keyboard.press("h")
        await expect(ring).to_have_count(1)


async def test_every_target_is_20_mm_whatever_is_open(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.pass_one()
    await line.reject(*(f"P-{number}" for number in range(8)), box=RING)
    await line.miss("U-1", "U-2")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-0")
        await expect(page.locator(".st-reference img")).to_be_visible(timeout=SLOW_MS)
        assert await too_small(page) == []
        for opens in "cn":
            await page.keyboard.press(opens)
            await expect(page.locator(".st-panel:visible")).to_have_count(1)
            assert await too_small(page) == []
            await page.keyboard.press("Escape")
            await expect(page.locator(".st-panel:visible")).to_have_count(0)
        for button, shown in (("Larger", ".picture-arrow.is-left"), ("Full", ".picture.is-full")):
            await page.get_by_role("button", name=button).click(click_count=2 if button == "Larger" else 1)
            await expect(page.locator(shown)).to_be_visible()
            assert await too_small(page) == []
        await page.get_by_role("button", name="Full").click()
        await page.locator(".st-row.is-block").click()
        await expect(page.locator(".st-block")).to_be_visible()
        assert await too_small(page) == []
        await page.get_by_role("button", name="User menu of ana").click()
        await expect(page.get_by_text("Sign out")).to_be_visible()
        assert await too_small(page) == []


async def too_small(page: Page) -> list[str]:
    found: list[str] = await page.evaluate(TOO_SMALL, TOUCH_PX)
    return found


async def test_lists_turn_by_a_press_so_that_nobody_must_drag(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.reject(*(f"P-{number}" for number in range(8)))
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-0")
        last = page.locator(".st-row", has_text="P-7")
        await expect(last).not_to_be_in_viewport()
        await page.get_by_role("button", name="Turn the list").click()
        await expect(last).to_be_in_viewport(ratio=0.9)
        await page.keyboard.press("q")
        await expect(last).not_to_be_in_viewport()

        for _ in range(7):
            await page.keyboard.press("PageDown")
        await opened(page, "P-7")
        await expect(last).to_be_in_viewport(ratio=0.9)


async def test_an_order_is_turned_by_a_press(line: Line, run_web: RunWeb, touch_screen: BrowserContext) -> None:
    await line.reject("P-1")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await page.get_by_role("button", name="Oldest first").click()
        await expect(page.get_by_role("button", name="Worst first")).to_be_visible()


async def test_the_page_says_when_the_newest_defect_on_it_came(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        root = page.locator("[data-newest-ms]")
        await expect(root).to_have_attribute("data-newest-ms", "")
        for parts in (("P-1",), ("P-1", "P-2")):
            await line.reject(*parts)
            newest = (await line.read(DEFECTS))[-1].timestamp
            await expect(root).to_have_attribute("data-newest-ms", str(round(newest.timestamp() * 1000)))


async def test_a_block_of_uninspected_parts_is_one_card_that_one_press_deals_with(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.miss("U-1", "U-2", "U-3")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await page.locator(".st-row.is-block").click(timeout=SLOW_MS)
        await expect(page.locator(".st-block")).to_contain_text("3 parts not inspected")
        await expect(key(page, "1")).to_be_disabled()
        await page.keyboard.press("i")
        await expect(page.locator(".st-row")).to_have_count(0, timeout=SLOW_MS)


async def test_places_of_the_second_stage_are_ringed_and_outlined_as_soon_as_they_come(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    (verdict_id,) = await line.reject("P-1", box=RING)
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        ring, outline = page.locator(".picture-sheet .ring"), page.locator(".picture-sheet .outline")
        await expect(ring).to_have_attribute("width", "144")  # of the tile that the verdict names
        await expect(outline).to_have_count(0)

        place = {"plant": "p1", "line": "l1", "station": "s1", "verdict_id": verdict_id}
        await line.publish(LOCATIONS, dataclasses.replace(LOCATED, **place))
        await expect(outline).to_have_attribute("points", "10 20 40 20.5 25 60", timeout=SLOW_MS)
        await expect(ring).to_have_attribute("width", "54")
        await page.keyboard.press("h")
        await expect(outline).to_have_count(0)
        await page.keyboard.press("h")
        await expect(outline).to_be_visible()
