"""A frame as it was captured, and the event that it becomes when it is sent. Pure.

Number, id and times are given once, at the trigger; only `gateway_ms` is told at the sending, and whether the picture
travels inside. In the spool the picture is always inside, and the event is encoded under the ids committed in
`schemas/ids.json`: no registry and no frame store is needed to keep a frame or to read it again. Knows no files.
"""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from uuid import UUID

from schemas.bounds import INT_MAX
from schemas.codec import Codec, CommittedSource, SchemaInvalidError, SchemaUnknownError
from schemas.records import FrameCaptured
from streams.topics import station_key

_VERSION = 1
_HEAD = struct.Struct(">B16sqq")  # version, boot, monotonic ms, wall-clock ms


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant by both clocks of the gateway. `boot` tells one run of the monotonic clock from another."""

    boot: UUID
    monotonic_ms: int
    wall_ms: int  # since 1970

    def before(self, elapsed_ms: int) -> Moment:
        return Moment(self.boot, self.monotonic_ms - elapsed_ms, self.wall_ms - elapsed_ms)


def elapsed_ms(since: Moment, now: Moment) -> int:
    """Milliseconds between two moments, never below 0: by the monotonic clock, after a reboot by the wall clock."""
    if since.boot == now.boot:
        return max(0, now.monotonic_ms - since.monotonic_ms)
    return max(0, now.wall_ms - since.wall_ms)


@dataclass(frozen=True, slots=True)
class Captured:
    """`frame` has its picture inside and a gateway_ms of 0; `trigger` is when it was taken."""

    frame: FrameCaptured
    trigger: Moment

    @property
    def picture(self) -> bytes:
        return self.frame.image or b""

    @property
    def key(self) -> bytes:
        return station_key(self.frame.plant, self.frame.line, self.frame.station)

    def event(self, now: Moment, image_ref: str | None = None) -> FrameCaptured:
        """What is sent at `now`; with `image_ref` the picture stays out of it."""
        gateway_ms = min(elapsed_ms(self.trigger, now), INT_MAX)
        image = self.frame.image if image_ref is None else None
        return dataclasses.replace(self.frame, gateway_ms=gateway_ms, image=image, image_ref=image_ref)

    def __str__(self) -> str:
        frame = self.frame
        return f"frame {frame.trigger_seq} of camera {frame.plant}/{frame.line}/{frame.station}/{frame.camera}"


class SpoolCodec:
    """Captured frames as bodies of spool records."""

    def __init__(self) -> None:
        self._codec = Codec(CommittedSource())

    def encode(self, captured: Captured) -> bytes:
        trigger = captured.trigger
        head = _HEAD.pack(_VERSION, trigger.boot.bytes, trigger.monotonic_ms, trigger.wall_ms)
        return head + self._codec.encode(captured.frame)

    def decode(self, body: bytes) -> Captured:
        """ValueError for what is no frame, or one of a version of Lineside that is newer than this one."""
        try:
            version, boot, monotonic_ms, wall_ms = _HEAD.unpack_from(body)
            if version != _VERSION:
                raise ValueError(f"it has the version {version} where {_VERSION} is known")
            frame = self._codec.decode(body[_HEAD.size :], FrameCaptured)
        except (struct.error, SchemaInvalidError, SchemaUnknownError) as error:
            raise ValueError(str(error)) from error
        return Captured(frame, Moment(UUID(bytes=boot), monotonic_ms, wall_ms))
