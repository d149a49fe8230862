"""Synthetic cameras: drawn parts with known defects, at any number of lines, stations, cameras and views.

Seeded: the same options give the same pictures and labels; only times and part ids differ. Every shot says
`synthetic=true`. Parts come to the stations in turn. Knows nothing of frames or Kafka.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import simplejpeg

from schemas.records import ClockSource, Encoding
from streams.capture.source import Camera, Clock, Shot
from streams.capture.surface import DEFECTS, Part, draw
from streams.errors import CallerError

_DRAW_AHEAD = 4  # pictures


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticOptions:
    """What is drawn, for whom and how fast.

    `lines`, `stations` (a line) and `cameras` (a station) are counts; `views` is pictures by each camera of a part.
    `kinds` are the defects that occur, each as often.
    `parts_per_s` 0 is as fast as they can be drawn; `burst` parts come at once, at the same rate on average. With
    `distinct` that many parts are drawn in advance and used again and again, so that drawing caps no measurement.
    """

    frames: int | None = None  # None: without end
    seed: int = 0
    plant: str = "demo"
    lines: int = 1
    stations: int = 1
    cameras: int = 1
    views: int = 1
    skus: tuple[str, ...] = ("flange-40", "plate-12", "bracket-7")
    parts_per_s: float = 0.0
    burst: int = 1
    distinct: int = 0
    defect_share: float = 0.15  # of parts; the defect shows in one view
    kinds: tuple[str, ...] = DEFECTS
    severity: tuple[float, float] = (0.0, 1.0)  # drawn evenly
    width: int = 640
    height: int = 480
    quality: int = 90  # JPEG
    deadline_ms: int | None = None

    def __post_init__(self) -> None:
        least = {"lines": 1, "stations": 1, "cameras": 1, "views": 1, "burst": 1, "distinct": 0, "parts_per_s": 0}
        for name, limit in {**least, "width": 32, "height": 32}.items():
            if getattr(self, name) < limit:
                raise CallerError(f"{name} must be at least {limit}; came {getattr(self, name)}")
        low, high = self.severity
        if not (0 <= self.defect_share <= 1 and 0 <= low <= high <= 1 and 1 <= self.quality <= 100 and self.skus):
            raise CallerError(
                "expected defect_share and severity in 0 to 1, quality in 1 to 100 and a SKU; came "
                f"{self.defect_share}, {self.severity}, {self.quality} and {self.skus}"
            )
        if not self.kinds or not set(self.kinds) <= set(DEFECTS):
            raise CallerError(f"kinds must be some of {', '.join(DEFECTS)}; came {self.kinds}")
        if self.frames is not None and self.frames < 0:
            raise CallerError(f"frames must be at least 0; came {self.frames}")


@dataclass(frozen=True, slots=True)
class Trigger:
    """One picture to take: which part it shows, where, and whether the defect is in this view."""

    number: int  # of the frame, from 0
    part_number: int  # from 0
    camera: Camera
    view: int
    views: int
    part: Part


def trigger(options: SyntheticOptions, number: int) -> Trigger:
    """The frame `number` of a run. Pure: it depends on the options and the number alone."""
    views = options.cameras * options.views
    part_number, index = divmod(number, views)
    line, station = divmod(part_number % (options.lines * options.stations), options.stations)
    camera = Camera(
        options.plant, f"line-{line + 1}", f"station-{station + 1}", f"camera-{index % options.cameras + 1}"
    )
    drawn = part_number % options.distinct if options.distinct else part_number
    return Trigger(number, part_number, camera, index + 1, views, _part(options, drawn, index + 1, views))


def _part(options: SyntheticOptions, drawn: int, view: int, views: int) -> Part:
    rng = np.random.default_rng([options.seed & 0xFFFFFFFFFFFFFFFF, drawn])
    sku = options.skus[int(rng.integers(len(options.skus)))]
    kinds = options.kinds
    defect = kinds[int(rng.integers(len(kinds)))] if rng.random() < options.defect_share else None
    seed, shown_in, severity = int(rng.integers(2**62)), int(rng.integers(views)) + 1, rng.uniform(*options.severity)
    return Part(sku, seed, view, defect if view == shown_in else None, round(float(severity), 4))


def take(options: SyntheticOptions, part: Part) -> bytes:
    """The part's picture as a JPEG."""
    pixels = np.ascontiguousarray(draw(part, options.width, options.height))
    return bytes(simplejpeg.encode_jpeg(pixels, quality=options.quality, colorspace="RGB", colorsubsampling="420"))


