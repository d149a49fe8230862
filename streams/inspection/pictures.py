"""Pictures of frames: fetched by claim check, kept for defects. The shell around the frame store.

A store that can't be reached is retried until the frame's deadline (without one, as long as the worker lives): only an
object that is not there, or a reference that leads out of the store, is the frame's fault.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.records import FrameCaptured, Reason
from streams.capture.pictures import extension_of
from streams.errors import FrameRejectedError
from streams.inspection.decode_pool import ExpiredError
from streams.store import (
    FrameStore,
    ObjectMissingError,
    ObjectTooLargeError,
    ReferenceRefusedError,
    StoreUnavailableError,
)

log = logging.getLogger(__name__)
PICTURE_MAX_BYTES = 320 << 20  # of a claim check; 100 megapixels of RGB8 are 300 MB
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 5.0


@asynccontextmanager
async def ends_at(expires_at: float) -> AsyncIterator[None]:
    """Ends the block at `expires_at` (seconds of time.monotonic(), may be infinite) with ExpiredError."""
    try:
        async with asyncio.timeout(None if math.isinf(expires_at) else expires_at - time.monotonic()):
            yield
    except TimeoutError:
        raise ExpiredError from None


class Pictures:
    """The pictures of one worker's frames."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store

    async def fetch(self, frame: FrameCaptured, expires_at: float) -> bytes:
        """The picture's bytes. FrameRejectedError (IMAGE_UNAVAILABLE, TOO_LARGE), or ExpiredError past `expires_at`."""
        if frame.image is not None:
            return frame.image
        if frame.image_ref is None:
            raise FrameRejectedError(Reason.EMPTY, "neither a picture nor a reference to one")
        async with ends_at(expires_at):
            return await self.by_reference(frame.image_ref)

    async def by_reference(self, reference: str) -> bytes:
        """The bytes of an object of the store, however long it takes; FrameRejectedError as `fetch`."""
        retry_s = FIRST_RETRY_S
        while True:
            try:
                return await asyncio.to_thread(self._store.get, reference, PICTURE_MAX_BYTES)
            except (ObjectMissingError, ReferenceRefusedError) as error:
                raise FrameRejectedError(Reason.IMAGE_UNAVAILABLE, str(error)) from error
            except ObjectTooLargeError as error:
                raise FrameRejectedError(Reason.TOO_LARGE, str(error)) from error
            except StoreUnavailableError as error:
                log.warning("the frame store can't be reached, trying again in %.1f s: %s", retry_s, error)
            await asyncio.sleep(retry_s)
            retry_s = min(LAST_RETRY_S, 2 * retry_s)

    async def keep(self, frame: FrameCaptured, image: bytes) -> str:
        """Put an inline picture into the store and give its reference, which resolves from then on."""
        extension = extension_of(frame.encoding)

        def put() -> str:
            return self._store.put(image, hashlib.sha256(image).hexdigest(), extension)

        return await asyncio.to_thread(put)
