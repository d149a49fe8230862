"""Signs somebody in where a page asks who is there; it knows the form, no other page."""

from __future__ import annotations

from playwright.async_api import Page

SLOW_MS = 20_000


async def go(page: Page, url: str, name: str = "ana", password: str | None = None) -> None:
    """The page at a URL, by keyboard signed in where it asks; in open mode a name is enough.

    Returns once the form has led away: it has the links and the frame of all pages, and would be taken for the one
    that was wanted.
    """
    await page.goto(url)
    if "/sign-in" not in page.url:
        return
    boxes = page.locator("input")
    await boxes.first.fill(name)
    if password is not None:
        await boxes.nth(1).fill(password)
    await page.keyboard.press("Enter")
    await page.wait_for_url(lambda at: "/sign-in" not in at, timeout=SLOW_MS)
