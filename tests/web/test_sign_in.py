"""Signing in as people do it: by badge and touch keypad, by keyboard, and over a page that must not be lost."""

import dataclasses
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nicegui import Client, ui
from playwright.async_api import BrowserContext, Page, expect

from streams.commands.users import NewUser, Users
from streams.settings import Settings
from streams.web import shell
from streams.web.access.access import Access, no_audit
from streams.web.access.doors import acting_user, require
from streams.web.access.sessions import OPERATOR_IDLE_S
from streams.web.access.users import Role
from streams.web.widgets import button, field, state_mark

HOSTILE = "<img src=x onerror=document.title='owned'>"


@dataclasses.dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path)


@pytest_asyncio.fixture(loop_scope="session")
async def users_file(settings: Settings) -> Path:
    path = settings.data_dir / "users.json"
    users = Users(path, no_audit, "a test")
    operators, engineers = frozenset({Role.OPERATOR}), frozenset({Role.ENGINEER})
    await users.add(NewUser("ana", operators, "Ana K.", badge="0004711"), lambda: "2580")
    await users.add(NewUser("bo", operators, HOSTILE, badge="0004712"), lambda: "1357")
    await users.add(NewUser("eva", engineers, "Eva M."), lambda: "correct horse")
    return path


def add_page(decisions: list[str]) -> None:
    """A page with something half made: a text, and a button that needs a user."""

    @shell.page("/work")
    def work() -> None:
        require(Role.OPERATOR, Role.ENGINEER)
        t = shell.texts("common")
        with shell.page_shell("work", "L3 · Station R2") as frame:
            with frame.slot:
                field("Scan or type part id")
            with ui.element("div").classes("ls-card ls-column"):
                with ui.element("h2"):
                    ui.label("Part 4711")
                for state in ("OK", "NG", "UNSURE", "NOT_INSPECTED", "ERROR"):
                    state_mark(t, state)
                comment = field("Comment")

                async def decide() -> None:
                    if (user := await acting_user()) is not None:
                        decisions.append(f"{user.name}: {comment.value}")
                        ui.label(f"saved by {user.name}")

                with ui.element("div").classes("ls-row"):
                    button("Confirm", decide, "primary", "touch")
                    button("False reject", None, "touch")
                    button("Undo", None, "quiet")
                ui.label().bind_text_from(comment, "value", lambda text: f"echo {text}").classes("ls-muted")


@pytest_asyncio.fixture(loop_scope="session")
async def page(run_web, settings, users_file, clock, touch_screen: BrowserContext, decisions) -> AsyncIterator[Page]:
    web = shell.make_web(settings, Access(users_file, clock=clock), "Lineside")
    add_page(decisions)
    async with run_web(web) as url:
        page = await touch_screen.new_page()
        await page.goto(f"{url}/work")
        yield page


@pytest.fixture
def decisions() -> list[str]:
    return []


async def shot(page: Page, name: str) -> None:
    """Keeps a picture for a person to look at, where LINESIDE_SHOTS names a folder."""
    if folder := os.environ.get("LINESIDE_SHOTS"):
        await page.evaluate("document.fonts.ready")
        await page.wait_for_timeout(400)
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def scan(page: Page, badge: str) -> None:
    """What a scanner does: types into whatever has the focus, then Enter."""
    await expect(page.get_by_label("Scan or type badge")).to_be_focused()
    await page.keyboard.type(badge)
    await page.keyboard.press("Enter")


async def sign_in_by_badge(page: Page, badge: str, pin: str) -> None:
    await scan(page, badge)
    for digit in pin:
        await page.get_by_role("button", name=digit, exact=True).click()
    await page.get_by_role("button", name="Enter", exact=True).click()


async def test_badge_and_pin_need_no_keyboard(page: Page) -> None:
    await shot(page, "sign-in-badge")
    await scan(page, "0004711")
    await expect(page.get_by_label("PIN")).to_be_focused()
    key = await page.get_by_role("button", name="5", exact=True).bounding_box()
    assert key is not None
    assert min(key["width"], key["height"]) >= 84
    for digit in "2580":
        await page.get_by_role("button", name=digit, exact=True).click()
    await shot(page, "sign-in-pin")
    await page.get_by_role("button", name="Enter", exact=True).click()
    await expect(page.get_by_role("heading", name="Part 4711")).to_be_visible()
    await shot(page, "page-light")
    await page.get_by_role("button", name="User menu of Ana K.").click()
    await expect(page.get_by_text("Switch user")).to_be_visible()
    await shot(page, "menu")


async def test_name_and_password_by_keyboard_alone(page: Page) -> None:
    await page.get_by_role("button", name="Name and password").click()
    await expect(page.get_by_label("Name", exact=True)).to_be_focused()
    await page.keyboard.type("eva")
    await page.keyboard.press("Enter")
    await expect(page.get_by_label("Password")).to_be_focused()
    await page.keyboard.type("wrong horse")
    await shot(page, "sign-in-password")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Name or password is not right.")
    await page.get_by_label("Password").fill("correct horse")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Part 4711")).to_be_visible()
    cookie = next(c for c in await page.context.cookies() if c["name"].startswith("lineside_session_"))
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")


