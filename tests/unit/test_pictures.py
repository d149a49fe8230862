"""Pictures of frames: claim checks, a store that comes and goes, and pictures kept for defects."""

from __future__ import annotations

import asyncio
import hashlib
import math
import threading
import time
from pathlib import Path

import pytest

from schemas.records import Encoding, FrameCaptured
from streams.errors import FrameRejectedError
from streams.inspection import pictures as pictures_module
from streams.inspection.decode_pool import ExpiredError
from streams.inspection.pictures import Pictures, ends_at
from streams.store import FrameStore, ObjectTooLargeError, StoreUnavailableError
from tests.builders import frame, picture


class ShakyStore(FrameStore):
    """A real store in a folder that can't be reached for its first reads, or answers when told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder))
        self.unreachable = 0
        self.reads = 0
        self.go = threading.Event()
        self.go.set()

    def get(self, uri: str, max_bytes: int) -> bytes:
        self.reads += 1
        self.go.wait(10)
        if self.reads <= self.unreachable:
            raise StoreUnavailableError("no answer")
        return super().get(uri, max_bytes)


@pytest.fixture
def store(tmp_path: Path) -> ShakyStore:
    return ShakyStore(tmp_path)


def claim(store: FrameStore, data: bytes) -> FrameCaptured:
    reference = store.put(data, hashlib.sha256(data).hexdigest(), "png")
    return frame(image=None, image_ref=reference)


async def test_an_inline_picture_needs_no_store(store: ShakyStore) -> None:
    one = frame(image_ref="file:///nowhere")
    assert await Pictures(store).fetch(one, math.inf) == one.image
    assert store.reads == 0


async def test_a_claim_check_is_fetched(store: ShakyStore) -> None:
    assert await Pictures(store).fetch(claim(store, picture(7)), math.inf) == picture(7)


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        (None, "EMPTY"),
        ("{root}/ab/missing.png", "IMAGE_UNAVAILABLE"),
        ("{root}/../../../etc/passwd", "IMAGE_UNAVAILABLE"),
        ("file:///etc/passwd", "IMAGE_UNAVAILABLE"),
        ("http://127.0.0.1/x.png", "IMAGE_UNAVAILABLE"),
    ],
)
async def test_a_picture_that_is_not_there_is_the_frames_fault(
    store: ShakyStore, tmp_path: Path, reference: str | None, reason: str
) -> None:
    one = frame(image=None, image_ref=reference and reference.format(root=tmp_path.as_uri()))
    with pytest.raises(FrameRejectedError) as caught:
        await Pictures(store).fetch(one, math.inf)
    assert caught.value.reason == reason


async def test_a_picture_that_is_too_large_is_the_frames_fault(
    store: ShakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures_module, "PICTURE_MAX_BYTES", 10)
    with pytest.raises(FrameRejectedError) as caught:
        await Pictures(store).fetch(claim(store, picture()), math.inf)
    assert caught.value.reason == "TOO_LARGE"
    assert isinstance(caught.value.__cause__, ObjectTooLargeError)


async def test_a_store_that_cannot_be_reached_is_asked_again(
    store: ShakyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures_module, "FIRST_RETRY_S", 0.001)
    store.unreachable = 3
    assert await Pictures(store).fetch(claim(store, picture()), math.inf) == picture()
    assert store.reads == 4


@pytest.mark.alone
async def test_a_store_that_stays_away_is_waited_for_until_the_deadline_and_no_longer(store: ShakyStore) -> None:
    """
    reads      0  0.1     0.3              0.7
    deadline               ▲ 0.5: expired here, neither before nor only at the next read
    """
    store.unreachable = 99
    started = time.monotonic()
    with pytest.raises(ExpiredError):
        await Pictures(store).fetch(claim(store, picture()), started + 0.5)
    assert 0.5 <= time.monotonic() - started < 0.7
    assert store.reads == 3


async def test_a_store_that_hangs_holds_a_frame_no_longer_than_its_deadline(store: ShakyStore) -> None:
    one = claim(store, picture())
    store.go.clear()
    started = time.monotonic()
    with pytest.raises(ExpiredError):
        await Pictures(store).fetch(one, started + 0.05)
    assert time.monotonic() - started < 2
    store.go.set()


async def test_ends_at_leaves_alone_what_is_done_in_time_and_what_has_no_end() -> None:
    async with ends_at(time.monotonic() + 60):
        await asyncio.sleep(0)
    async with ends_at(math.inf):
        await asyncio.sleep(0)
    with pytest.raises(ExpiredError):
        async with ends_at(time.monotonic() - 1):
            await asyncio.sleep(1)


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_a_kept_picture_resolves_whatever_its_encoding(store: ShakyStore, encoding: Encoding) -> None:
    kept = Pictures(store)
    reference = await kept.keep(frame(encoding=encoding), b"picture")
    assert await kept.fetch(frame(image=None, image_ref=reference), math.inf) == b"picture"
