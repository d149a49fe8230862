"""The keeper of a worker's models: what is loaded beside what serves, what is let go of, and what can't be loaded."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from models.errors import ModelError
from models.preprocess import EncodedImage
from schemas.records import Encoding, Precision
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel, Unwatched
from streams.inspection.model_variants import ModelVariant
from streams.inspection.recipes import NOTICE, RecipeBook
from streams.model_keeper import ModelKeeper, Sources
from streams.registry.book import Release
from tests.builders import FakeEngine, picture, recipe, serving_model, until
from tests.unit.test_residents import one

SIZE = 100


class Store:
    """Released models without files."""

    def __init__(self) -> None:
        self.broken: set[str] = set()
        self.opened: list[str] = []
        self.beside: dict[str, bool] = {}  # and whether it was told to hurry
        self.engines: dict[str, FakeEngine] = {}
        self.may_open = threading.Event()
        self.may_open.set()
        self.careful_s = 0.1

    def open(self, variant: ModelVariant, release: Release | None) -> ServingModel:
        assert self.may_open.wait(30)
        if (name := str(variant)) in self.broken:
            raise ModelError("its golden vectors differ")
        self.opened.append(name)
        self.engines[name] = FakeEngine()
        return serving_model(self.engines[name], variant.model_id)

    def open_beside(self, variant: ModelVariant, release: Release | None, hurry: threading.Event) -> ServingModel:
        self.beside[str(variant)] = hurry.wait(self.careful_s)
        return self.open(variant, release)


class Worker:
    """A keeper with its rooms, beside one model that was there at the start."""

    def __init__(self, max_bytes: int = 10 * SIZE) -> None:
        self.store, self.recipes = Store(), RecipeBook()
        self.told: list[tuple[str, str | None, int]] = []
        self.forgotten: list[str] = []
        self.pool = DecodePool(1)
        self.rooms = {"own": self.room("own", serving_model(FakeEngine(), "own"))}
        sources = Sources(
            lambda *_: SIZE, self.store.open, self.store.open_beside, lambda *_: Path("nowhere"), frozenset({"own"})
        )
        self.keeper = ModelKeeper(
            *(self.rooms, self.room, self.recipes, sources, max_bytes),
            *(lambda *state: self.told.append(state), self.forgotten.append),
        )

    def room(self, name: str, model: ServingModel, directory: Path = Path()) -> EngineRoom:
        return EngineRoom(model, self.pool, RoomLimits(8, 0.001, 5.0), Unwatched(), pytest.fail)

    def release(self, *model_ids: str, **changes: Any) -> None:
        for model_id in model_ids:
            record = dataclasses.replace(one(model_id, f"{len(model_id):02}" + "ab" * 31), **changes)
            self.keeper.take(record, datetime.now(UTC))

    def put_in_force(
        self, model_id: str, version: int, line: str = "l1", begins_in_s: float = -1.0, **changes: Any
    ) -> None:
        since = datetime.now(UTC) + timedelta(seconds=begins_in_s)
        made = recipe(line=line, version=version, model_id=model_id, effective_at=since, **changes)
        assert self.recipes.add(made, since - NOTICE)
        self.keeper.look()

    async def settle(self) -> None:
        while await self.keeper.step():
            pass

    async def score(self, model_id: str) -> Any:
        return await self.rooms[model_id].score(EncodedImage(picture(), Encoding.PNG), float("inf"))


async def test_a_release_is_loaded_beside_what_serves_while_frames_go_on() -> None:
    worker = Worker()
    worker.store.may_open.clear()
    worker.release("m1")
    running = asyncio.create_task(worker.keeper.run())
    for _ in range(20):
        await worker.score("own")
    assert worker.rooms.keys() == {"own"}
    worker.store.may_open.set()
    await until(lambda: "m1" in worker.rooms)
    assert worker.store.beside == {"m1": False}
    assert (await worker.score("m1")).provenance.model_id == "m1"
    running.cancel()


async def test_before_the_first_frame_everything_in_force_is_there_and_nothing_else_is_waited_for() -> None:
    worker = Worker()
    worker.release("m1", "mod2", "model3")
    worker.put_in_force("mod2", 1)
    await worker.keeper.ready()
    assert worker.store.opened == ["mod2"]
    assert worker.store.beside == {}, "nobody is held up yet, and a process more takes its time"
    await worker.settle()
    assert worker.rooms.keys() == {"own", "mod2", "m1", "model3"}


async def test_care_ends_once_frames_are_about_to_need_the_model_or_one_behind_it() -> None:
    worker = Worker()
    running = asyncio.create_task(worker.keeper.run())
    worker.release("m1")
    worker.put_in_force("m1", 1, begins_in_s=3600)
    await until(lambda: "m1" in worker.rooms)
    worker.store.careful_s = 30
    worker.release("mod2")
    await asyncio.sleep(0.05)
    worker.release("model3")
    worker.put_in_force("model3", 1, line="l2", begins_in_s=10)
    await until(lambda: {"mod2", "model3"} <= worker.rooms.keys())
    assert worker.store.beside == {"m1": False, "mod2": True, "model3": True}
    running.cancel()


async def test_one_that_cannot_be_loaded_is_told_and_tried_again_and_the_others_serve(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker = Worker()
    worker.store.broken = {"m1"}
    worker.release("m1", "mod2")
    worker.put_in_force("m1", 1)
    await worker.keeper.ready()
    await worker.settle()
    assert worker.rooms.keys() == {"own", "mod2"}
    assert worker.told == [("m1", "ModelError: its golden vectors differ", 1)]
    await worker.settle()
    assert len(worker.told) == 1, "not at once"
    monkeypatch.setattr("streams.model_keeper.FIRST_RETRY_S", 0.0)
    worker.keeper._failures["m1"].again_at = 0.0
    await worker.keeper.step()
    assert worker.told[1:] == [("m1", "ModelError: its golden vectors differ", 2)]
    worker.store.broken = set()
    await worker.settle()
    assert worker.told[2:] == [("m1", None, 0)]
    assert "m1" in worker.rooms


async def test_memory_goes_to_what_is_in_force_and_a_room_is_closed_once_nothing_is_under_way_in_it() -> None:
    worker = Worker(max_bytes=SIZE)
    worker.release("m1")
    await worker.settle()
    worker.release("mod2")
    worker.put_in_force("mod2", 1)
    room, under_way = worker.rooms["m1"], asyncio.create_task(worker.score("m1"))
    await asyncio.sleep(0)
    assert not room.is_idle
    await worker.settle()
    assert worker.rooms.keys() == {"own", "mod2"}
    assert (await under_way).provenance.model_id == "m1", "a frame that found it is judged by it"
    await worker.settle()
    assert room not in worker.keeper._ending
    assert worker.forgotten == ["m1"], "nothing else keeps it in memory"


async def test_in_force_and_too_large_for_the_memory_is_told_once() -> None:
    worker = Worker(max_bytes=SIZE)
    worker.release("m1", "mod2")
    worker.put_in_force("m1", 1)
    worker.put_in_force("mod2", 1, line="l2")
    await worker.keeper.ready()
    await worker.settle()
    assert [(model_id, tries) for model_id, _, tries in worker.told] == [("mod2", 1)]
    assert "LINESIDE_MODELS_MAX_BYTES = 100" in str(worker.told[0][1])


async def test_a_model_that_the_worker_was_started_with_stays_whatever_is_released() -> None:
    worker = Worker()
    worker.release("own")
    await worker.settle()
    assert worker.store.opened == []
    worker.release("own", retired=True)
    await worker.settle()
    assert worker.rooms.keys() == {"own"}


async def test_an_alarm_ends_when_nobody_wants_the_model_any_more_and_outlives_a_restart_until_then() -> None:
    worker = Worker()
    worker.store.broken = {"m1"}
    worker.release("m1")
    await worker.settle()
    worker.release("m1", retired=True)
    await worker.settle()
    assert worker.told == [("m1", "ModelError: its golden vectors differ", 1), ("m1", None, 0)]

    again = Worker()
    again.keeper.failed_before("m1")
    again.keeper.failed_before("gone")
    again.release("m1")
    await again.settle()
    assert sorted(again.told) == [("gone", None, 0), ("m1", None, 0)]
    assert "m1" in again.rooms


async def test_a_model_that_two_recipes_ask_for_in_two_precisions_has_two_rooms_and_both_count_as_memory() -> None:
    worker = Worker(max_bytes=2 * SIZE)
    worker.release("m1", "mod2")
    worker.put_in_force("m1", 1)
    worker.put_in_force("m1", 1, line="l2", precision=Precision.INT8)
    await worker.keeper.ready()
    await worker.settle()
    assert worker.rooms.keys() == {"own", "m1", "m1 as INT8"}, "and no memory for mod2"
    assert worker.rooms["m1"] is not worker.rooms["m1 as INT8"]


async def test_a_precision_that_cannot_be_had_fails_alone_and_ends_with_the_recipe_that_asked_for_it() -> None:
    worker = Worker()
    worker.store.broken = {"m1 as INT8"}
    worker.release("m1")
    worker.put_in_force("m1", 1)
    worker.put_in_force("m1", 1, line="l2", precision=Precision.INT8)
    await worker.keeper.ready()
    await worker.settle()
    assert worker.rooms.keys() == {"own", "m1"}
    assert worker.told == [("m1 as INT8", "ModelError: its golden vectors differ", 1)]
    worker.put_in_force("m1", 2, line="l2")
    await worker.settle()
    assert worker.told[1:] == [("m1 as INT8", None, 0)]


async def test_what_was_in_force_stays_for_frames_that_wait_as_long_as_nothing_needs_its_memory() -> None:
    worker = Worker(max_bytes=2 * SIZE)
    worker.release("m1")
    worker.put_in_force("m1", 1, precision=Precision.FP32)
    await worker.settle()
    worker.put_in_force("m1", 2, precision=Precision.BF16)
    await worker.settle()
    assert worker.rooms.keys() == {"own", "m1 as FP32", "m1 as BF16"}
    worker.put_in_force("m1", 1, line="l2", precision=Precision.INT8)
    await worker.settle()
    assert worker.rooms.keys() == {"own", "m1 as BF16", "m1 as INT8"}


async def test_a_recipes_wish_wins_over_how_the_worker_opened_a_model_of_its_own() -> None:
    worker = Worker()
    worker.put_in_force("own", 1, device="torch:cpu", precision=Precision.BF16)
    await worker.keeper.ready()
    assert worker.store.opened == ["own as BF16 on torch:cpu"]
    assert worker.rooms.keys() == {"own", "own as BF16 on torch:cpu"}
