"""Pictures in, scores out: N in, N out; one bad frame harms only itself; a device that can't be trusted ends all."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from models.preprocess import EncodedImage
from streams.errors import FrameRejectedError
from streams.inspection.decide import Provenance
from streams.inspection.decode_pool import DecodePool, ExpiredError
from streams.inspection.engine_room import EngineRoom, RoomLimits
from streams.inspection.metrics import InspectionMetrics
from tests.builders import CLASSES, Deaths, FakeEngine, picture, scores_of, serving_model, until

Result = tuple[np.ndarray[Any, Any], Provenance] | BaseException
MakeRoom = Callable[..., EngineRoom]
LEVELS = list(range(32))  # one grey level a frame, so that a batch tells who is in it


def png(level: int) -> EncodedImage:
    return EncodedImage(picture(level), "PNG")


async def score_all(room: EngineRoom, levels: list[int], expires_at: float = math.inf) -> list[Result]:
    """All frames at once, as a burst; a picture of level -1 is damaged."""
    images = [png(level) if level >= 0 else EncodedImage(b"damaged", "PNG") for level in levels]
    scoring: list[Awaitable[Any]] = [room.score(image, expires_at) for image in images]
    return list(await asyncio.gather(*scoring, return_exceptions=True))


def assert_scored(result: Result, level: int) -> None:
    assert isinstance(result, tuple), result
    scores, *_ = result
    assert scores.shape == (len(CLASSES),)
    assert scores == pytest.approx(scores_of(np.full(1, level)))


def reason_of(result: Result) -> str:
    assert isinstance(result, FrameRejectedError), result
    return result.reason


@pytest.fixture
def deaths() -> Deaths:
    return Deaths()


@pytest.fixture
async def make_room(deaths: Deaths) -> AsyncIterator[MakeRoom]:
    pool, rooms = DecodePool(2), list[EngineRoom]()

    def make(
        engine: FakeEngine, max_batch: int = 32, linger_s: float = 0.2, infer_timeout_s: float = 5.0
    ) -> EngineRoom:
        limits = RoomLimits(max_batch, linger_s, infer_timeout_s)
        watcher = InspectionMetrics(CollectorRegistry())
        rooms.append(EngineRoom(serving_model(engine), pool, limits, watcher, deaths))
        return rooms[-1]

    yield make
    for room in rooms:
        room.close()
    pool.close()


async def test_every_frame_gets_its_own_scores(make_room: MakeRoom) -> None:
    results = await score_all(make_room(FakeEngine()), LEVELS)
    for level, result in zip(LEVELS, results, strict=True):
        assert_scored(result, level)


async def test_scores_come_with_what_they_were_computed_with(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    engine.seconds = 0.01
    room = make_room(engine)
    [result] = await score_all(room, [100])
    assert isinstance(result, tuple)
    made = result[1]
    assert (made.model_id, made.model_sha256, made.device, made.batch_size) == ("m1", "f" * 64, "fake:CPU", 1)
    assert made.preprocess_sha256 == room.model.preprocessing.sha256
    assert made.infer_ms >= 10
    assert made.decode_ms > 0
    assert 0 <= made.queue_ms < 5000


async def test_frames_that_come_together_share_a_batch_to_the_last(make_room: MakeRoom) -> None:
    """The last to be decoded completes the batch: it must not leave without it."""
    engine = FakeEngine()
    await score_all(make_room(engine), LEVELS[:6])
    assert sorted(map(len, engine.batches)) == [6]


async def test_a_single_frame_does_not_wait_for_others(make_room: MakeRoom) -> None:
    started = time.monotonic()
    await score_all(make_room(FakeEngine(), linger_s=60.0), [1])
    assert time.monotonic() - started < 30


async def test_a_frame_waits_for_one_still_being_decoded_no_longer_than_linger(
    make_room: MakeRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    a   decoded ── linger ──▶ batch [a]
    b   decoding ─────────────────────────▶ batch [b]
    """
    engine, release = FakeEngine(), asyncio.Event()
    room = make_room(engine, linger_s=0.02)
    decode = room._pool.decode

    async def slow_for_b(image: EncodedImage, *rest: Any) -> Any:
        if image.sha256 == "b":
            await release.wait()
        return await decode(EncodedImage(image.data, "PNG"), *rest)

    monkeypatch.setattr(room._pool, "decode", slow_for_b)
    a = asyncio.create_task(room.score(png(1), math.inf))
    b = asyncio.create_task(room.score(EncodedImage(picture(2), "PNG", sha256="b"), math.inf))
    await a
    release.set()
    await b
    assert engine.batches == [[1], [2]]


