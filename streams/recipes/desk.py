"""Recipes and released models as they stand now, and changes of them by people at a page.

Place in the flow: one a dashboard process, under the engineers' page. It follows the topics `recipes` and `models`,
makes drafts by `wishes.py` and hands them to `publishing.py`, as the recipe commands do. A draft is made anew when it
is confirmed: what a person saw is what is published, or they are told. Knows no page and no user.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.records import ModelReleased, Recipe
from streams.bus.control import ControlReader
from streams.bus.registry_client import codec_for
from streams.errors import CallerError
from streams.recipes.checks import ModelFacts, check, named_by
from streams.recipes.facts import facts_of
from streams.recipes.history import History, Scope
from streams.recipes.publishing import publish
from streams.recipes.wishes import (
    FIRST,
    Signed,
    Wish,
    approvals_lacking,
    differences,
    models_needed,
    recipe_of,
    reverted,
)
from streams.registry.book import Book, known_release
from streams.settings import Settings
from streams.topics import MODELS, RECIPES

Clock = Callable[[], datetime]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants of a scope: other values, or (`wish` None) what a former `version` said."""

    scope: Scope
    wish: Wish | None = None
    version: int = 0

    @property
    def action(self) -> str:
        """As the audit log calls it."""
        return "recipe.revert" if self.wish is None else "recipe.set"


@dataclass(frozen=True, slots=True)
class By:
    """Who wants it, who agrees, why, and from when on; None: as soon as every worker can know it."""

    author: str
    reason: str
    approved_by: tuple[str, ...] = ()
    effective_at: datetime | None = None

    def signed(self, now: datetime) -> Signed:
        return Signed(self.author, self.reason, self.effective_at or now + FIRST, self.approved_by)


@dataclass(frozen=True, slots=True)
class Draft:
    """A recipe that could be published, and the one that it follows."""

    recipe: Recipe
    before: Recipe | None

    @property
    def differences(self) -> list[tuple[str, Any, Any]]:
        return differences(self.before, self.recipe)

    def is_like(self, other: Draft) -> bool:
        """Whether a person who saw one has seen the other: only who stands behind it, and when, may differ."""
        return (self.before, self.differences) == (other.before, other.differences)


class RecipeDesk:
    """Use it as an async context manager. `clock` gives the time to the millisecond, as records keep it."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self.history = History()
        self.book = Book()
        self._listeners: dict[object, Callable[[], None]] = {}
        codec = codec_for(settings)
        self._readers = (
            ControlReader(settings, codec, RECIPES, self._recipe),
            ControlReader(settings, codec, MODELS, self._release),
        )

    @property
    def approvals(self) -> int:
        """How many different people a change takes."""
        return self._settings.recipe_approvals

    async def __aenter__(self) -> RecipeDesk:
        """Returns when all that lay there was read; BrokerUnreachableError or CallerError where it can't be."""
        for reader in self._readers:
            await reader.start()
        try:
            await asyncio.gather(*(reader.caught_up() for reader in self._readers))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        for reader in self._readers:
            await reader.stop()

    def on_change(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Calls `callback` after each record; returns what ends that."""
        token = object()
        self._listeners[token] = callback
        return lambda: (self._listeners.pop(token, None), None)[1]

    async def facts(self, *model_ids: str) -> Mapping[str, ModelFacts]:
        """Of released models. CallerError for one that was never released or can't be read here."""
        store = self._settings.model_store_dir  # may lie on another machine: off the loop
        releases = [known_release(self.book, model_id) for model_id in dict.fromkeys(model_ids)]
        read = [await asyncio.to_thread(facts_of, release, store) for release in releases]
        return {facts.model_id: facts for facts in read}

    async def draft(self, change: Change, by: By) -> Draft:
        """What the change would publish. CallerError, in one sentence, for what can't be obeyed.

        Models are read first: where their store lies far away, that takes a part of a recipe's notice.
        """
        models = await self._models(change)
        now = self._clock()
        if change.wish is None:
            recipe = reverted(self.history, change.scope, change.version, by.signed(now), now)
            check(recipe, models, now)
        else:
            recipe = recipe_of(self.history, change.scope, change.wish, by.signed(now), models, now)
        return Draft(recipe, self.history.newest(change.scope))

    async def publish(self, change: Change, by: By, seen: Draft) -> Recipe:
        """Audit and publish what a person saw and confirms; returns when it was read back as what workers obey.

        CallerError where it can't be obeyed, where too few people stand behind it, or where something else than `seen`
        would be published by now; OperatorError where it takes no effect.
        """
        approvals_lacking(by.signed(self._clock()), self.approvals)
        draft = await self.draft(change, by)
        if not draft.is_like(seen):
            raise CallerError(f"the recipe of {change.scope} was changed meanwhile: look at the difference again")
        await publish(self._settings, draft.recipe, draft.before, change.action)
        return draft.recipe

    async def _models(self, change: Change) -> Mapping[str, ModelFacts]:
        """Of all that will be named, and of the one that decided; one that was never released says nothing."""
        before = self.history.newest(change.scope)
        if change.wish is None:
            former = self.history.version(change.scope, change.version)
            return await self.facts(*(named_by(former) if former else ()))
        wanted = list(models_needed(self.history, change.scope, change.wish))
        if before and self.book.get(before.model_id):
            wanted.append(before.model_id)
        return await self.facts(*wanted)

    def _recipe(self, recipe: Recipe, at: datetime) -> None:
        self.history.take(recipe, at)
        self._tell()

    def _release(self, record: ModelReleased, at: datetime) -> None:
        self.book.take(record, at)
        self._tell()

    def _tell(self) -> None:
        for callback in tuple(self._listeners.values()):
            try:
                callback()
            except Exception:  # a page that can't be drawn must not end the reading for all
                log.exception("a page could not take in that recipes changed")
