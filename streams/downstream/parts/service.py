"""The part service put together: recipes, history, publisher, core and Faust. Decides nothing.

Any number of them share the partitions of `verdicts` as one consumer group.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry

from schemas.records import PartDecided, Recipe, VerdictIssued
from streams.bus.control import ControlReader
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.parts.agent import attach
from streams.downstream.parts.assembly import Assembly
from streams.downstream.parts.history import PartsHistory
from streams.downstream.parts.metrics import PartsMetrics
from streams.faust_app import faust_app, why_it_gave_up
from streams.health import Work
from streams.holding import Holding
from streams.inspection.recipes import RecipeBook
from streams.inspection.watchdog import Watchdog, end_process
from streams.settings import Settings
from streams.topics import DEADLETTERS, PARTS, RECIPES, VERDICTS

log = logging.getLogger(__name__)
TICK_S = 0.1
STOP_TIMEOUT_S = 30.0


class PartsService:
    """One part service. Start it on the loop that it shall live on."""

    def __init__(self, settings: Settings, registry: CollectorRegistry = REGISTRY) -> None:
        codec, prefix = codec_for(settings), settings.topic_prefix
        self._settings = settings
        self._recipes = RecipeBook()
        self._control = ControlReader(settings, codec, RECIPES, self._take_recipe)
        self._publisher = Publisher(settings.bootstrap, prefix, codec)
        self._history = PartsHistory(settings.bootstrap, prefix, codec)
        metrics = PartsMetrics(registry)
        self.assembly = Assembly(codec, self._timeout_ms, self._history, self._publisher, metrics, end_process)
        self._faust = faust_app(settings, "parts")
        self._faust.starts = self._starts
        needs = [prefix + topic.name for topic in (PARTS, DEADLETTERS)]
        self._holding = Holding(self._faust, settings.bootstrap, needs)
        attach(self._faust, prefix + VERDICTS.name, self.assembly.accept, self.assembly.release)
        self._outstanding = False
        self._unread = 0
        self._watchdog = Watchdog(lambda: self._outstanding, settings.stall_timeout_s)

    def work(self) -> Work:
        """What waits, as `/progressing` shows it."""
        return Work(self._unread, int(self.assembly.unconfirmed), self.assembly.taken)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set; parts that still wait for views are left to the next who reads their partition."""
        async with contextlib.AsyncExitStack() as stack:
            for part in (self._publisher, self._history, self._control):
                await part.start()
                stack.push_async_callback(part.stop)
            await self._control.caught_up()
            await self._faust.start()
            self._watchdog.start()
            stack.callback(self._watchdog.stop)
            stack.callback(self._holding.stop)
            ticking = asyncio.create_task(self._tick())
            on_ready()
            await _first(stop.wait(), self._faust._crashed.wait(), self._control.wait(), ticking)
            if self._faust._crashed.is_set():
                end_process(why_it_gave_up(self._faust, self._settings))
            ticking.cancel()
            await self._stop()

    async def _stop(self) -> None:
        await self.assembly.release()
        try:
            await asyncio.wait_for(self._faust.stop(), STOP_TIMEOUT_S)
        except TimeoutError:
            end_process(f"Faust did not stop within {STOP_TIMEOUT_S:.0f} s")

    async def _starts(self, committed: Mapping[Any, int | None]) -> dict[Any, int]:
        """Where each partition of a new assignment is read from, whatever was done to the group's offsets."""
        await self._holding.assigned(committed)
        starts = {}
        for tp, offset in committed.items():
            start = await self._history.start_at(tp.partition, offset)
            if start != (offset or 0):
                log.warning("%s partition %d: reading from %d, committed is %s", *tp, start, offset)
                starts[tp] = start
        return starts

    async def _tick(self) -> None:
        """Time passes also where nothing comes; and the watchdog learns whether anything moves."""
        taken = -1
        while True:
            await asyncio.sleep(TICK_S)
            waiting = {tp.partition: offsets for tp, offsets in self._faust.unread().items()}
            self._unread = sum(waiting.values())
            await self.assembly.pass_time(waiting)
            self._outstanding = any(waiting.values()) or self.assembly.unconfirmed
            if self.assembly.taken != taken:
                taken = self.assembly.taken
                self._watchdog.progressed()

    def _timeout_ms(self, of: VerdictIssued | PartDecided) -> int:
        """The wait for missing views: the recipe's in force for the frame or the part's first, else the setting."""
        at = of.first_at if isinstance(of, PartDecided) else of.source_timestamp
        recipe = self._recipes.in_force(of.plant, of.line, of.sku, at)
        return recipe.part_timeout_ms if recipe else self._settings.part_timeout_ms

    def _take_recipe(self, recipe: Recipe, published_at: Any) -> None:
        if not self._recipes.add(recipe, published_at):
            scope = f"{recipe.plant}/{recipe.line} SKU {recipe.sku}"
            log.warning(
                "recipe version %s for %.200s takes no effect: too late, or a text too long", recipe.version, scope
            )


async def _first(*waits: Any) -> None:
    """Returns when the first is done; raises what it raised."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
