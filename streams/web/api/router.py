"""The reading interface put together: one router over its sources, and the sources on Kafka.

    async with kafka_sources(settings) as sources:
        web.include_router(api_router(sources, reader))

Knows every part and decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Depends

from schemas.codec import Codec
from streams.bus.frames_at import FrameReader
from streams.bus.registry_client import codec_for
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import frames_topic
from streams.web.api.event_log import EventLog, KafkaLog
from streams.web.api.live import STREAMS_AT_ONCE, Live, add_stream
from streams.web.api.pictures import FrameSource, Pictures, picture_router
from streams.web.api.problems import ProblemRoute
from streams.web.api.resources import RESOURCES
from streams.web.api.tables import REQUESTS_AT_ONCE, Tables, add_table


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class ApiSources:
    """What the interface reads from. `clock` gives the present time, with its zone."""

    log: EventLog
    codec: Codec
    store: FrameStore
    frames: FrameSource | None = None
    clock: Callable[[], datetime] = _utc_now


def api_router(sources: ApiSources, reader: Callable[..., Any]) -> APIRouter:
    """Tables, live events and pictures. The dependency `reader` admits, or raises HTTPException."""
    router = APIRouter()
    events = APIRouter(route_class=ProblemRoute, dependencies=[Depends(reader)])
    tables = Tables(sources.log, sources.codec, sources.clock, asyncio.Semaphore(REQUESTS_AT_ONCE))
    live = Live(sources.log, asyncio.Semaphore(STREAMS_AT_ONCE))
    for resource in RESOURCES.values():
        add_table(events, tables, resource)
        add_stream(events, live, resource)
    router.include_router(events)
    router.include_router(picture_router(Pictures(sources.store), sources.frames, reader))
    return router


@asynccontextmanager
async def kafka_sources(settings: Settings) -> AsyncIterator[ApiSources]:
    """An installation's sources while the block runs. BrokerUnreachableError, or CallerError for missing topics."""
    codec, topic = codec_for(settings), frames_topic(settings)
    async with FrameReader(settings.bootstrap, topic, codec) as frames:
        yield ApiSources(KafkaLog(settings, codec), codec, FrameStore(settings.frame_store_url), frames)
