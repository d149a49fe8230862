"""Holds a worker's models: loads what recipes and releases ask for beside what serves, and lets go of the rest.

Place in the flow: follows the topics `models` and `recipes`; the inspector finds a model's room in `rooms`. A model is
verified, compiled and run on its golden vectors before any frame meets it; where that fails the others go on serving,
an alarm says so, and it is tried again. Rooms go by the names of model variants: a model in two precisions is two, of
which one may fail. What to hold, `inspection/residents.py` decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from models.errors import ModelError
from schemas.records import ModelReleased
from streams.errors import LinesideError
from streams.inspection.engine_room import EngineRoom, ServingModel
from streams.inspection.model_variants import ModelVariant
from streams.inspection.recipes import RecipeBook
from streams.inspection.residents import Wanted, plan, wanted
from streams.registry.book import Book, Release

log = logging.getLogger(__name__)
LOOK_S = 1.0  # time alone puts a recipe in force, and empties a room
FIRST_RETRY_S, LAST_RETRY_S = 5.0, 300.0
AT_ONCE = timedelta(seconds=20)  # frames that nobody may judge are worse than frames that wait for a load

_T = TypeVar("_T")
OnState = Callable[[str, str | None, int], None]
"""Is told of a model, by name, that could not be loaded, why, and how often it was tried; without a reason: it is well
again."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Where models come from, by variant and release. `nbytes`, what one will take in memory, and `open` block; both
    raise ModelError where it is not, can't be trusted, or can't be had as it is asked for. `open_beside` does so while
    others serve, and hardly holds them up, but for one that is told to hurry.

    `own`: ids of models that a worker was started with; they come without a release.
    """

    nbytes: Callable[[ModelVariant, Release | None], int]
    open: Callable[[ModelVariant, Release | None], ServingModel]
    open_beside: Callable[[ModelVariant, Release | None, threading.Event], ServingModel]
    directory: Callable[[ModelVariant, Release | None], Path]
    own: Collection[str] = ()


@dataclass(slots=True)
class _Failure:
    tries: int
    again_at: float


class ModelKeeper:
    """See the module. Lives on one event loop."""

    def __init__(
        self,
        rooms: dict[str, EngineRoom],
        make_room: Callable[[str, ServingModel, Path], EngineRoom],
        recipes: RecipeBook,
        sources: Sources,
        max_bytes: int,
        on_state: OnState,
        on_end: Callable[[str], None] = lambda name: None,
        wants: Callable[[RecipeBook, Book, datetime, Collection[str]], list[Wanted]] = wanted,
    ) -> None:
        """`rooms` holds the models that the worker was started with, which stay; `max_bytes` is for all others.
        `make_room` is given the name of the room too.

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
        self._is_beside = False
        self._hurry = threading.Event()
        self._thread = ThreadPoolExecutor(1, "model")

    def take(self, record: ModelReleased, at: datetime) -> None:
        """A record of the topic `models`; ValueError for one that can't be."""
        self.releases.take(record, at)
        self.look()

    def failed_before(self, name: str) -> None:
        """A model that could not be loaded in a former life of the worker, of which people were told."""
        self._failures.setdefault(name, _Failure(0, 0.0))

    def look(self) -> None:
        """Something has changed."""
        self._changed.set()

    async def ready(self) -> None:
        """Returns when every model that is in force is here, or could not be loaded."""
        while any(w.is_in_force and self._may_load(w.name) for w in self._wanted()) and await self.step():
            pass

    async def run(self) -> None:
        """For as long as it runs, beside frames."""
        self._is_beside = True
        while True:
            self._changed.clear()
            if not await self.step():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._changed.wait()

    async def step(self) -> bool:
        """One thing done: a model let go of, or tried to load; False where there was nothing to do."""
        wants = {want.name: want for want in self._wanted()}
        for name in self._failures.keys() - wants.keys():
            self._is_well(name)
        for want in wants.values():
            await self._measure(want)
        resident = self._rooms.keys() - self._fixed
        todo = plan(list(wants.values()), self._sizes, resident, self._max_bytes)
        self._end(todo.end)
        for name in todo.no_room:
            self._fail(name, f"no room for it within LINESIDE_MODELS_MAX_BYTES = {self._max_bytes}")
        for name in filter(self._may_load, todo.load):
            await self._load(wants[name])
            return True
        return False

    async def close(self) -> None:
        """Lets go of all rooms but those that the worker was started with."""
        self._hurry.set()
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._end(tuple(self._rooms.keys() - self._fixed))
        for room in self._ending:
            room.close()

    def _wanted(self) -> list[Wanted]:
        """All but those that the worker was started with."""
        wants = self._wants(self._recipes, self.releases, datetime.now(UTC), self._sources.own)
        others = (want for want in wants if want.name not in self._fixed)
        return [want for want in others if not want.is_former or want.name in self._rooms]

    def _may_load(self, name: str) -> bool:
        failure = self._failures.get(name)
        return name not in self._rooms and (failure is None or time.monotonic() >= failure.again_at)

    async def _measure(self, want: Wanted) -> None:
        if want.name not in self._sizes and self._may_load(want.name):
            try:
                self._sizes[want.name] = await self._in_thread(self._sources.nbytes, want)
            except (ModelError, LinesideError, OSError) as error:
                self._fail(want.name, str(error))

    async def _load(self, want: Wanted) -> None:
        began = time.monotonic()
        try:
            model = await (self._opened_beside(want) if self._is_beside else self._in_thread(self._sources.open, want))
        except (ModelError, LinesideError, OSError, RuntimeError, MemoryError) as error:
            self._fail(want.name, f"{type(error).__name__}: {error}")
            return
        directory = self._sources.directory(want.variant, self.releases.get(want.variant.model_id))
        self._rooms[want.name] = self._make_room(want.name, model, directory)
        log.info("model %s is loaded and warm after %.1f s", want.name, time.monotonic() - began)
        self._is_well(want.name)

    async def _opened_beside(self, want: Wanted) -> ServingModel:
        """With care, until frames are about to need this model or one that comes after it."""
        self._hurry = threading.Event()
        opening = asyncio.ensure_future(self._in_thread(self._sources.open_beside, want, self._hurry))
        while not opening.done():
            if self._somebody_waits():
                self._hurry.set()
            await asyncio.wait([opening], timeout=LOOK_S)
        return opening.result()

    def _somebody_waits(self) -> bool:
        soon = datetime.now(UTC) + AT_ONCE
        return any(w.begins_at and w.begins_at < soon and self._may_load(w.name) for w in self._wanted())

    def _is_well(self, name: str) -> None:
        """It is loaded, or nobody wants it any more."""
        if self._failures.pop(name, None):
            self._on_state(name, None, 0)

    async def _in_thread(self, call: Callable[..., _T], want: Wanted, *more: threading.Event) -> _T:
        release = self.releases.get(want.variant.model_id)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call, want.variant, release, *more)

    def _fail(self, name: str, why: str) -> None:
        before = self._failures.get(name)
        if before and time.monotonic() < before.again_at:
            return
        tries = before.tries + 1 if before else 1
        pause_s = min(LAST_RETRY_S, FIRST_RETRY_S * 2 ** (tries - 1))
        self._failures[name] = _Failure(tries, time.monotonic() + pause_s)
        log.error("model %s can't be loaded, again in %g s: %s", name, pause_s, why)
        self._on_state(name, why, tries)

    def _end(self, names: tuple[str, ...]) -> None:
        """No new frame finds these rooms; each is closed once nothing is under way in it."""
        for name in names:
            self._ending.add(self._rooms.pop(name))
            self._sizes.pop(name, None)
            self._on_end(name)
            log.info("model %s is let go of", name)
        for room in [room for room in self._ending if room.is_idle]:
            self._ending.discard(room)
            room.close()
