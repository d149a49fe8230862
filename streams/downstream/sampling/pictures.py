"""The pictures of candidates: fetched from `frames` or the frame store, looked at, and kept where they are chosen.

The shell between events and pixels. A picture that is gone or can't be read is nobody's fault: it is counted and
passed over. Does not choose.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL import Image

from models.decoding.raw import RAW_ENCODINGS
from models.likeness import descriptor, near_hash, pixel_sha256
from models.preprocess import EncodedImage, RejectedImageError, decode
from schemas.records import DefectDetected, Encoding, FrameCaptured, VerdictIssued
from streams.capture.pictures import extension_of
from streams.downstream.sampling.album import Print
from streams.downstream.sampling.selection import Look
from streams.errors import LinesideError
from streams.inspection.pictures import PICTURE_MAX_BYTES
from streams.store import FrameStore, ObjectMissingError, ObjectTooLargeError, ReferenceRefusedError

log = logging.getLogger(__name__)
U8 = np.ndarray[Any, np.dtype[np.uint8]]
F32 = np.ndarray[Any, np.dtype[np.float32]]
Embed = Callable[[U8], F32]
"""Decoded pixels, uint8 [h, w, 3], to an embedding, float32 [d]. Runs in a thread."""


class Frames(Protocol):
    """`streams.bus.frames_at.FrameReader`, or a stand-in."""

    async def fetch(self, partition: int, offset: int) -> FrameCaptured | None: ...


class GoneError(LinesideError):
    """The picture is no longer to be had, or it is no picture."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A picture in the frame store."""

    image_ref: str
    image_sha256: str
    encoding: Encoding
    width: int
    height: int


class SamplePictures:
    """Looks at candidates and keeps picks. `topic` is the full name of the frames topic."""

    def __init__(self, store: FrameStore, frames: Frames, topic: str, embed: Embed = descriptor) -> None:
        self._store = store
        self._frames = frames
        self._topic = topic
        self._embed = embed
        self._defects: dict[object, DefectDetected] = {}

    def has_defect(self, defect: DefectDetected) -> None:
        """Notes that a verdict's picture lies in the store, until the next `forget`."""
        self._defects[defect.verdict.verdict_id] = defect

    def forget(self) -> None:
        self._defects.clear()

    async def look(self, verdict: VerdictIssued) -> Look:
        """What is seen in a verdict's picture; GoneError."""
        image = await self._image(verdict)
        return await asyncio.to_thread(self._looked, image)

    async def pixels_of(self, sample: Print) -> str | None:
        """The pixel digest of an earlier sample; None where its picture is gone."""
        try:
            data = await self._stored(sample.image_ref)
            image = EncodedImage(data, sample.encoding, sample.width, sample.height, sha256=sample.image_sha256)
            return await asyncio.to_thread(lambda: pixel_sha256(_decoded(image)))
        except GoneError as error:
            log.warning("an earlier sample can't be compared: %s", error)
            return None

    async def keep(self, verdict: VerdictIssued, pinned_by: str | None) -> Kept:
        """Pins a pick's picture and puts it into the store, as captured; raw and deep ones become PNG. GoneError.

        With `pinned_by` None nothing is written and the reference is empty: it says only what would be kept.
        """
        image = await self._image(verdict)
        return await asyncio.to_thread(self._kept, image, pinned_by)

    def _looked(self, image: EncodedImage) -> Look:
        pixels = _decoded(image)
        return Look(pixel_sha256(pixels), near_hash(pixels), self._embed(pixels))

    def _kept(self, image: EncodedImage, pinned_by: str | None) -> Kept:
        pixels = _decoded(image)
        data, encoding = image.data, Encoding(image.encoding)
        if image.encoding in RAW_ENCODINGS or image.bits is not None:  # a sample doesn't say how its bytes are laid out
            data, encoding = png(pixels), Encoding.PNG
        sha256 = hashlib.sha256(data).hexdigest()
        ref = ""
        if pinned_by is not None:
            self._store.pin(sha256, pinned_by)
            ref = self._store.put(data, sha256, extension_of(encoding))
        return Kept(ref, sha256, encoding, pixels.shape[1], pixels.shape[0])

    async def _image(self, verdict: VerdictIssued) -> EncodedImage:
        defect = self._defects.get(verdict.verdict_id)
        laid_out = defect if defect and defect.encoding is not Encoding.UNKNOWN else await self._frame(verdict)
        inline = laid_out.image if isinstance(laid_out, FrameCaptured) else None
        return EncodedImage(
            data=inline if inline is not None else await self._stored(laid_out.image_ref),
            encoding=laid_out.encoding,
            width=laid_out.width,
            height=laid_out.height,
            stride=laid_out.stride,
            bits=laid_out.bits,
            sha256=verdict.image_sha256,
        )

    async def _frame(self, verdict: VerdictIssued) -> FrameCaptured:
        where = f"{verdict.source_topic} partition {verdict.source_partition} offset {verdict.source_offset}"
        if verdict.source_topic != self._topic:
            raise GoneError(f"the frame of verdict {verdict.verdict_id} stands in {where:.200}, not in {self._topic}")
        frame = await self._frames.fetch(verdict.source_partition, verdict.source_offset)
        if frame is None or frame.frame_id != verdict.frame_id:
            raise GoneError(f"the frame of verdict {verdict.verdict_id} is no longer at {where}")
        return frame

    async def _stored(self, reference: str | None) -> bytes:
        """An object of the frame store; StoreUnavailableError where it can't be told whether it is there."""
        try:
            return await asyncio.to_thread(self._store.get, reference or "", PICTURE_MAX_BYTES)
        except (ObjectMissingError, ReferenceRefusedError, ObjectTooLargeError) as error:
            raise GoneError(str(error)) from error


def png(pixels: U8) -> bytes:
    """Pixels as a PNG file: the same pixels give the same bytes."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _decoded(image: EncodedImage) -> U8:
    try:
        return decode(image)
    except RejectedImageError as error:
        raise GoneError(f"the picture can't be read: {error}") from error
