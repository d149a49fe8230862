"""Many models on one device: who is next, and no more batches at once than it has places for."""

from __future__ import annotations

import asyncio
import math

import pytest

from models.preprocess import EncodedImage
from schemas.records import Encoding
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, Unwatched
from streams.inspection.turns import Turns
from tests.builders import FakeEngine, picture, serving_model


class Room:
    """Batches that wait, by when they are due."""

    def __init__(self, turns: Turns, name: str, log: list[str], *due: float) -> None:
        self.due, self.late = sorted(due), set[float]()
        self._name, self._log = name, log
        self.asked = 0
        turns.join(self)

    def urgency(self) -> float | None:
        return self.due[0] if self.due else None

    def start(self) -> bool:
        due = self.due.pop(0)
        self._log.append(f"{self._name}{due:g}")
        return due not in self.late

    def come_back(self) -> None:
        self.asked += 1


def test_the_most_urgent_goes_first_whatever_its_model() -> None:
    turns, log = Turns(1), list[str]()
    for name, due in (("a", (3, 5)), ("b", (4, 1)), ("c", (2,))):
        Room(turns, name, log, *due)
    turns.pump()
    for _ in range(4):
        turns.over()
    assert log == ["b1", "c2", "a3", "b4", "a5"]


def test_no_more_batches_at_once_than_there_are_places() -> None:
    turns, log = Turns(2), list[str]()
    rooms = [Room(turns, name, log, 1, 2) for name in "ab"]
    turns.pump()
    assert len(log) == 2
    turns.pump()
    assert len(log) == 2
    assert [room.asked for room in rooms] == [0, 0]
    turns.over()
    turns.over()
    turns.over()
    assert len(log) == 4
    assert [room.asked for room in rooms] == [1, 1], "only where there is a place that nobody may take yet"


def test_a_batch_that_is_too_late_takes_no_place() -> None:
    turns, log = Turns(1), list[str]()
    first, second = Room(turns, "a", log, 1), Room(turns, "b", log, 2)
    first.late = {1}
    turns.pump()
    assert log == ["a1", "b2"]
    assert second.due == []


def test_a_room_that_left_is_not_asked() -> None:
    turns, log = Turns(1), list[str]()
    room = Room(turns, "a", log, 1)
    turns.leave(room)
    turns.pump()
    assert log == []


@pytest.mark.parametrize("places", [1, 2])
async def test_rooms_that_share_a_device_never_give_it_more_than_it_takes_and_none_waits_for_ever(places: int) -> None:
    at_once, most = 0, 0

    class Counting(FakeEngine):
        def submit(self, batch):  # type: ignore[no-untyped-def]
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            future = super().submit(batch)
            future.add_done_callback(lambda _: over())
            return future

    def over() -> None:
        nonlocal at_once
        at_once -= 1

    turns, pool = Turns(places), DecodePool(2)
    limits = RoomLimits(4, 0.001, 10.0)
    rooms = [
        EngineRoom(serving_model(Counting(concurrency=2), f"m{n}"), pool, limits, Unwatched(), pytest.fail, turns)
        for n in range(4)
    ]
    asked = [room.score(EncodedImage(picture(), Encoding.PNG), math.inf) for room in rooms * 12]
    found = await asyncio.wait_for(asyncio.gather(*asked), 30)
    assert [scored.provenance.model_id for scored in found] == [f"m{n}" for n in range(4)] * 12
    assert most <= places
    assert max(scored.provenance.batch_size for scored in found) > 1, "who waits gathers"
    for room in rooms:
        room.close()
    pool.close()
