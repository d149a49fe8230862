"""Stations for a load: names chosen so that every partition has one, and frames as their cameras take them. Pure.

Knows how a key finds its partition, as every producer of frames must.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count

from aiokafka.partitioner import murmur2

from schemas.records import Encoding, FrameCaptured
from streams.capture.frames import FRAME_NAMESPACE
from streams.topics import station_key

PLANT, STATION, CAMERA, SKU = "chaos", "s", "c", "k"


@dataclass(slots=True)
class StationOnLoad:
    """One station with one camera; counts its triggers."""

    line: str
    partition: int
    triggers: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def key(self) -> bytes:
        return station_key(PLANT, self.line, STATION)

    def frame(self, image: bytes, side: int, at: datetime, deadline_ms: int | None = None) -> FrameCaptured:
        """The next frame: a square JPEG of `side` pixels. Each is a part of its own."""
        trigger = next(self.triggers)
        frame_id = uuid.uuid5(FRAME_NAMESPACE, f"{self.line}/{trigger}/{at.timestamp()}")
        return FrameCaptured(
            frame_id=frame_id,
            plant=PLANT,
            line=self.line,
            station=STATION,
            camera=CAMERA,
            sku=SKU,
            part_id=f"{self.line}-{frame_id.hex[:12]}",
            trigger_seq=trigger,
            captured_at=at,
            deadline_ms=deadline_ms,
            gateway_ms=1,
            encoding=Encoding.JPEG,
            width=side,
            height=side,
            image=image,
            image_sha256=hashlib.sha256(image).hexdigest(),
        )


def partition_of(key: bytes, partitions: int) -> int:
    """Where murmur2 places a key, as the Java client does."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def stations(partitions: int, shared: int = 2, prefix: str = "l") -> list[StationOnLoad]:
    """One station for each partition, and `shared` more that share partitions with those."""
    found: list[StationOnLoad] = []
    for number in count():
        line = f"{prefix}{number}"
        station = StationOnLoad(line, partition_of(station_key(PLANT, line, STATION), partitions))
        taken = station.partition in {other.partition for other in found}
        extra = len(found) - len({other.partition for other in found})
        if not taken or extra < shared:
            found.append(station)
        if len({other.partition for other in found}) == partitions and len(found) == partitions + shared:
            return found
    raise AssertionError("unreachable")
