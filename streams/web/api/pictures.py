"""Pictures over HTTP: by their digest from the frame store, or by where their frame lies in `frames`.

Place in the flow: what pages and integrations show beside an event. Digests are proved on every read. At most THREADS
pictures are read and decoded at once, others wait, so that many pages cannot exhaust memory. Knows no page and no
sign-in: `reader` is the dependency that admits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Annotated, Any, Protocol, TypeVar

from fastapi import APIRouter, Depends, Header, Path, Query, Response

from models.decoding.contract import EncodedImage, RejectedImageError
from schemas.records import Encoding, FrameCaptured
from streams.capture.pictures import EXTENSIONS, extension_of
from streams.store import (
    FrameStore,
    ObjectMissingError,
    ObjectTooLargeError,
    ReferenceRefusedError,
    StoreUnavailableError,
)
from streams.web.api.problems import ProblemError, ProblemRoute, documented, try_again
from streams.web.api.rendition import Rendition, rendition

THREADS = 2  # pictures in work at once: each may hold its bytes, 300 MB of pixels and their PNG
PICTURE_MAX_BYTES = 64 << 20  # of a picture that is sent; inspection itself takes larger ones
CONTENT_FOR_EVER = "private, max-age=31536000, immutable"  # a digest never means other bytes
CONTENT_MAY_CHANGE = "private, no-cache"  # an offset does, where a topic is made anew
IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")

Digest = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{64}$",
        description="The picture's sha256, lower-case hex: `image_sha256` of any event.",
        examples=["40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880"],
    ),
]
IfNoneMatch = Annotated[str | None, Header(include_in_schema=False)]
T = TypeVar("T")


class FrameSource(Protocol):
    """`streams.bus.frames_at.FrameReader`, or a stand-in."""

    async def fetch(self, partition: int, offset: int) -> FrameCaptured | None: ...


class Pictures:
    """Reads pictures and makes them displayable, in THREADS threads of its own."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._threads = ThreadPoolExecutor(THREADS, "pictures")

    async def by_digest(self, sha256: str, declared: EncodedImage) -> Rendition:
        """The picture with this digest; `declared` is it without its bytes.

        ProblemError: 404 where it isn't kept, 422 where it can't be shown, 503.
        """

        def made() -> Rendition:
            return rendition(replace(declared, data=_found(self._store, sha256, declared.encoding), sha256=sha256))

        return await self._in_thread(made)

    async def of_frame(self, frame: FrameCaptured) -> Rendition:
        """A frame's picture, inline or by claim check. ProblemError: 410 where its claim check is gone, 422, 503."""

        def made() -> Rendition:
            data = frame.image
            if data is None:
                data = _claimed(self._store, frame)
            layout = (frame.width, frame.height, frame.stride, frame.bits)
            return rendition(EncodedImage(data, frame.encoding, *layout, sha256=frame.image_sha256))

        return await self._in_thread(made)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except RejectedImageError as error:
            raise ProblemError(422, "picture-unreadable", error.detail, reason=error.reason) from error
        except ObjectTooLargeError as error:
            detail = f"The picture is larger than the {PICTURE_MAX_BYTES:,} bytes that are sent to browsers."
            raise ProblemError(422, "picture-too-large", detail, reason="TOO_LARGE") from error
        except ReferenceRefusedError as error:
            raise ProblemError(422, "reference-refused", "The frame's reference leads out of the store.") from error
        except StoreUnavailableError as error:
            raise try_again("store-unavailable", "The frame store can't be read just now.") from error


def _found(store: FrameStore, sha256: str, encoding: str) -> bytes:
    for uri in _uris(store, sha256, encoding):
        try:
            return store.get(uri, PICTURE_MAX_BYTES)
        except ObjectMissingError:
            continue
    raise ProblemError(404, "picture-missing", "No picture with this digest is in the frame store.")


def _uris(store: FrameStore, sha256: str, encoding: str) -> Iterator[str]:
    """Where the store may keep it, the likeliest first."""
    for extension in dict.fromkeys((extension_of(Encoding(encoding)), *EXTENSIONS.values(), "raw")):
        yield store.uri(sha256, extension)


