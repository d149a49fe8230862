"""Shot and trigger number to the event `FrameCaptured`: pure, and the only place where frames are made.

Decides the frame's id, checks every name, and says when a picture travels as a claim check. Knows nothing of Kafka,
files or clocks.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from uuid import UUID, uuid5

from schemas.bounds import INT_MAX
from schemas.records import FrameCaptured
from streams.capture.source import Shot
from streams.inspection.limits import ATTRIBUTES_MAX, check_texts
from streams.topics import KEY_PART, station_key

FRAME_NAMESPACE = UUID("5b0d8c1e-6c1f-5c39-9d5e-3f0f6f1f7a11")  # never changes: ids of the past depend on it
TEXT_MAX_CHARS = 256


def frame_captured(shot: Shot, trigger_seq: int, *, gateway_ms: int, image_ref: str | None = None) -> FrameCaptured:
    """The event for one trigger; with `image_ref` the picture stays out of it.

    ValueError for a name, time or number that the event's readers can't rely on.
    """
    check(shot)
    if trigger_seq < 1 or gateway_ms < 0:
        raise ValueError(f"trigger_seq counts from 1 and gateway_ms from 0; came {trigger_seq} and {gateway_ms}")
    camera, captured_at = shot.camera, _to_ms(shot.captured_at)
    return FrameCaptured(
        frame_id=_frame_id(shot, trigger_seq, captured_at),
        plant=camera.plant,
        line=camera.line,
        station=camera.station,
        camera=camera.name,
        sku=shot.sku,
        part_id=shot.part_id,
        lot_id=shot.lot_id,
        order_id=shot.order_id,
        pass_no=shot.pass_no,
        view=shot.view,
        views=shot.views,
        trigger_seq=trigger_seq,
        captured_at=captured_at,
        clock_source=shot.clock_source,
        deadline_ms=shot.deadline_ms,
        gateway_ms=min(gateway_ms, INT_MAX),
        encoding=shot.encoding,
        width=shot.width,
        height=shot.height,
        stride=shot.stride,
        bits=shot.bits,
        image=shot.data if image_ref is None else None,
        image_ref=image_ref,
        image_sha256=sha256_of(shot.data),
        label=shot.label,
        attributes=shot.attributes,
    )


def key_of(shot: Shot) -> bytes:
    """The Kafka key of the shot's station; ValueError for a part that is no name."""
    return station_key(shot.camera.plant, shot.camera.line, shot.camera.station)


def travels_inline(picture: bytes, inline_max_bytes: int) -> bool:
    """True where the picture is small enough to be inside the event; else it is a claim check."""
    return len(picture) <= inline_max_bytes


def sha256_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def check(shot: Shot) -> None:
    """ValueError that says what is wrong with a shot, before a trigger number is spent on it."""
    key_of(shot)
    for field, name in (("camera", shot.camera.name), ("sku", shot.sku)):
        if not KEY_PART.fullmatch(name):
            raise ValueError(f"{field} {name!r} is no name: letters, digits, `.`, `_` and `-`, 1 to 64 of them")
    if shot.captured_at.utcoffset() is None:
        raise ValueError(f"captured_at {shot.captured_at} is naive; a time needs its zone, such as datetime.now(UTC)")
    if not 1 <= shot.view <= shot.views:
        raise ValueError(f"view must lie in 1 to views={shot.views}; came {shot.view}")
    _check_numbers(shot)
    _check_texts(shot)


def _check_numbers(shot: Shot) -> None:
    for field, least in (("pass_no", 1), ("width", 0), ("height", 0), ("stride", 1), ("bits", 1), ("deadline_ms", 1)):
        number = getattr(shot, field)
        if number is not None and not least <= number <= INT_MAX:
            raise ValueError(f"{field} must lie in {least} to {INT_MAX}; came {number}")


def _check_texts(shot: Shot) -> None:
    for field in ("part_id", "lot_id", "order_id", "label"):
        text = getattr(shot, field)
        if text is not None and not (0 < len(text) <= TEXT_MAX_CHARS and text.isprintable()):
            raise ValueError(f"{field} must be 1 to {TEXT_MAX_CHARS} printable characters; came {text!r:.80}")
    if len(shot.attributes) > ATTRIBUTES_MAX:
        raise ValueError(f"{len(shot.attributes)} attributes, at most {ATTRIBUTES_MAX} are taken")
    for name, text in shot.attributes.items():
        if not (name.isprintable() and text.isprintable()):
            raise ValueError(f"attribute {name!r:.80} must be printable; came {text!r:.80}")
        check_texts((("an attribute's name", name), (f"attribute {name!r:.80}", text)))


def _frame_id(shot: Shot, trigger_seq: int, captured_at: datetime) -> UUID:
    captured_ms = round(captured_at.timestamp() * 1000)
    return uuid5(FRAME_NAMESPACE, f"{shot.camera}/{trigger_seq}/{captured_ms}")


def _to_ms(time: datetime) -> datetime:
    """UTC cut to the milliseconds that the event carries, so that the id can be computed again from the event."""
    return time.astimezone(UTC).replace(microsecond=time.microsecond // 1000 * 1000)
