"""Pictures that the archive keeps: put into the frame store under their digest. The shell around `keeping`."""

from __future__ import annotations

import asyncio
import hashlib
import logging

from schemas.records import FrameCaptured
from streams.archive.tables import KeptPicture
from streams.capture.pictures import extension_of
from streams.inspection.pictures import PICTURE_MAX_BYTES
from streams.store import FrameStore, ObjectMissingError, ObjectTooLargeError, ReferenceRefusedError

log = logging.getLogger(__name__)


class PictureKeeper:
    """Keeps the pictures of frames."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store

    async def keep(
        self, frame: FrameCaptured, partition: int, offset: int, why: str, probability: float | None
    ) -> KeptPicture | None:
        """Puts a frame's picture where it outlasts the frame; None, with a warning, for one that is not to be had."""
        try:
            data = frame.image if frame.image is not None else await self._claimed(frame)
        except (ObjectMissingError, ReferenceRefusedError, ObjectTooLargeError) as error:
            log.warning(
                "the picture of frame %s (partition %d offset %d) is gone: %s", frame.frame_id, partition, offset, error
            )
            return None
        sha256 = hashlib.sha256(data).hexdigest()
        reference = await asyncio.to_thread(self._store.put, data, sha256, extension_of(frame.encoding))
        return KeptPicture(
            frame.plant,
            frame.line,
            partition,
            offset,
            str(frame.frame_id),
            why,
            probability,
            reference,
            sha256,
            len(data),
        )

    async def size(self, frame: FrameCaptured) -> int | None:
        """Bytes of a frame's picture; None where there is none."""
        if frame.image is not None:
            return len(frame.image)
        try:
            return await asyncio.to_thread(self._store.size, frame.image_ref) if frame.image_ref else None
        except ReferenceRefusedError:
            return None

    async def _claimed(self, frame: FrameCaptured) -> bytes:
        if frame.image_ref is None:
            raise ObjectMissingError("neither a picture nor a reference to one")
        return await asyncio.to_thread(self._store.get, frame.image_ref, PICTURE_MAX_BYTES)
