"""What every source yields, and what a source is: the gateway's only view of cameras, folders and data sets.

A source is iterated with `async for shot in source`. Knows nothing of Kafka, frames or trigger numbers.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from schemas.records import ClockSource, Encoding


@dataclass(frozen=True, slots=True)
class Camera:
    """One camera at its place. Each part is a name of `streams.topics.KEY_PART`; `frames.py` checks that."""

    plant: str
    line: str
    station: str
    name: str

    def __str__(self) -> str:
        return f"{self.plant}/{self.line}/{self.station}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture as it left a camera. Fields are those of `FrameCaptured`, which explains them."""

    camera: Camera
    sku: str
    data: bytes
    encoding: Encoding
    width: int  # pixels; 0 where a file's header can't be read: it is sent as it is, and inspection judges it
    height: int
    stride: int | None = None
    bits: int | None = None
    captured_at: datetime  # aware
    triggered_s: float  # monotonic seconds of the trigger, by the clock that the gateway uses
    clock_source: ClockSource = ClockSource.GATEWAY
    deadline_ms: int | None = None
    part_id: str | None = None
    lot_id: str | None = None
    order_id: str | None = None
    pass_no: int = 1
    view: int = 1
    views: int = 1
    label: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)


class Source(Protocol):
    """Cameras, or what stands in for them. Iterating again starts again."""

    @property
    def total(self) -> int | None:
        """Shots that one iteration yields, where that is known beforehand: for progress bars."""

    @property
    def can_wait(self) -> bool:
        """True where shots that nobody asks for stay where they are, as files do; a camera's triggers go on."""

    def __aiter__(self) -> AsyncIterator[Shot]:
        """The shots, in the order of their triggers."""

    def confirmed(self, shot: Shot) -> None:
        """Broker or spool have this shot for good: a source that remembers what it has handed over notes it here."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Clock:
    """The clocks a source stamps its shots with; tests bring their own."""

    now: Callable[[], datetime] = utc_now
    monotonic_s: Callable[[], float] = time.monotonic
