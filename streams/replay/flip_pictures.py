"""Pictures of flipped frames for a report: from the topic, else from the archive. The shell."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC
from typing import Any

from PIL import Image

from models.preprocess import RejectedImageError, decode
from schemas.codec import Codec
from schemas.records import FrameCaptured
from streams.archive.catalogue import Catalogue
from streams.archive.session import Narrow, connect
from streams.bus.frames_at import FrameReader
from streams.errors import FrameRejectedError
from streams.inspection.inspector import encoded_image
from streams.inspection.pictures import Pictures
from streams.replay.decided import Pair
from streams.replay.judging import archived_picture
from streams.replay.past import Kept
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import frames_topic

SIDE = 320  # pixels, the longer side
_FOUND = 'SELECT event, picture_ref, picture_sha256 FROM frames WHERE partition = $p AND "offset" = $o'


async def pictures_of(
    pairs: Sequence[Pair], settings: Settings, codec: Codec, archive: Catalogue | None
) -> dict[tuple[str, int], bytes | str]:
    """By frame, its PNG or a sentence why there is none."""
    pictures = Pictures(FrameStore(settings.frame_store_url))
    topic = frames_topic(settings)
    found: dict[tuple[str, int], bytes | str] = {}
    async with FrameReader(settings.bootstrap, topic, codec) as reader:
        for pair in pairs:
            place: tuple[int, int] = (pair.a.facts["source_partition"], pair.a.facts["source_offset"])
            frame = await reader.fetch(*place)
            try:
                if frame is not None:
                    image = await pictures.fetch(frame, float("inf"))
                elif kept := _archived(archive, codec, pair.a.facts, place):
                    frame = kept[0]
                    image = await archived_picture(pictures, *kept)
                else:
                    found[pair.a.key] = "the frame has expired and is not archived"
                    continue
                found[pair.a.key] = _png(frame, image)
            except FrameRejectedError as error:
                found[pair.a.key] = error.detail
    return found


def _archived(
    archive: Catalogue | None, codec: Codec, facts: Any, place: tuple[int, int]
) -> tuple[FrameCaptured, Kept] | None:
    if archive is None:
        return None
    day = f"{facts['source_timestamp'].astimezone(UTC):%Y-%m-%d}"
    narrow = Narrow(plant=facts["plant"], since=day, until=day)
    with connect(archive, narrow=narrow) as db:
        row = db.execute(_FOUND, {"p": place[0], "o": place[1]}).fetchone()
    if row is None:
        return None
    frame = codec.decode(row[0], FrameCaptured)
    return replace(frame, image_ref=row[1]) if row[1] else frame, Kept(row[1], row[2])


def _png(frame: FrameCaptured, image: bytes) -> bytes | str:
    try:
        picture = Image.fromarray(decode(encoded_image(frame, image)))
    except RejectedImageError as error:
        return error.detail
    picture.thumbnail((SIDE, SIDE))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
