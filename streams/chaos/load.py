"""Frames at a steady rate through the real Publisher, and what the broker confirmed of them.

Place in the flow: plays the gateways of a plant; whatever happens to Kafka it goes on when that is over, with a fresh
Publisher where the old one's sends failed. A frame whose confirmation never came may or may not be on the topic: the
topic itself, read at the end, says which frames exist. A spooling gateway can stand in its place: see `Stage`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import numpy as np
import simplejpeg

from streams.bus.publisher import Delivery, Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.stations import StationOnLoad
from streams.errors import LinesideError
from streams.settings import Settings
from streams.topics import FRAMES

log = logging.getLogger(__name__)
TICK_S = 0.02
MOST_UNCONFIRMED = 2_000  # frames; a load that waits for its broker takes no more
FRESH_PUBLISHER_S = 0.2
LAST_STOP_S = 15.0
SIDE = 32  # pixels


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """Frames a second over all stations, and the deadline that every second frame has (None: no frame has one)."""

    rate_per_s: float = 150.0
    deadline_ms: int | None = 1_000


def pictures(count: int = 32, side: int = SIDE, seed: int = 4) -> list[bytes]:
    """Small JPEGs that differ: blocks of random colours, as the tiny model knows them."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
    whole = np.ascontiguousarray(blocks.repeat(side // 4, axis=1).repeat(side // 4, axis=2))
    return [simplejpeg.encode_jpeg(picture, quality=90) for picture in whole]


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture under another digest: with its number as a JPEG comment."""
    text = f"{number}".encode()
    return jpeg[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + jpeg[2:]


class Load:
    """Sends from `start` to `stop`."""

    def __init__(self, settings: Settings, plan: LoadPlan, stations: Sequence[StationOnLoad]) -> None:
        self.plan = plan
        self.stations = stations
        self.confirmed: dict[UUID, Delivery] = {}
        self.unknown: set[UUID] = set()
        self.publishers = 0  # how many were needed
        self._settings = settings
        self._images = itertools.cycle(pictures())
        self._numbers = itertools.count()
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failed = asyncio.Event()

    @property
    def partitions(self) -> set[int]:
        """Where its frames go."""
        return {station.partition for station in self.stations}

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send nothing more; returns when all is confirmed or given up. Raises what ended it early."""
        self._stop.set()
        if self._task:
            await self._task

    async def abandon(self) -> None:
        """End it at once, whatever was not confirmed."""
        self._stop.set()
        self._failed.set()  # so that its publisher waits for little
        if self._task and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._stop.is_set():
            try:
                await self._send_by_one_publisher()
            except LinesideError as error:
                log.warning("the load goes on with a fresh publisher: %s", error)
                await asyncio.sleep(FRESH_PUBLISHER_S)

    async def _send_by_one_publisher(self) -> None:
        publisher = Publisher(self._settings.bootstrap, self._settings.topic_prefix, codec_for(self._settings))
        await publisher.start()
        self.publishers += 1
        self._failed.clear()
        try:
            await self._send(publisher)
        except LinesideError:
            self._failed.set()
            raise
        finally:
            with contextlib.suppress(LinesideError):
                await publisher.stop(1.0 if self._failed.is_set() else LAST_STOP_S)

    async def _send(self, publisher: Publisher) -> None:
        """Frames at their times until told to stop or a send fails."""
        started, sent = time.monotonic(), 0
        turns = itertools.cycle(self.stations)
        while not self._stop.is_set() and not self._failed.is_set():
            due = int((time.monotonic() - started) * self.plan.rate_per_s)
            if due - sent > self.plan.rate_per_s or publisher.pending > MOST_UNCONFIRMED:
                sent = due - 1  # after a wait it does not catch up: cameras don't
            for number in range(sent, due if publisher.pending <= MOST_UNCONFIRMED else sent):
                await self._send_one(publisher, next(turns), number)
            sent = due
            await asyncio.sleep(TICK_S)

    async def _send_one(self, publisher: Publisher, station: StationOnLoad, number: int) -> None:
        deadline_ms = self.plan.deadline_ms if number % 2 else None
        image = numbered(next(self._images), next(self._numbers))
        frame = station.frame(image, SIDE, datetime.now(UTC), deadline_ms)
        self.unknown.add(frame.frame_id)
        delivery = await publisher.send(FRAMES, frame, key=station.key)
        delivery.add_done_callback(lambda done: self._settle(frame.frame_id, done))

    def _settle(self, frame_id: UUID, delivery: asyncio.Future[Delivery]) -> None:
        if delivery.cancelled() or delivery.exception():
            self._failed.set()
            return
        self.unknown.discard(frame_id)
        self.confirmed[frame_id] = delivery.result()
