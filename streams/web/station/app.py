"""The web app of one rework station: desk, pictures, good parts and heatmaps, put together around its page.

Place in the flow: `lineside station` opens it and serves it. Chooses the parts and decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from schemas.records import VerdictIssued
from streams.bus.frames_at import FrameReader
from streams.bus.readback import TopicTail
from streams.bus.registry_client import codec_for
from streams.downstream.audit.log import AuditLog
from streams.downstream.rework.cases import CaseKey, Scope
from streams.downstream.rework.desk import Desk
from streams.downstream.rework.kafka_bus import KafkaBus
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import VERDICTS, frames_topic
from streams.web.access.access import Access
from streams.web.access.doors import require
from streams.web.access.routes import reader
from streams.web.api.pictures import Pictures, picture_router
from streams.web.binding import Binding, check_binding
from streams.web.shell import make_web, page, page_shell, texts
from streams.web.station.heatmaps import Heatmaps, heatmap_router
from streams.web.station.page import ROLES, Shared, StationPage
from streams.web.station.references import Frames, References, Verdicts
from streams.web.station.seats import Seats

if TYPE_CHECKING:
    from models.artifact import Artifact

TICK_S = 2.0  # claims end and are renewed by the clock, not by an event
USUAL_GOOD_LABELS = frozenset({"good", "ok"})  # where no model is given that says which classes are no defect


@dataclass(frozen=True, slots=True)
class StationOptions:
    """What `lineside station` was asked for. `plant` None stands for every plant with such a line and station."""

    line: str
    station: str
    plant: str | None = None
    rework_station: str = "R1"
    model_dirs: Sequence[Path] = ()
    binding: Binding = field(default_factory=lambda: Binding(port=8090))


@dataclass(frozen=True, slots=True)
class Parts:
    """What a station works with, started: real, or in memory."""

    desk: Desk
    verdicts: Verdicts
    frames: Frames
    store: FrameStore
    heatmaps: Heatmaps


@contextlib.asynccontextmanager
async def open_station(
    settings: Settings, options: StationOptions, models: Sequence[Artifact] = ()
) -> AsyncIterator[FastAPI]:
    """The station's web app, ready to be served: its queue is read. `models` explain the verdicts that they gave."""
    bus = KafkaBus(settings, _now())
    access = Access.from_settings(settings, AuditLog(bus, f"sign-in/{options.rework_station}", _now).record)
    check_binding(options.binding, access)
    codec, prefix = codec_for(settings), settings.topic_prefix
    verdicts = TopicTail(settings.bootstrap, prefix + VERDICTS.name, VerdictIssued, codec)
    frames = FrameReader(settings.bootstrap, frames_topic(settings), codec)
    desk = Desk(settings, options.rework_station, Scope(options.plant, options.line, options.station))
    store = FrameStore(settings.frame_store_url)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(bus.stop)
        for part in (verdicts, frames, desk):
            await part.start()
            stack.push_async_callback(part.stop)
        parts = Parts(desk, verdicts, frames, store, Heatmaps(store, models))
        yield await stack.enter_async_context(station_web(settings, options, access, parts))


@contextlib.asynccontextmanager
async def station_web(
    settings: Settings, options: StationOptions, access: Access, parts: Parts
) -> AsyncIterator[FastAPI]:
    """The web app over parts that are at work."""
    desk, heatmaps = parts.desk, parts.heatmaps
    seats = Seats(desk, _now, heatmaps.good_labels or USUAL_GOOD_LABELS)
    ticking = asyncio.create_task(_tick(seats))
    unfollow = desk.on_change(seats.refresh)
    web = make_web(settings, access, f"{options.line} · Station {options.rework_station}")
    web.state.is_connected = lambda: desk.connected
    web.include_router(picture_router(Pictures(parts.store), parts.frames, reader))
    web.include_router(heatmap_router(heatmaps, lambda verdict_id: desk.board.case(CaseKey(verdict_id)), reader))
    _add_page(Shared(seats, References(parts.verdicts, parts.frames, _now), heatmaps, _now))
    try:
        yield web
    finally:
        unfollow()
        ticking.cancel()
        heatmaps.close()


def _add_page(shared: Shared) -> None:
    @page("/")
    def station_page() -> None:
        user = require(*ROLES)
        with page_shell("station", fill=True) as frame:
            StationPage(shared, user, texts("station"), frame)


async def _tick(seats: Seats) -> None:
    while True:
        await asyncio.sleep(TICK_S)
        seats.refresh()


def _now() -> datetime:
    return datetime.now(UTC)
