"""The picture routes over HTTP, on a real frame store and a stand-in of the frames topic."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI, HTTPException
from PIL import Image

from schemas.records import Encoding, FrameCaptured
from streams.capture.pictures import extension_of
from streams.store import FrameStore, StoreUnavailableError
from streams.web.api import pictures as module
from streams.web.api.pictures import Pictures, picture_router
from tests.builders import frame, picture

MISSING = "0" * 64


class Frames(dict[tuple[int, int], FrameCaptured]):
    async def fetch(self, partition: int, offset: int) -> FrameCaptured | None:
        return self.get((partition, offset))


@pytest.fixture
def store(tmp_path: Path) -> FrameStore:
    return FrameStore(str(tmp_path / "frames"))


@pytest.fixture
def frames() -> Frames:
    return Frames()


def web(store: FrameStore, frames: Frames, reader: object = lambda: None) -> FastAPI:
    app = FastAPI()
    app.include_router(picture_router(Pictures(store), frames, reader))  # type: ignore[arg-type]
    return app


@pytest.fixture
async def client(store: FrameStore, frames: Frames) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(web(store, frames))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


def put(store: FrameStore, data: bytes, encoding: Encoding) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    store.put(data, sha256, extension_of(encoding))
    return sha256


def bmp(size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 30, 40)).save(file, "BMP")
    return file.getvalue()


def pixels(answer: httpx.Response) -> np.ndarray:
    with Image.open(io.BytesIO(answer.content)) as image:
        return np.asarray(image.convert("RGB"))


def assert_problem(answer: httpx.Response, status: int, kind: str) -> None:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:lineside:problem:{kind}"
    assert answer.json()["status"] == status
    assert answer.headers["cache-control"] == "no-store"


async def test_a_png_is_sent_as_stored_and_may_be_kept_for_ever(store: FrameStore, client: httpx.AsyncClient) -> None:
    sha256 = put(store, picture(), Encoding.PNG)
    answer = await client.get(f"/pictures/{sha256}")
    assert (answer.status_code, answer.content) == (200, picture())
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["etag"] == f'"{sha256}"'
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_picture_that_the_client_has_is_not_sent_again(store: FrameStore, client: httpx.AsyncClient) -> None:
    sha256 = put(store, picture(), Encoding.PNG)
    answer = await client.get(f"/pictures/{sha256}", headers={"If-None-Match": f'"other", W/"{sha256}"'})
    assert (answer.status_code, answer.content) == (304, b"")


async def test_a_bmp_is_sent_as_png(store: FrameStore, client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/pictures/{put(store, bmp(), Encoding.BMP)}")
    assert answer.headers["content-type"] == "image/png"
    assert pixels(answer).shape == (30, 40, 3)
    assert pixels(answer)[0, 0].tolist() == [200, 30, 40]


async def test_a_raw_picture_is_sent_as_png_by_what_the_event_says_of_it(
    store: FrameStore, client: httpx.AsyncClient
) -> None:
    rows = np.arange(20 * 40, dtype="<u2").reshape(20, 40)  # stride 80 holds 38 pixels and padding
    sha256 = put(store, rows.tobytes(), Encoding.MONO12)
    layout = {"encoding": "MONO12", "width": 38, "height": 20, "stride": 80, "bits": 10}
    answer = await client.get(f"/pictures/{sha256}", params=layout)
    assert answer.status_code == 200
    assert pixels(answer).shape == (20, 38, 3)
    assert_problem(await client.get(f"/pictures/{sha256}"), 422, "picture-unreadable")
    answer = await client.get(f"/pictures/{sha256}", params=layout | {"height": 21})
    assert_problem(answer, 422, "picture-unreadable")
    assert answer.json()["reason"] == "SIZE_MISMATCH"


@pytest.mark.parametrize(
    "digest",
    [
        "",
        "%2e%2e%2f%2e%2e",
        "..%2F" * 5 + "etc%2Fpasswd",
        "A" * 64,
        "f" * 63,
        "f" * 65,
        "f" * 64 + "%0a",
        "é" * 64,
        "f" * 63 + "%00",
    ],
)
async def test_what_is_no_digest_reaches_no_store(client: httpx.AsyncClient, digest: str) -> None:
    answer = await client.get(f"/pictures/{digest}")
    assert answer.status_code in (404, 422)
    if answer.status_code == 422:
        assert_problem(answer, 422, "parameters")


async def test_a_digest_that_is_not_kept_is_a_404(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"/pictures/{MISSING}"), 404, "picture-missing")


async def test_other_bytes_under_a_digest_are_never_sent(store: FrameStore, client: httpx.AsyncClient) -> None:
    store.put(picture(), MISSING, "png")
    answer = await client.get(f"/pictures/{MISSING}")
    assert_problem(answer, 422, "picture-unreadable")
    assert answer.json()["reason"] == "SHA256_MISMATCH"


async def test_markup_stored_as_a_picture_is_never_sent(store: FrameStore, client: httpx.AsyncClient) -> None:
    sha256 = put(store, b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", Encoding.JPEG)
    answer = await client.get(f"/pictures/{sha256}")
    assert_problem(answer, 422, "picture-unreadable")
    assert answer.json()["reason"] == "UNSUPPORTED_FORMAT"


async def test_a_picture_above_the_limit_is_refused(
    store: FrameStore, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PICTURE_MAX_BYTES", 10)
    assert_problem(await client.get(f"/pictures/{put(store, picture(), Encoding.PNG)}"), 422, "picture-too-large")


async def test_a_store_that_does_not_answer_is_a_503_that_may_be_tried_again(
    store: FrameStore, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> bytes:
        raise StoreUnavailableError("/secret/path can't be read")

    monkeypatch.setattr(FrameStore, "get", unavailable)
    answer = await client.get(f"/pictures/{MISSING}")
    assert_problem(answer, 503, "store-unavailable")
    assert answer.headers["retry-after"] == "5"
    assert "secret" not in answer.text


async def test_many_pages_at_once_wait_for_the_two_threads(
    store: FrameStore, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, most = 0, 0
    real = module.rendition

    def counting(image: object) -> object:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return real(image)  # type: ignore[arg-type]
        finally:
            running -= 1

    monkeypatch.setattr(module, "rendition", counting)
    sha256 = put(store, bmp((400, 300)), Encoding.BMP)
    answers = await asyncio.gather(*(client.get(f"/pictures/{sha256}") for _ in range(20)))
    assert {a.status_code for a in answers} == {200}
    assert 1 <= most <= module.THREADS


async def test_a_frame_still_in_the_topic_is_shown_and_must_be_asked_for_again(
    frames: Frames, client: httpx.AsyncClient
) -> None:
    frames[3, 7] = frame(7)
    answer = await client.get("/frames/3/7/picture")
    assert (answer.status_code, answer.content) == (200, picture())
    assert answer.headers["cache-control"] == "private, no-cache"
    again = await client.get("/frames/3/7/picture", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


async def test_a_frame_with_a_claim_check_is_shown_from_the_store(
    store: FrameStore, frames: Frames, client: httpx.AsyncClient
) -> None:
    sha256 = hashlib.sha256(bmp()).hexdigest()
    claim = store.put(bmp(), sha256, "bmp")
    frames[0, 1] = frame(image=None, image_ref=claim, image_sha256=sha256, encoding=Encoding.BMP)
    assert (await client.get("/frames/0/1/picture")).headers["content-type"] == "image/png"
    frames[0, 2] = frame(image=None, image_ref=claim.replace(sha256, MISSING), image_sha256=MISSING)
    assert_problem(await client.get("/frames/0/2/picture"), 410, "picture-gone")
    frames[0, 3] = frame(image=None, image_ref="file:///etc/passwd", image_sha256=MISSING)
    assert_problem(await client.get("/frames/0/3/picture"), 422, "reference-refused")
    frames[0, 4] = frame(image=None, image_ref=None, image_sha256=MISSING)
    assert_problem(await client.get("/frames/0/4/picture"), 422, "picture-unreadable")


async def test_a_frame_that_retention_took_is_a_404_that_says_so(client: httpx.AsyncClient) -> None:
    answer = await client.get("/frames/0/5/picture")
    assert_problem(answer, 404, "frame-gone")
    assert "Retention took" in answer.json()["detail"]
    for wrong in ("/frames/-1/5/picture", f"/frames/0/{1 << 63}/picture", "/frames/a/5/picture"):
        assert_problem(await client.get(wrong), 422, "parameters")


async def test_who_may_not_read_gets_no_picture_and_learns_nothing(store: FrameStore) -> None:
    def nobody() -> None:
        raise HTTPException(401, "sign in", {"WWW-Authenticate": "Bearer"})

    sha256 = put(store, picture(), Encoding.PNG)
    transport = httpx.ASGITransport(web(store, Frames(), nobody))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for path in (f"/pictures/{sha256}", f"/pictures/{MISSING}", "/frames/0/1/picture"):
            answer = await client.get(path, headers={"If-None-Match": f'"{sha256}"'})
            assert_problem(answer, 401, "refused")
            assert answer.headers["www-authenticate"] == "Bearer"