class SyntheticSource:
    """See the module. Pictures are drawn ahead in a thread of its own, so pacing holds while drawing keeps up."""

    def __init__(self, options: SyntheticOptions, clock: Clock | None = None) -> None:
        self.options, self.clock = options, clock or Clock()
        self._album: dict[Part, bytes] = {}  # only what is drawn in advance
        self._run = f"{int(self.clock.now().timestamp()):X}"  # the same pictures again are other parts

    @property
    def total(self) -> int | None:
        return self.options.frames

    @property
    def can_wait(self) -> bool:
        """With a rate these are cameras, whose triggers go on."""
        return self.options.parts_per_s == 0

    def prepare(self) -> None:
        """Draws all distinct parts now; iterating does it where it was not done. Takes some 8 ms a picture and core."""
        pictures = self.options.distinct * self.options.cameras * self.options.views
        for number in range(pictures if self.options.frames is None else min(pictures, self.options.frames)):
            part = trigger(self.options, number).part
            self._album[part] = self._album.get(part) or take(self.options, part)

    async def __aiter__(self) -> AsyncIterator[Shot]:
        pool = ThreadPoolExecutor(1, "draw")
        try:
            await asyncio.get_running_loop().run_in_executor(pool, self.prepare)
            start_s = self.clock.monotonic_s()
            ahead: deque[tuple[Trigger, Future[bytes]]] = deque()
            for planned in self._plan():
                ahead.append((planned, pool.submit(self._picture, planned.part)))
                if len(ahead) > _DRAW_AHEAD:
                    yield await self._next(ahead, start_s)
            while ahead:
                yield await self._next(ahead, start_s)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def confirmed(self, shot: Shot) -> None:
        """Nothing to remember: the pictures can be drawn again."""

    def _plan(self) -> Iterator[Trigger]:
        numbers = itertools.count() if self.options.frames is None else range(self.options.frames)
        return (trigger(self.options, number) for number in numbers)

    def _picture(self, part: Part) -> bytes:
        return self._album.get(part) or take(self.options, part)

    async def _next(self, ahead: deque[tuple[Trigger, Future[bytes]]], start_s: float) -> Shot:
        planned, picture = ahead.popleft()
        data = await asyncio.wrap_future(picture)
        await self._wait_for(planned, start_s)
        return self._shot(planned, data)

    async def _wait_for(self, planned: Trigger, start_s: float) -> None:
        if self.options.parts_per_s > 0:
            first_of_burst = planned.part_number // self.options.burst * self.options.burst
            left_s = start_s + first_of_burst / self.options.parts_per_s - self.clock.monotonic_s()
            if left_s > 0:
                await asyncio.sleep(left_s)

    def _shot(self, planned: Trigger, data: bytes) -> Shot:
        part = planned.part
        attributes = {"synthetic": "true"} | ({"severity": f"{part.severity:.4f}"} if part.defect else {})
        return Shot(
            camera=planned.camera,
            sku=part.sku,
            data=data,
            encoding=Encoding.JPEG,
            width=self.options.width,
            height=self.options.height,
            captured_at=self.clock.now(),
            triggered_s=self.clock.monotonic_s(),
            clock_source=ClockSource.GATEWAY,
            deadline_ms=self.options.deadline_ms,
            part_id=f"{self._run}-{planned.part_number + 1:05d}",
            view=planned.view,
            views=planned.views,
            label=part.label,
            attributes=attributes,
        )