async def test_a_failed_decode_lets_those_who_waited_for_it_go(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    started = time.monotonic()
    results = await score_all(make_room(engine, linger_s=60.0), [1, -1])
    assert time.monotonic() - started < 30
    assert_scored(results[0], 1)
    assert reason_of(results[1]) == "UNSUPPORTED_FORMAT"


async def test_one_damaged_picture_in_a_batch_of_32_costs_one_frame(make_room: MakeRoom) -> None:
    results = await score_all(make_room(FakeEngine()), [*LEVELS[:9], -1, *LEVELS[10:]])
    assert [isinstance(r, FrameRejectedError) for r in results] == [i == 9 for i in range(32)]
    for level in (0, 8, 10, 31):
        assert_scored(results[level], level)


async def test_a_picture_that_the_engine_can_never_take_costs_only_itself(make_room: MakeRoom, deaths: Deaths) -> None:
    engine = FakeEngine()
    engine.fails_at = {13}
    results = await score_all(make_room(engine), LEVELS)
    assert [isinstance(r, FrameRejectedError) for r in results] == [i == 13 for i in range(32)]
    assert reason_of(results[13]) == "ENGINE_FAILED"
    assert len(engine.batches) <= 2 * 6, "halving 32 takes 5 steps, not 32 single frames"
    assert deaths == []


async def test_an_engine_that_fails_once_costs_nothing(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    engine.failures_left = 1
    results = await score_all(make_room(engine), LEVELS[:8])
    for level, result in enumerate(results):
        assert_scored(result, level)


async def test_scores_of_another_number_of_frames_are_not_given_to_anyone(make_room: MakeRoom) -> None:
    """An engine that loses a row would give frames the scores of their neighbours."""
    engine = FakeEngine()
    engine.rows_less = 1
    results = await score_all(make_room(engine), LEVELS[:4])
    assert {reason_of(r) for r in results} == {"ENGINE_FAILED"}
    assert len(engine.batches) > 1, "it was halved down to single frames"


async def test_an_engine_that_refuses_batches_costs_their_frames(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    engine.refuses = True
    assert {reason_of(r) for r in await score_all(make_room(engine), LEVELS[:4])} == {"ENGINE_FAILED"}


async def test_scores_that_are_no_numbers_are_only_their_frames_affair(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    engine.nan_at = {2}
    results = await score_all(make_room(engine), LEVELS[:4])
    assert [isinstance(r, tuple) and bool(np.isnan(r[0]).all()) for r in results] == [False, False, True, False]
    assert len(engine.batches) == 1


async def test_an_expired_frame_is_neither_decoded_nor_given_to_the_engine(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    results = await score_all(make_room(engine), LEVELS[:3], expires_at=time.monotonic())
    assert all(isinstance(r, ExpiredError) for r in results)
    assert engine.batches == []


async def test_a_frame_that_expires_while_the_engine_is_busy_never_reaches_it(make_room: MakeRoom) -> None:
    """
    engine   [1] ───────────────────────▶ free: [2] is expired, [3] goes alone
    2        decoded ── expires
    3        decoded
    """
    engine = FakeEngine()
    engine.gate.clear()
    room = make_room(engine)
    one = asyncio.create_task(room.score(png(1), math.inf))
    await until(lambda: engine.batches)
    expires_at = time.monotonic() + 0.05
    two = asyncio.create_task(room.score(png(2), expires_at))
    three = asyncio.create_task(room.score(png(3), math.inf))
    await until(lambda: len(room._batcher) == 2)
    await until(lambda: time.monotonic() > expires_at)
    engine.gate.set()
    await asyncio.gather(one, three)
    with pytest.raises(ExpiredError):
        await two
    assert engine.batches == [[1], [3]]


async def test_a_frame_that_expires_while_its_batch_is_halved_is_not_tried_again(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    engine.failures_left, engine.seconds = 1, 0.3
    results = await score_all(make_room(engine), LEVELS[:2], expires_at=time.monotonic() + 0.25)
    assert all(isinstance(r, ExpiredError) for r in results)
    assert len(engine.batches) == 1


async def test_an_engine_that_hangs_ends_the_process_within_the_limit(make_room: MakeRoom, deaths: Deaths) -> None:
    engine = FakeEngine()
    engine.gate.clear()
    started = time.monotonic()
    waiting = asyncio.create_task(make_room(engine, infer_timeout_s=0.05).score(png(1), math.inf))
    await asyncio.wait_for(deaths.first.wait(), 5)
    assert time.monotonic() - started < 2
    assert "within 0.05 s" in deaths[0]
    assert not waiting.done(), "the frame must not be decided: it comes again"
    waiting.cancel()


async def test_a_lost_device_ends_the_process_and_blames_no_frame(make_room: MakeRoom, deaths: Deaths) -> None:
    engine = FakeEngine()
    engine.fatal = True
    room = make_room(engine)
    waiting = [asyncio.create_task(room.score(png(level), math.inf)) for level in range(4)]
    await asyncio.wait_for(deaths.first.wait(), 5)
    assert "the fake device is lost" in deaths[0]
    assert len(engine.batches) == 1, "no halving"
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


async def test_a_bug_of_the_room_itself_ends_the_process_instead_of_losing_frames(
    make_room: MakeRoom, deaths: Deaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(FakeEngine())
    monkeypatch.setattr(room._watcher, "batch_done", lambda *_: 1 / 0)
    waiting = asyncio.create_task(room.score(png(1), math.inf))
    await asyncio.wait_for(deaths.first.wait(), 5)
    assert "ZeroDivisionError" in deaths[0]
    waiting.cancel()


@pytest.mark.parametrize("concurrency", [1, 2])
async def test_no_more_batches_run_at_once_than_the_engine_allows(make_room: MakeRoom, concurrency: int) -> None:
    engine = FakeEngine(concurrency=concurrency)
    engine.seconds = 0.02
    await score_all(make_room(engine, max_batch=4), LEVELS)
    assert engine.most_running == concurrency


@pytest.mark.parametrize(("max_batch", "buckets", "most"), [(4, (1, 8), 4), (32, (1, 2, 8), 8)])
async def test_no_batch_is_larger_than_asked_for_or_than_the_largest_bucket(
    make_room: MakeRoom, max_batch: int, buckets: tuple[int, ...], most: int
) -> None:
    engine = FakeEngine(buckets)
    engine.seconds = 0.01
    await score_all(make_room(engine, max_batch), LEVELS)
    assert max(map(len, engine.batches)) == most
    assert sum(map(len, engine.batches)) == 32


async def test_a_caller_that_gave_up_takes_nothing_from_its_batch(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    engine.gate.clear()
    room = make_room(engine)
    tasks = [asyncio.create_task(room.score(png(level), math.inf)) for level in (1, 2)]
    await until(lambda: engine.batches)
    tasks[0].cancel()
    engine.gate.set()
    assert_scored(await tasks[1], 2)


async def test_closing_the_room_closes_its_engine(make_room: MakeRoom) -> None:
    engine = FakeEngine()
    make_room(engine).close()
    assert engine.closed
