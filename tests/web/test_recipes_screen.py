"""The engineers' page: real Chromium, a real broker, released models, people with passwords."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, expect

from schemas.records import Mode
from streams.settings import Settings
from streams.web.i18n import load
from tests.builders import recipe
from tests.models_fixture import TINY_CLASSES, tiny_artifact
from tests.released import in_s
from tests.web.recipe_pages import SLOW_MS, Plant, RecipesPage, RunWeb

pytestmark = [
    pytest.mark.broker,
    # NiceGUI looks at every object of the process when it starts, which wakes a deprecated one of torch
    pytest.mark.filterwarnings("ignore:`torch.distributed.reduce_op`:FutureWarning"),
]

WORDS = load("en", "recipes")
DEFECT, OTHER = TINY_CLASSES[1:3]
HELD = dict.fromkeys(TINY_CLASSES[1:], 0.5)
LINE = "p1/l1/*"


@pytest_asyncio.fixture(loop_scope="session")
async def plant(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Plant:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path, partitions=2)
    return Plant(settings, tmp_path)


async def in_force(plant: Plant, version: int = 1, **changes: object) -> None:
    """A recipe that begins in six seconds: workers must know it in time."""
    made = recipe(version=version, thresholds=HELD, author="maria", reason="first", effective_at=in_s(6))
    await plant.put(dataclasses.replace(made, **changes))


async def test_an_engineer_sets_a_threshold_and_it_is_audited_published_and_shown(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    await in_force(plant)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await expect(page.card(LINE)).to_contain_text("Version 1", timeout=SLOW_MS)
        await page.change(LINE)
        await page.fill(DEFECT, "0.35")
        await page.press("Act")
        await page.fill("Reason", "escapes")
        await page.press("Show the difference")
        assert await page.differences() == [[f"Limit {DEFECT}", "0.50", "0.35"]]
        assert len(await plant.recipes()) == 1, "nothing is published before it is confirmed"

        await page.press("Put in force")

        assert (await page.done()).startswith("✓ Version 2 is in force from ")
        await page.press("Close")
        await expect(page.card(LINE)).to_contain_text("0.35", timeout=SLOW_MS)  # later, or by now

    published = (await plant.recipes())[-1]
    assert (published.record.version, published.record.author, published.record.reason) == (2, "li", "escapes")
    assert published.record.thresholds == HELD | {DEFECT: 0.35}
    [entry] = await plant.audited()
    assert (entry.record.actor, entry.record.action, entry.record.subject) == ("li", "recipe.set", "p1/l1 SKU *")
    assert json.loads(entry.record.after or "")[f"threshold {DEFECT}"] == 0.35
    assert entry.timestamp <= published.timestamp, "the audit entry comes first"


async def test_what_cannot_be_obeyed_is_refused_in_a_sentence_and_nothing_is_published(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    await in_force(plant)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await page.change(LINE)
        for value, reason, says in (
            ("1.5", "escapes", f"{DEFECT}: expected a number above 0 and at most 1, came 1.5"),
            ("half", "escapes", f"{DEFECT}: expected a number such as 0.55; came half."),
            ("nan", "escapes", f"{DEFECT}: expected a number such as 0.55; came nan."),
            ("0.4", "", "a recipe needs a reason"),
        ):
            await page.fill(DEFECT, value)
            await page.fill("Reason", reason)
            await page.press("Show the difference")
            await page.says(says)
        await page.fill("Reason", "escapes")
        await page.press("Show the difference")
        await page.differences()
        await page.press("Back")
        await page.fill(DEFECT, "0")
        await page.press("Show the difference")
        await page.says(f"{DEFECT}: expected a number above 0 and at most 1, came 0")
        await page.fill(DEFECT, "0.5")
        await page.fill("Reason", "nothing")
        await page.press("Show the difference")
        await page.says(WORDS["nothing_different"])
        await page.press("at a time")
        await page.fill("Time (UTC)", "2026-01-01T06:00")
        await page.fill(DEFECT, "0.4")
        await page.press("Show the difference")
        await page.says("that is past")
    assert len(await plant.recipes()) == 1
    assert await plant.audited() == []


async def test_who_is_no_engineer_may_read_and_not_change(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    await in_force(plant)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "ana")
        await expect(page.card(LINE)).to_contain_text("0.50", timeout=SLOW_MS)
        await expect(page.page.locator(".rc-notice")).to_contain_text(WORDS["read_only"].format(name="Ana"))
        await expect(page.page.get_by_role("button", name="Change")).to_have_count(0)
        await expect(page.page.get_by_role("button", name="New recipe")).to_have_count(0)
        await expect(page.page.get_by_role("button", name="Bring back")).to_have_count(0)


async def test_without_accounts_the_page_is_read_only_and_says_how_to_get_in(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare(users=False)
    await in_force(plant)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url)
        await expect(page.page.locator(".rc-notice")).to_contain_text("lineside users add NAME --role engineer")
        await expect(page.card(LINE)).to_be_visible(timeout=SLOW_MS)
        await expect(page.page.get_by_role("button", name="Change")).to_have_count(0)


async def test_two_people_sign_and_the_same_one_twice_is_refused(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    plant.settings = dataclasses.replace(plant.settings, recipe_approvals=2)
    await plant.prepare()
    await in_force(plant)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await page.change(LINE)
        await page.fill(DEFECT, "0.35")
        await page.fill("Reason", "escapes")
        await page.press("Show the difference")
        await page.differences()
        await page.press("Put in force")
        await page.says("a recipe takes 2 different people; came li")

        async def sign(name: str, secret: str) -> None:
            await page.fill(WORDS["approver"], name)
            await page.fill(WORDS["approver_secret"], secret)
            await page.press(WORDS["agree"])

        for name, secret, says in (
            ("li", "correct horse", "Li stands behind it already"),
            ("kim", "wrong", WORDS["refused_approver"]),
            ("ana", "operators too", "Ana is no engineer"),
        ):
            await sign(name, secret)
            await expect(page.dialog.locator(".rc-people .ls-alert")).to_contain_text(says, timeout=SLOW_MS)
        assert len(await plant.recipes()) == 1

        await sign("kim", "battery staple")
        await expect(page.dialog.locator(".rc-people li.is-there")).to_have_count(2, timeout=SLOW_MS)
        await page.press("Put in force")
        await page.done()
    published = (await plant.recipes())[-1].record
    assert (published.author, published.approved_by) == ("li", ("kim",))


async def test_a_former_version_comes_back_by_one_button_and_the_same_confirmation(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    await in_force(plant)
    await in_force(plant, 2, thresholds=HELD | {DEFECT: 0.9}, mode=Mode.ADVISE)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await page.card(LINE).get_by_text(WORDS["history_n"].format(n=2)).click(timeout=SLOW_MS)
        await page.card(LINE).get_by_role("button", name="Bring back version 1").click()
        await page.fill("Reason", "too many escapes")
        await page.press("Show the difference")
        assert await page.differences() == [["Mode", "Advise", "Act"], [f"Limit {DEFECT}", "0.90", "0.50"]]
        await page.press("Put in force")
        await page.done()
    published = (await plant.recipes())[-1].record
    assert (published.version, published.mode, published.thresholds) == (3, Mode.ACT, HELD)
    assert [e.record.action for e in await plant.audited()] == ["recipe.revert"]


async def test_another_model_brings_its_own_limits_and_a_shadow_may_come_and_go(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    await in_force(plant, shadow_model_id="m2")
    own = {item.name: item.threshold for item in tiny_artifact("m2").classes if item.threshold is not None}
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await page.change(LINE)
        await page.dialog.get_by_label("Model", exact=True).click()
        await page.page.get_by_role("option", name="m2").click()
        await expect(page.dialog.get_by_label(DEFECT, exact=True)).to_have_value(f"{own[DEFECT]:.6g}", timeout=SLOW_MS)
        await page.dialog.get_by_label("Shadow model", exact=True).click()
        await page.page.get_by_role("option", name="none").click()
        await page.fill("Reason", "finds porosity")
        await page.press("Show the difference")
        shown = await page.differences()
        assert shown[:2] == [["Model", "m1", "m2"], ["Shadow model", "m2", "none"]]
        await page.press("Put in force")
        await page.done()
    published = (await plant.recipes())[-1].record
    assert (published.model_id, published.shadow_model_id) == ("m2", None)
    assert {label: published.thresholds[label] for label in own} == pytest.approx(own)


async def test_a_change_by_another_meanwhile_is_told_before_anything_is_published(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    await in_force(plant)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await page.change(LINE)
        await page.fill(DEFECT, "0.35")
        await page.fill("Reason", "escapes")
        await page.press("Show the difference")
        await page.differences()
        await in_force(plant, 2, thresholds=HELD | {OTHER: 0.7})
        await expect(page.card(LINE)).to_contain_text(WORDS["history_n"].format(n=2), timeout=SLOW_MS)
        await page.press("Put in force")
        await page.says("was changed meanwhile")
        assert len(await plant.recipes()) == 2


async def test_the_first_recipe_of_a_line_is_made_here_too_by_keyboard_alone(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    await plant.prepare()
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li")
        await expect(page.page.locator(".ls-empty")).to_contain_text(WORDS["no_recipes"])
        keys = page.page.keyboard
        await page.page.get_by_role("button", name="New recipe").focus()
        await keys.press("Enter")
        for label, text in (("Plant", "p9"), ("Line", "l9"), (WORDS["sku_or_any"], "flange")):
            await page.dialog.get_by_label(label, exact=True).focus()
            await keys.press("Control+A")
            await keys.type(text)
        await page.dialog.get_by_label("Model", exact=True).focus()
        await keys.press("Enter")
        await expect(page.page.get_by_role("option").first).to_be_visible()
        await keys.press("ArrowDown")
        await keys.press("Enter")
        await expect(page.dialog.get_by_label(DEFECT, exact=True)).to_be_visible(timeout=SLOW_MS)
        await page.dialog.get_by_label("Reason", exact=True).focus()
        await keys.type("first")
        for name in ("Show the difference", "Put in force"):
            await page.dialog.get_by_role("button", name=name, exact=True).focus(timeout=SLOW_MS)
            await keys.press("Enter")
        await page.done()
        await expect(page.card("p9/l9/flange")).to_be_attached(timeout=SLOW_MS)
    published = (await plant.recipes())[-1].record
    assert (published.plant, published.line, published.sku, published.mode) == ("p9", "l9", "flange", Mode.ADVISE)


async def test_texts_of_others_stay_texts_and_the_page_speaks_german(
    plant: Plant, run_web: RunWeb, touch_screen: BrowserContext
) -> None:
    hostile = "<img src=x onerror=alert(1)>"
    await plant.prepare()
    await in_force(plant, author=hostile, reason=hostile)
    async with plant.dashboard(run_web) as url:
        page = await RecipesPage.open(touch_screen, url, "li", "?lang=de")
        await expect(page.card(LINE)).to_contain_text(hostile, timeout=SLOW_MS)
        assert await page.page.locator('img[src="x"]').count() == 0
        await expect(page.page.locator(".ls-nav a[aria-current]")).to_have_text("Rezepte")
        await expect(page.card(LINE)).to_contain_text("Handeln", timeout=SLOW_MS)