def _claimed(store: FrameStore, frame: FrameCaptured) -> bytes:
    if frame.image_ref is None:
        raise ProblemError(422, "picture-unreadable", "The frame came without a picture.", reason="EMPTY")
    try:
        return store.get(frame.image_ref, PICTURE_MAX_BYTES)
    except ObjectMissingError as error:
        raise ProblemError(410, "picture-gone", "The frame is there; the store no longer keeps its picture.") from error


def picture_router(pictures: Pictures, frames: FrameSource | None, reader: Callable[..., Any]) -> APIRouter:
    """`/pictures/{sha256}` and, with `frames`, `/frames/{partition}/{offset}/picture`, for whom `reader` admits."""
    router = APIRouter(tags=["Pictures"], route_class=ProblemRoute, dependencies=[Depends(reader)])
    content: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in IMAGE_TYPES}
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "The picture. Its ETag is the digest.", "content": content},
        304: {"description": "The picture is the one that the client has (If-None-Match)."},
    }

    @router.get(
        "/pictures/{sha256}",
        summary="A picture by its digest",
        response_class=Response,
        responses=answers
        | documented(s404="The store keeps no such picture.", s422="A wrong digest, or bytes that are no picture."),
    )
    async def picture(
        sha256: Digest,
        encoding: Annotated[
            Encoding, Query(description="Of raw pictures, as in the event. Files are known by their first bytes.")
        ] = Encoding.UNKNOWN,
        width: Annotated[int, Query(ge=0, le=100_000, description="Pixels, of raw pictures.")] = 0,
        height: Annotated[int, Query(ge=0, le=100_000, description="Pixels, of raw pictures.")] = 0,
        stride: Annotated[int | None, Query(ge=1, le=1 << 30, description="Bytes a row; default: tight rows.")] = None,
        bits: Annotated[int | None, Query(ge=1, le=16, description="Significant bits a sample of deep grey.")] = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """JPEG, PNG and WebP as they are stored; BMP, TIFF and raw pictures as PNG. The digest is proved."""
        if _matches(if_none_match, sha256):
            return Response(status_code=304, headers=_headers(sha256, CONTENT_FOR_EVER))
        shown = await pictures.by_digest(sha256, EncodedImage(b"", encoding, width, height, stride, bits))
        return _response(shown, sha256, CONTENT_FOR_EVER)

    if frames is not None:
        _add_frames(router, pictures, frames, answers)
    return router


def _add_frames(
    router: APIRouter, pictures: Pictures, frames: FrameSource, answers: dict[int | str, dict[str, Any]]
) -> None:
    @router.get(
        "/frames/{partition}/{offset}/picture",
        summary="The picture of a frame that still lies in `frames`",
        response_class=Response,
        responses=answers
        | documented(
            s404="Retention took the frame, or there is none.",
            s410="The frame is there; its picture is no longer kept.",
            s422="The frame has no picture that can be shown.",
        ),
    )
    async def frame_picture(
        partition: Annotated[int, Path(ge=0, lt=1 << 31, description="`source_partition` of a verdict.")],
        offset: Annotated[int, Path(ge=0, lt=1 << 63, description="`source_offset` of a verdict.")],
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Also for frames that passed: their pictures are in the topic for as long as it keeps them (7 days)."""
        frame = await frames.fetch(partition, offset)
        if frame is None:
            raise ProblemError(404, "frame-gone", "Retention took this frame, or no frame ever lay there.")
        if _matches(if_none_match, frame.image_sha256):
            return Response(status_code=304, headers=_headers(frame.image_sha256, CONTENT_MAY_CHANGE))
        return _response(await pictures.of_frame(frame), frame.image_sha256, CONTENT_MAY_CHANGE)


def _matches(if_none_match: str | None, sha256: str) -> bool:
    asked = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return f'"{sha256}"' in asked


def _headers(sha256: str, caching: str) -> dict[str, str]:
    return {"ETag": f'"{sha256}"', "Cache-Control": caching, "X-Content-Type-Options": "nosniff"}


def _response(shown: Rendition, sha256: str, caching: str) -> Response:
    return Response(shown.data, media_type=shown.media_type, headers=_headers(sha256, caching))
