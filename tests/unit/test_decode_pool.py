"""Decoding in threads: the most urgent first, nothing for expired frames, one bad picture costs one frame."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from models.decoding import pixel_room
from models.preprocess import EncodedImage, Preprocessing, Seen
from streams.errors import FrameRejectedError
from streams.inspection import decode_pool
from streams.inspection.decode_pool import DecodePool, ExpiredError
from tests.builders import SIDE, picture, until

SPEC = Preprocessing(width=SIDE, height=SIDE)


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    made = DecodePool(1)
    yield made
    made.close()


def png(data: bytes | None = None) -> EncodedImage:
    return EncodedImage(picture(100) if data is None else data, "PNG")


class HeldDecoder:
    """Stands for models.preprocess.load_views: waits for `go`, records the order, raises what it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.order: list[bytes] = []
        self.go = threading.Event()
        self.error: BaseException | None = None
        monkeypatch.setattr(decode_pool, "load_views", self)

    def __call__(self, image: EncodedImage, spec: Preprocessing) -> Seen:
        self.order.append(image.data)
        assert self.go.wait(5)
        if self.error:
            raise self.error
        return Seen(np.zeros((1, spec.height, spec.width, 3), np.uint8), spec.views(spec.width, spec.height))


async def test_a_picture_becomes_a_model_input(pool: DecodePool) -> None:
    decoded = await pool.decode(png(), SPEC, due=0.0, expires_at=math.inf)
    assert decoded.seen.pixels.shape == (1, SIDE, SIDE, 3)
    assert decoded.seen.pixels.dtype == np.uint8
    assert decoded.seen.pixels.max() == 100
    assert decoded.decode_ms > 0


@pytest.mark.parametrize(("data", "reason"), [(b"", "EMPTY"), (picture()[:40], "TRUNCATED"), (b"hello", "UNSUPPORTED")])
async def test_a_bad_picture_is_rejected_with_its_reason(pool: DecodePool, data: bytes, reason: str) -> None:
    with pytest.raises(FrameRejectedError) as caught:
        await pool.decode(png(data), SPEC, due=0.0, expires_at=math.inf)
    assert caught.value.reason.startswith(reason)


async def test_a_bad_picture_harms_no_other(pool: DecodePool) -> None:
    results = await asyncio.gather(
        *(pool.decode(png(b"hello" if i == 3 else None), SPEC, 0.0, math.inf) for i in range(8)), return_exceptions=True
    )
    assert [isinstance(r, FrameRejectedError) for r in results] == [i == 3 for i in range(8)]


async def test_an_expired_frame_is_not_decoded(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = HeldDecoder(monkeypatch)
    with pytest.raises(ExpiredError):
        await pool.decode(png(), SPEC, due=0.0, expires_at=time.monotonic())
    assert decoder.order == []


async def test_a_frame_that_expires_while_it_waits_is_not_decoded(
    pool: DecodePool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """
    thread   first ────────────────▶ second is looked at
    second   comes ── expires ───────▶ ExpiredError
    """
    decoder = HeldDecoder(monkeypatch)
    first = asyncio.create_task(pool.decode(png(b"first"), SPEC, 0.0, math.inf))
    await until(lambda: decoder.order)
    second = asyncio.create_task(pool.decode(png(b"second"), SPEC, 1.0, time.monotonic() + 0.01))
    await asyncio.sleep(0.02)
    decoder.go.set()
    await first
    with pytest.raises(ExpiredError):
        await second
    assert decoder.order == [b"first"]


async def test_the_most_urgent_frame_is_decoded_first(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = HeldDecoder(monkeypatch)
    tasks = [asyncio.create_task(pool.decode(png(b"busy"), SPEC, 0.0, math.inf))]
    await until(lambda: decoder.order)
    for due in (30.0, 10.0, 20.0, 10.0):
        tasks.append(asyncio.create_task(pool.decode(png(f"{due} {len(tasks)}".encode()), SPEC, due, math.inf)))
        await asyncio.sleep(0)
    decoder.go.set()
    await asyncio.gather(*tasks)
    assert decoder.order == [b"busy", b"10.0 2", b"10.0 4", b"20.0 3", b"30.0 1"]


@pytest.mark.parametrize(
    ("error", "reason"),
    [(MemoryError(), "TOO_LARGE"), (RuntimeError("a bug"), "DECODE_CRASHED"), (RecursionError(), "DECODE_CRASHED")],
)
async def test_a_decoder_that_breaks_costs_one_frame_and_no_thread(
    pool: DecodePool, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    decoder = HeldDecoder(monkeypatch)
    decoder.go.set()
    decoder.error = error
    with pytest.raises(FrameRejectedError) as caught:
        await pool.decode(png(), SPEC, 0.0, math.inf)
    assert caught.value.reason == reason
    decoder.error = None
    await pool.decode(png(), SPEC, 0.0, math.inf)


async def test_threads_decode_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, pool = HeldDecoder(monkeypatch), DecodePool(2)
    tasks = [asyncio.create_task(pool.decode(png(), SPEC, 0.0, math.inf)) for _ in range(2)]
    await until(lambda: len(decoder.order) == 2)
    decoder.go.set()
    await asyncio.gather(*tasks)
    pool.close()


async def test_a_caller_that_gave_up_harms_nobody(pool: DecodePool, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder = HeldDecoder(monkeypatch)
    gave_up = asyncio.create_task(pool.decode(png(), SPEC, 0.0, math.inf))
    await until(lambda: decoder.order)
    gave_up.cancel()
    decoder.go.set()
    await pool.decode(png(), SPEC, 0.0, math.inf)
    assert gave_up.cancelled()


async def test_a_decoder_that_hangs_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()

    def hangs(*_: object) -> None:
        release.wait(10)
        raise ValueError

    monkeypatch.setattr("streams.inspection.decode_pool.load_views", hangs)
    pool = DecodePool(1)
    assert pool.longest_s() == 0
    decoding = asyncio.create_task(pool.decode(EncodedImage(b"", "PNG"), Preprocessing(), 0.0, math.inf))
    await asyncio.sleep(0.2)
    assert 0.1 < pool.longest_s() < 5
    monkeypatch.setattr(pixel_room, "_waiting", {pool._threads[0].ident})
    assert pool.longest_s() == 0, "it waits for others' pictures"
    release.set()
    with pytest.raises(FrameRejectedError):
        await decoding
    assert pool.longest_s() == 0
    pool.close()
