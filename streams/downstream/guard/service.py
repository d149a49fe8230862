"""The guard put together: verdicts in; where a new model does badly, a recipe without it, and an alarm, out.

Place in the flow: reads `recipes` and `verdicts` without a group; run one for an installation. What it publishes is a
recipe like a person's, audited first and with its evidence; which model, and when, `guarding.py` decides. After a
restart it reads the last day again and comes to the same answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from schemas.records import AlarmKind, AlarmRaised, Recipe, Severity, VerdictIssued
from streams.bus.control import ControlReader
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.downstream.guard.guarding import Breach, Guard, previous
from streams.downstream.rework.link import now_ms
from streams.errors import LinesideError
from streams.health import Work
from streams.recipes.history import History, Scope
from streams.recipes.publishing import publish
from streams.settings import Settings
from streams.topics import ALARMS, RECIPES, VERDICTS

log = logging.getLogger(__name__)
AUTHOR = "guard"
NAMESPACE = UUID("c6a3f5b7-0b7e-4a53-8a41-2a0e2d1c7f66")
SINCE = timedelta(hours=24)
BEGINS = timedelta(seconds=7)  # from now: the notice that workers need, and some


class GuardService:
    """One run, until it is told to stop."""

    def __init__(self, settings: Settings, since: timedelta = SINCE, clock: Callable[[], datetime] = now_ms) -> None:
        self._settings, self._since, self._clock = settings, since, clock
        self._history = History()
        self._guard = Guard(self._history)
        self._standing: dict[UUID, AlarmRaised] = {}
        self._changed = asyncio.Event()
        self._steps = 0

    def work(self) -> Work:
        """What waits, as `/progressing` shows it."""
        return Work(0, 0, self._steps)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None]) -> None:
        """Watches until `stop` is set. Raises BrokerUnreachableError, CallerError where a topic is missing."""
        codec, settings = codec_for(self._settings), self._settings
        async with contextlib.AsyncExitStack() as stack:
            reader = await stack.enter_async_context(ControlReader(settings, codec, RECIPES, self._take_recipe))
            alarms = await stack.enter_async_context(ControlReader(settings, codec, ALARMS, self._take_alarm))
            publisher = await stack.enter_async_context(Publisher(settings.bootstrap, settings.topic_prefix, codec))
            await asyncio.gather(reader.caught_up(), alarms.caught_up())
            on_ready()
            works = (self._watch(publisher), self._clear(publisher), reader.wait(), alarms.wait(), stop.wait())
            tasks = [asyncio.ensure_future(work) for work in works]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _take_recipe(self, recipe: Recipe, published_at: datetime) -> None:
        self._history.take(recipe, published_at)
        self._changed.set()

    def _take_alarm(self, alarm: AlarmRaised, _: datetime) -> None:
        if alarm.kind is AlarmKind.ROLLED_BACK:
            self._standing.pop(alarm.alarm_id, None)
            if alarm.cleared is None:
                self._standing[alarm.alarm_id] = alarm

    async def _watch(self, publisher: Publisher) -> None:
        subscription: Subscription[VerdictIssued] = Subscription(
            VERDICTS, self._clock() - self._since, settings=self._settings, codec=codec_for(self._settings)
        )
        async with aclosing(aiter(subscription)) as events:
            async for received in events:
                self._steps += 1
                if found := self._guard.take(received.record):
                    await self._take_back(found, received.record, publisher)

    async def _take_back(self, found: Breach, verdict: VerdictIssued, publisher: Publisher) -> None:
        """Publishes the recipe without the model, unless something newer holds already."""
        newest = self._history.newest(found.scope)
        if newest is None or newest.version != found.version:
            return
        log.error("taken back: %s", found)
        recipe = self._without(newest, str(found))
        if recipe is None:
            log.error("there is nothing to go back to in %s: look at it yourselves", found.scope)
        else:
            try:
                await publish(self._settings, recipe, newest, "recipe.rollback")
            except LinesideError as error:  # a person was quicker, or the broker is away: verdicts tell again
                log.warning("the recipe without %s is not published: %s", found.model_id, error)
                return
        alarm = _alarm(found, verdict, self._clock())
        await (await publisher.send(ALARMS, alarm, key=alarm.subject.encode(), partition=0))

    def _without(self, newest: Recipe, why: str) -> Recipe | None:
        now = self._clock()
        content = replace(newest, canary=None) if newest.canary else previous(self._history, newest)
        if content is None:
            return None
        return replace(
            content,
            version=self._history.next_version(newest.plant, newest.line),
            author=AUTHOR,
            reason=why,
            approved_by=(),
            created_at=now,
            effective_at=now + BEGINS,
        )

    async def _clear(self, publisher: Publisher) -> None:
        """An alarm stands until a person has changed the recipe."""
        while True:
            self._changed.clear()
            for scope in self._history.scopes():
                newest, standing = self._history.newest(scope), self._standing.get(_alarm_id(scope))
                if standing and newest and newest.author != AUTHOR and newest.created_at > standing.since:
                    over = replace(standing, at=self._clock(), cleared=self._clock())
                    await (await publisher.send(ALARMS, over, key=over.subject.encode(), partition=0))
            await self._changed.wait()


def _alarm_id(scope: Scope) -> UUID:
    return uuid5(NAMESPACE, str(scope))


def _alarm(found: Breach, verdict: VerdictIssued, at: datetime) -> AlarmRaised:
    return AlarmRaised(
        alarm_id=_alarm_id(found.scope),
        kind=AlarmKind.ROLLED_BACK,
        severity=Severity.CRITICAL,
        subject=f"{verdict.plant}/{verdict.line}/{verdict.station}",
        value=found.share,
        limit=found.beside_share,
        since=at,
        at=at,
        detail=str(found),
    )
