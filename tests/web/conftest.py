"""A headless Chromium, and web apps in the test's own event loop."""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
import pytest_asyncio
from fastapi import FastAPI
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.web_apps import nicegui_put_back, serving

RunWeb = Callable[[FastAPI], AbstractAsyncContextManager[str]]


@pytest.fixture
def run_web(chromium: Browser) -> Iterator[RunWeb]:
    """`async with run_web(web) as url:` serves a web app on a free port; make the app after this fixture.

    Pages are closed before their server stops, or what they still load would be logged as refused.
    """

    @contextlib.asynccontextmanager
    async def run(web: FastAPI) -> AsyncIterator[str]:
        async with serving(web) as url:
            yield url
            for context in chromium.contexts:
                for page in context.pages:
                    await page.close()

    with nicegui_put_back():
        yield run


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of pages share one event loop, because they share a browser that lives on it."""
    for item in items:
        if Path(__file__).parent in item.path.parents and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """The Chromium that CHROMIUM names, else the one on the path."""
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.fail("no Chromium; put `chromium` on the path or name it in CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(browser: Browser) -> AsyncIterator[Browser]:
    """The browser, in which nothing is open."""
    yield browser
    for context in browser.contexts:
        await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def touch_screen(chromium: Browser) -> AsyncIterator[BrowserContext]:
    """A browser as a station has it: 1024x768. What a page logs as an error, or asks of other hosts, fails the test."""
    context = await chromium.new_context(viewport={"width": 1024, "height": 768})
    errors: list[str] = []
    context.on("weberror", lambda error: errors.append(str(error.error)))
    context.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    context.on("request", lambda request: None if _is_local(request.url) else errors.append(request.url))
    yield context
    await context.close()
    assert errors == []


def _is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))