async def test_after_expiry_the_page_and_what_is_half_made_in_it_stay(page: Page, clock: Clock, decisions) -> None:
    await sign_in_by_badge(page, "0004711", "2580")
    await page.get_by_label("Comment").fill("scratch at the rim")
    clock.now_s += OPERATOR_IDLE_S + 1
    await expect(page.get_by_role("heading", name="Sign in again")).to_be_visible()
    await shot(page, "expired")
    await sign_in_by_badge(page, "0004712", "1357")
    await expect(page.get_by_role("heading", name="Sign in again")).to_be_hidden()
    await expect(page.get_by_label("Comment")).to_have_value("scratch at the rim")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_text("saved by bo")).to_be_visible()
    assert decisions == ["bo: scratch at the rim"]


async def test_another_user_takes_over_without_losing_the_page(page: Page, decisions) -> None:
    await sign_in_by_badge(page, "0004711", "2580")
    await page.get_by_label("Comment").fill("hairline")
    await page.get_by_role("button", name="User menu of Ana K.").click()
    await page.get_by_text("Switch user").click()
    await expect(page.get_by_role("heading", name="Switch user")).to_be_visible()
    await shot(page, "switch")
    await sign_in_by_badge(page, "0004712", "1357")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_text("saved by bo")).to_be_visible()
    assert decisions == ["bo: hairline"]
    await page.reload()
    await expect(page.get_by_role("button", name="User menu")).to_contain_text("<img src=x")


async def test_a_hostile_name_is_shown_as_text(page: Page) -> None:
    await sign_in_by_badge(page, "0004712", "1357")
    await expect(page.get_by_role("button", name="User menu")).to_contain_text(HOSTILE)
    assert await page.locator("img[src=x]").count() == 0
    assert await page.title() == "L3 · Station R2"


async def test_an_operator_who_works_is_not_signed_out(page: Page, clock: Clock) -> None:
    await sign_in_by_badge(page, "0004711", "2580")
    comment = page.get_by_label("Comment")
    for n in range(3):
        clock.now_s += OPERATOR_IDLE_S * 0.6
        await page.evaluate("emitEvent('lineside_active')")
        await comment.fill(f"note {n}")
        await expect(page.get_by_text(f"echo note {n}")).to_be_visible()
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_text("saved by ana")).to_be_visible()


async def test_the_header_says_when_the_connection_is_lost_and_the_page_outlasts_it(page: Page, decisions) -> None:
    await sign_in_by_badge(page, "0004711", "2580")
    contact = page.locator(".ls-connection")
    await expect(contact).to_have_text("live")
    await page.get_by_label("Comment").fill("dent")
    await page.evaluate("socket.disconnect()")
    await expect(contact).to_have_text(re.compile("No connection for [0-9]+ s"))
    await shot(page, "no-connection")
    await page.evaluate("socket.io.opts.query.next_message_id = nextMessageId; socket.connect()")
    await expect(contact).to_have_text("live")
    await page.get_by_role("button", name="Confirm").click()
    await expect(page.get_by_text("saved by ana")).to_be_visible()
    assert decisions == ["ana: dent"]


async def test_at_200_per_cent_nothing_is_cut_off(page: Page) -> None:
    await page.set_viewport_size({"width": 512, "height": 384})
    await sign_in_by_badge(page, "0004711", "2580")
    await expect(page.get_by_role("heading", name="Part 4711")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for visible in (page.get_by_role("button", name="User menu of Ana K."), page.get_by_label("Scan or type part id")):
        await expect(visible).to_be_in_viewport(ratio=1)
    await expect(page.get_by_text("L3 · Station R2", exact=True)).to_be_visible()
    await shot(page, "zoomed")


async def test_dark_and_german_by_the_address_are_kept(page: Page) -> None:
    await sign_in_by_badge(page, "0004711", "2580")
    await expect(page.get_by_role("heading", name="Part 4711")).to_be_visible()
    await page.goto(page.url + "?theme=dark&lang=de")
    await expect(page.locator(".ls-NOT_INSPECTED")).to_have_text("NICHT GEPRÜFT")
    assert await page.locator("html").get_attribute("data-theme") == "dark"
    await shot(page, "page-dark")
    await page.goto(page.url.split("?")[0])
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    assert await page.locator("html").get_attribute("data-theme") == "dark"


async def test_without_users_a_name_is_enough_and_a_banner_says_so(run_web, settings, touch_screen, decisions) -> None:
    web = shell.make_web(settings, Access(settings.data_dir / "users.json"), "Lineside")
    add_page(decisions)
    async with run_web(web) as url:
        page = await touch_screen.new_page()
        await page.goto(f"{url}/work")
        await expect(page.get_by_text("Open on this machine")).to_be_visible()
        await shot(page, "sign-in-open")
        await page.get_by_label("Name").fill("Kim")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Part 4711")).to_be_visible()
        await page.get_by_role("button", name="Confirm").click()
        await expect(page.get_by_text("saved by Kim")).to_be_visible()
        await shot(page, "page-open")
    assert len(Client.instances) <= 3
