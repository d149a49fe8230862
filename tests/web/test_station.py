"""The rework station as an operator uses it: real Chromium, a real broker, defects with real pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Dialog, Page, expect

from schemas.records import AuditEntry, ReworkFinding
from streams.bus.subscriber import Received
from streams.topics import AUDIT, OUTCOMES
from streams.web.access import dialog
from tests.web.station_pages import (
    SLOW_MS,
    Line,
    RunWeb,
    key,
    new_line,
    nothing_left,
    opened,
    press,
    scan,
    station,
)

pytestmark = [
    pytest.mark.broker,
    # NiceGUI looks at every object of the process when it starts, which wakes a deprecated one of torch
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op`:FutureWarning"),
]

HOSTILE = ("<img src=x onerror=alert(1)>", "abc\u202e4711", "A" * 1000)
WORKED_OFF = {"1r": ReworkFinding.CONFIRMED, "2a": ReworkFinding.FALSE_REJECT, "3b": ReworkFinding.INCONCLUSIVE}
WORKED_OFF |= {"1s": ReworkFinding.CONFIRMED, "44": ReworkFinding.NOT_FOUND}


@pytest_asyncio.fixture(loop_scope="session")
async def line(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Line:
    return await new_line(bootstrap, topic_prefix, tmp_path)


async def test_an_operator_works_off_fifty_defects_by_keyboard_alone(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    parts = [f"P-{number:03}" for number in range(50)]
    verdict_ids = await line.reject(*parts)
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        for part, keys in zip(parts, list(WORKED_OFF) * 10, strict=True):
            await opened(page, part)
            await press(page, keys)
        await nothing_left(page)
        await expect(page.locator(".st-queue .st-pager-text")).to_have_text("0 open")

    outcomes = {outcome.verdict_id: outcome for outcome in await line.outcomes()}
    assert [outcomes[verdict_id].finding for verdict_id in verdict_ids] == list(WORKED_OFF.values()) * 10
    assert {outcome.operator for outcome in outcomes.values()} == {"ana"}
    await assert_audited_before(line, [outcome.outcome_id for outcome in outcomes.values()])


async def assert_audited_before(line: Line, outcome_ids: Sequence[UUID]) -> None:
    entries: list[Received[AuditEntry]] = await line.read(AUDIT)
    audited = {
        json.loads(entry.record.after or "{}")["outcome_id"]: entry.timestamp
        for entry in entries
        if entry.record.action == "outcome.decide"
    }
    written = {str(read.record.outcome_id): read.timestamp for read in await line.read(OUTCOMES)}
    for outcome_id in map(str, outcome_ids):
        assert audited[outcome_id] <= written[outcome_id]


async def test_hostile_part_ids_are_text_and_nothing_else(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.reject(*HOSTILE)
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        dialogs: list[Dialog] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog))
        shown = ("<img src=x onerror=alert(1)>", "abc\ufffd4711", "A" * 200 + "…")
        for part in shown:
            await opened(page, part)
            await press(page, "2a")
        await nothing_left(page)

        assert dialogs == []
        assert await page.locator('img[src="x"]').count() == 0
    assert [o.part_id for o in await line.outcomes()] == list(HOSTILE)


async def test_a_scan_opens_its_part_from_anywhere_and_decides_nothing(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.reject("P-1", "12rs2a44-1r", "P-3")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        await key(page, "2").focus()

        await scan(page, "12rs2a44-1r")

        await opened(page, "12rs2a44-1r")
        await expect(page.locator('.st-strip [aria-pressed="true"]')).to_have_count(0)
        await scan(page, "nobody")
        await expect(page.locator(".st-banner")).to_contain_text("No case for nobody. Scan again")
        await scan(page, "1r2a", end="")  # was cut off
        await expect(page.locator(".st-banner")).to_contain_text("nothing was decided")
        await expect(page.locator('.st-strip [aria-pressed="true"]')).to_have_count(0)

        await page.get_by_label("Scan or type part id").focus()
        await page.keyboard.type("P-3", delay=120)
        await page.keyboard.press("Enter")
        await opened(page, "P-3")
    assert await line.outcomes() == []


async def test_a_half_made_decision_and_the_focus_survive_what_comes_in_and_a_reload(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.reject("P-1", "P-2")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        await choose_second_class(page)
        second = page.locator(".st-row", has_text="P-2")
        await second.focus()

        await line.audit_one()

        await expect(page.locator(".st-row")).to_have_count(3, timeout=SLOW_MS)
        await expect(second).to_be_focused()
        await expect(key(page, "1")).to_have_attribute("aria-pressed", "true")
        await page.reload()
        await opened(page, "P-1")
        await expect(key(page, "1")).to_contain_text("dent")
        await page.keyboard.press("r")
        await opened(page, "P-2")
        await page.keyboard.press("u")
        await opened(page, "P-1")
    findings = [read.record.finding for read in await line.read(OUTCOMES)]
    assert findings == [ReworkFinding.CONFIRMED, ReworkFinding.WITHDRAWN]


async def choose_second_class(page: Page) -> None:
    await page.keyboard.press("c")
    await expect(page.get_by_role("dialog", name="Which defect is it?")).to_be_visible()
    await page.keyboard.press("2")
    await expect(key(page, "1")).to_contain_text("dent")


async def test_a_sign_in_that_ends_in_mid_decision_costs_one_sign_in_and_no_press(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialog, "WATCH_S", 60.0)  # the press comes first, not the dialog by itself
    await line.reject("P-1")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        await choose_second_class(page)
        other = await at_work.sit_down(touch_screen, "ana")  # the same browser: the same session
        await other.get_by_role("button", name="User menu of ana").click()
        await other.get_by_text("Sign out").click()
        await expect(other).to_have_url(f"{at_work.url}/sign-in")

        await page.keyboard.press("s")

        await expect(page.get_by_role("heading", name="Sign in again")).to_be_visible()
        await expect(key(page, "1")).to_have_attribute("aria-pressed", "true")
        await page.get_by_role("dialog").locator("input").fill("ana")
        await page.keyboard.press("Enter")
        await nothing_left(page)
    [outcome] = await line.outcomes()
    assert (outcome.operator, outcome.finding, outcome.corrected_label) == ("ana", ReworkFinding.CONFIRMED, "dent")


async def test_a_note_is_typed_without_deciding_anything_and_goes_along(
    line: Line, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await line.reject("P-1")
    async with station(line, run_web) as at_work:
        page = await at_work.sit_down(touch_screen, "ana")
        await opened(page, "P-1")
        await page.keyboard.press("n")
        await expect(page.locator("textarea")).to_be_focused()
        await page.keyboard.type("1r at the rim", delay=80)
        await page.keyboard.press("Enter")
        await expect(key(page, "N")).to_contain_text("✓")
        await press(page, "2a")
        await nothing_left(page)
    [outcome] = await line.outcomes()
    assert (outcome.finding, outcome.comment) == (ReworkFinding.FALSE_REJECT, "1r at the rim")
