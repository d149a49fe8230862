"""Holds a worker's models: loads what recipes and releases ask for beside what serves, and lets go of the rest.

Place in the flow: follows the topics `models` and `recipes`; the inspector finds a model's room in `rooms`. A model is
verified, compiled and run on its golden vectors before any frame meets it; where that fails the others go on serving,
an alarm says so, and it is tried again. What to hold, `inspection/residents.py` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from models.errors import ModelError
from schemas.records import ModelReleased
from streams.errors import LinesideError
from streams.inspection.engine_room import EngineRoom, ServingModel
from streams.inspection.recipes import RecipeBook
from streams.inspection.residents import Wanted, plan, wanted
from streams.registry.book import Book, Release

log = logging.getLogger(__name__)
LOOK_S = 1.0  # time alone puts a recipe in force, and empties a room
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 300.0

_T = TypeVar("_T")
OnState = Callable[[str, str | None, int], None]
"""Is told of a model that could not be loaded, why, and how often it was tried; without a reason: it is well again."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where released models come from. `nbytes`, what one will take in memory, and `open` block; both raise ModelError
    where it is not, or can't be trusted. `open_beside` does so while others serve, and hardly holds them up.
    """

    nbytes: Callable[[Release], int]
    open: Callable[[Release], ServingModel]
    open_beside: Callable[[Release], ServingModel]
    directory: Callable[[Release], Path]


@dataclass(slots=True)
class _Failure:
    tries: int
    again_at: float


class ModelKeeper:
    """See the module. Lives on one event loop."""

    def __init__(
        self,
        rooms: dict[str, EngineRoom],
        make_room: Callable[[ServingModel, Path], EngineRoom],
        recipes: RecipeBook,
        sources: Sources,
        max_bytes: int,
        on_state: OnState,
        on_end: Callable[[str], None] = lambda model_id: None,
        wants: Callable[[RecipeBook, Book, datetime], list[Wanted]] = wanted,
    ) -> None:
        """`rooms` holds the models that the worker was started with, which stay; `max_bytes` is for all others.

        `wants` says which models are worth holding at a time.
        `on_end` is told of a model that is let go of, so that nothing else keeps it in memory.
        """
        self.releases = Book()
        self._rooms, self._fixed = rooms, frozenset(rooms)
        self._make_room, self._recipes, self._sources = make_room, recipes, sources
        self._max_bytes, self._on_state, self._on_end, self._wants = max_bytes, on_state, on_end, wants
        self._sizes: dict[str, int] = {}
        self._failures: dict[str, _Failure] = {}
        self._ending: set[EngineRoom] = set()
        self._changed = asyncio.Event()
        self._open = sources.open
        self._thread = ThreadPoolExecutor(1, "model")

    def take(self, record: ModelReleased, at: datetime) -> None:
        """A record of the topic `models`; ValueError for one that can't be."""
        self.releases.take(record, at)
        self.look()

    def failed_before(self, model_id: str) -> None:
        """A model that could not be loaded in a former life of the worker, of which people were told."""
        self._failures.setdefault(model_id, _Failure(0, 0.0))

    def look(self) -> None:
        """Something has changed."""
        self._changed.set()

    async def ready(self) -> None:
        """Returns when every model that is in force is here, or could not be loaded."""
        while any(w.is_in_force and self._may_load(w.model_id) for w in self._wanted()) and await self.step():
            pass

    async def run(self) -> None:
        """For as long as it runs, beside frames."""
        self._open = self._sources.open_beside
        while True:
            self._changed.clear()
            if not await self.step():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()

    async def step(self) -> bool:
        """One thing done: a model let go of, or tried to load; False where there was nothing to do."""
        wants = [want for want in self._wanted() if want.model_id not in self._fixed]
        for model_id in self._failures.keys() - {want.model_id for want in wants}:
            self._is_well(model_id)
        await self._measure([want.model_id for want in wants])
        resident = self._rooms.keys() - self._fixed
        todo = plan(wants, self._sizes, resident, self._max_bytes)
        self._end(todo.end)
        for model_id in todo.no_room:
            self._fail(model_id, f"no room for it within LINESIDE_MODELS_MAX_BYTES = {self._max_bytes}")
        for model_id in filter(self._may_load, todo.load):
            await self._load(model_id)
            return True
        return False

    async def close(self) -> None:
        """Lets go of all rooms but those that the worker was started with."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._end(tuple(self._rooms.keys() - self._fixed))
        for room in self._ending:
            room.close()

    def _wanted(self) -> list[Wanted]:
        return self._wants(self._recipes, self.releases, datetime.now(UTC))

    def _may_load(self, model_id: str) -> bool:
        failure = self._failures.get(model_id)
        return model_id not in self._rooms and (failure is None or time.monotonic() >= failure.again_at)

    async def _measure(self, model_ids: list[str]) -> None:
        for model_id in model_ids:
            release = self.releases.get(model_id)
            if release and model_id not in self._sizes and self._may_load(model_id):
                try:
                    self._sizes[model_id] = await self._in_thread(self._sources.nbytes, release)
                except (ModelError, LinesideError, OSError) as error:
                    self._fail(model_id, str(error))

    async def _load(self, model_id: str) -> None:
        release = self.releases.get(model_id)
        assert release is not None, "what is wanted was released"
        began = time.monotonic()
        try:
            model = await self._in_thread(self._open, release)
        except (ModelError, LinesideError, OSError, RuntimeError, MemoryError) as error:
            self._fail(model_id, f"{type(error).__name__}: {error}")
            return
        self._rooms[model_id] = self._make_room(model, self._sources.directory(release))
        log.info("model %s is loaded and warm after %.1f s", model_id, time.monotonic() - began)
        self._is_well(model_id)

    def _is_well(self, model_id: str) -> None:
        """It is loaded, or nobody wants it any more."""
        if self._failures.pop(model_id, None):
            self._on_state(model_id, None, 0)

    async def _in_thread(self, call: Callable[[Release], _T], release: Release) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, release)

    def _fail(self, model_id: str, why: str) -> None:
        before = self._failures.get(model_id)
        if before and time.monotonic() < before.again_at:
            return
        tries = before.tries + 1 if before else 1
        pause_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (tries - 1))
        self._failures[model_id] = _Failure(tries, time.monotonic() + pause_s)
        log.error("model %s can't be loaded, again in %g s: %s", model_id, pause_s, why)
        self._on_state(model_id, why, tries)

    def _end(self, model_ids: tuple[str, ...]) -> None:
        """No new frame finds these rooms; each is closed once nothing is under way in it."""
        for model_id in model_ids:
            self._ending.add(self._rooms.pop(model_id))
            self._sizes.pop(model_id, None)
            self._on_end(model_id)
            log.info("model %s is let go of", model_id)
        for room in [room for room in self._ending if room.is_idle]:
            self._ending.discard(room)
            room.close()
