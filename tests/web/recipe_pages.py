"""The recipes page as tests use it: an installation with released models and people, and a person in a browser."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from playwright.async_api import BrowserContext, Locator, Page, expect

from models.artifact import Artifact
from schemas.records import AuditEntry, Recipe
from streams.bus.admin import ensure_topics
from streams.bus.subscriber import Received, Subscription
from streams.commands.users import NewUser, Users
from streams.settings import Settings
from streams.topics import AUDIT, RECIPES, Topic, topic_specs
from streams.web.access.access import no_audit
from streams.web.access.users import Role
from streams.web.dashboard.app import DashboardOptions, open_dashboard
from tests.models_fixture import tiny_artifact
from tests.released import put_in_force, release
from tests.web.signing_in import go

RunWeb = Callable[[FastAPI], AbstractAsyncContextManager[str]]
SLOW_MS = 60_000
PASSWORDS = {"li": "correct horse", "kim": "battery staple", "ana": "operators too"}


@dataclasses.dataclass
class Plant:
    """One installation."""

    settings: Settings
    folder: Path

    async def prepare(self, *artifacts: Artifact, users: bool = True) -> None:
        """Topics, released models, and two engineers (li, kim) and an operator (ana) with passwords."""
        await ensure_topics(self.settings.bootstrap, topic_specs(self.settings))
        for artifact in artifacts or (tiny_artifact("m1"), tiny_artifact("m2")):
            await release(self.settings, artifact, self.folder / "made")
        if not users:
            return
        people = Users(self.settings.data_dir / "users.json", no_audit, "a test")
        for name, roles in (("li", {Role.ENGINEER}), ("kim", {Role.ENGINEER}), ("ana", {Role.OPERATOR})):
            new = NewUser(name, frozenset(roles), name.capitalize())
            await people.add(new, lambda name=name: PASSWORDS[name])  # type: ignore[misc]

    async def put(self, *recipes: Recipe) -> None:
        """Recipes on their topic, as they are."""
        await put_in_force(self.settings, *recipes)

    async def recipes(self) -> list[Received[Recipe]]:
        return await self._read(RECIPES)

    async def audited(self) -> list[Received[AuditEntry]]:
        """Changes of recipes."""
        return [e for e in await self._read(AUDIT) if e.record.chain_id.startswith("recipes/")]

    async def _read(self, topic: Topic) -> list[Received[Any]]:
        subscription: Subscription[Any] = Subscription(topic, "earliest", settings=self.settings, follow=False)
        return [event async for event in subscription]

    @contextlib.asynccontextmanager
    async def dashboard(self, run_web: RunWeb) -> AsyncIterator[str]:
        async with open_dashboard(self.settings, DashboardOptions()) as web, run_web(web) as url:
            yield url


class RecipesPage:
    """What a person sees and does."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.dialog = page.locator(".rc-dialog")

    @classmethod
    async def open(
        cls, context: BrowserContext, url: str, name: str | None = None, query: str = "?lang=en"
    ) -> RecipesPage:
        """Signed in as somebody, in open mode by a name alone."""
        page = await context.new_page()
        await go(page, f"{url}/recipes{query}", name or "ana", PASSWORDS[name] if name else None)
        await expect(page.locator(".rc-lines")).to_be_visible(timeout=SLOW_MS)
        return cls(page)

    def card(self, scope: str) -> Locator:
        return self.page.locator(f'.rc-card[data-scope="{scope}"]')

    async def change(self, scope: str) -> None:
        await self.card(scope).get_by_role("button", name="Change").click(timeout=SLOW_MS)
        await expect(self.dialog).to_be_visible()

    async def fill(self, label: str, text: str) -> None:
        await self.dialog.get_by_label(label, exact=True).fill(text)

    async def press(self, name: str) -> None:
        await self.dialog.get_by_role("button", name=name, exact=True).click()

    async def differences(self) -> list[list[str]]:
        """What, before, after."""
        await expect(self.dialog.locator(".rc-differences")).to_be_visible(timeout=SLOW_MS)
        rows = await self.dialog.locator(".rc-differences tbody tr").all()
        return [await row.locator("th, td").all_inner_texts() for row in rows]

    async def says(self, text: str) -> None:
        """The dialog's sentence."""
        await expect(self.dialog.locator(".ls-alert:visible").last).to_contain_text(text, timeout=SLOW_MS)

    async def done(self) -> str:
        shown = self.dialog.locator(".rc-done")
        await expect(shown).to_be_visible(timeout=SLOW_MS)
        return await shown.inner_text()

    async def shot(self, name: str) -> None:
        """Keeps a picture for a person to look at, where LINESIDE_SHOTS names a folder."""
        if folder := os.environ.get("LINESIDE_SHOTS"):
            await self.page.evaluate("document.fonts.ready")
            await asyncio.sleep(0.4)
            await self.page.screenshot(path=Path(folder) / f"{name}.png")
