"""`GET /api/defects/events` and its like: events as they happen, as server-sent events.

Each id is a position in the whole topic, so `Last-Event-ID` resumes without a gap or a repetition. A client gets what
it can take: nothing is buffered for it here, and one that takes nothing for SEND_LIMIT_S is dropped. A stream ends
after LIFE_S; clients come back by themselves, are asked again who they are, and see partitions that were added.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header
from fastapi.responses import Response
from starlette.types import Receive, Scope, Send

from streams.bus.subscriber import Received
from streams.errors import LinesideError
from streams.tail import json_line
from streams.web.api.cursor import parse_position, position_text
from streams.web.api.documents import stream_operation
from streams.web.api.event_log import EventLog
from streams.web.api.problems import ProblemError, try_again
from streams.web.api.query import Filters
from streams.web.api.resources import Resource
from streams.web.api.tables import filters

log = logging.getLogger(__name__)
STREAMS_AT_ONCE = 32
HEARTBEAT_S = 15.0
SEND_LIMIT_S = 20.0
LIFE_S = 900.0
RETRY_MS = 3_000
HEARTBEAT = b": heartbeat\n\n"


@dataclass(frozen=True, slots=True)
class Live:
    """Opens streams on an event log. `slots` bounds how many at once."""

    log: EventLog
    slots: asyncio.Semaphore

    async def open(self, resource: Resource, wanted: Filters, last_event_id: str | None) -> Response:
        """A stream. ProblemError: 422 for what can't be meant, 429 where too many are open."""
        try:
            resource.check(wanted)
            known = parse_position(last_event_id) if last_event_id else None
        except ValueError as error:
            raise ProblemError(422, "parameters", str(error)) from error
        if self.slots.locked():
            raise _busy()
        ends = await self.log.ends(resource.topic)
        if unknown := set(known or ()) - set(ends):
            raise ProblemError(422, "parameters", f"Last-Event-ID: {resource.name} has no partition {min(unknown)}")
        position = ends if known is None else {p: min(known.get(p, 0), end) for p, end in ends.items()}
        return EventStream(self, resource, wanted.asked(), position)


class EventStream(Response):
    """The stream of one client."""

    media_type = "text/event-stream"

    def __init__(self, live: Live, resource: Resource, wanted: Mapping[str, str], position: dict[int, int]) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live = live
        self._resource = resource
        self._wanted = wanted
        self._position = position

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._live.slots.locked():
            await _busy().response()(scope, receive, send)
            return
        async with self._live.slots:
            sending = asyncio.create_task(self._send_all(send))
            leaving = asyncio.create_task(_disconnected(receive))
            try:
                await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (sending, leaving):
                    task.cancel()
                await asyncio.wait({sending, leaving})
            if not sending.cancelled() and (error := sending.exception()):
                raise error

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        try:
            async with asyncio.timeout(LIFE_S) as life, aclosing(self._blocks()) as blocks:
                async for block in blocks:
                    await _send(send, block, more=True)
        except TimeoutError:
            if not life.expired():
                log.info("a reader of %s took nothing for %g s and is dropped", self._resource.name, SEND_LIMIT_S)
                return
        except LinesideError as error:
            log.warning("a stream of %s ends, its reader will come back: %s", self._resource.name, error)
        await _send(send, b"", more=False)

    async def _blocks(self) -> AsyncGenerator[bytes]:
        yield f"retry: {RETRY_MS}\nid: {position_text(self._position)}\n\n".encode()
        async with aclosing(self._live.log.follow(self._resource.topic, dict(self._position))) as events:
            pending: asyncio.Task[Received[Any]] = asyncio.ensure_future(anext(events))
            try:
                while True:
                    done, _ = await asyncio.wait({pending}, timeout=HEARTBEAT_S)
                    if not done:
                        yield HEARTBEAT
                        continue
                    event = pending.result()
                    pending = asyncio.ensure_future(anext(events))
                    self._position[event.partition] = event.offset + 1
                    if self._resource.matches(self._wanted, event.record):
                        yield f"id: {position_text(self._position)}\ndata: {json_line(event)}\n\n".encode()
            finally:
                pending.cancel()
                await asyncio.gather(pending, return_exceptions=True)


async def _send(send: Send, block: bytes, *, more: bool) -> None:
    async with asyncio.timeout(SEND_LIMIT_S):
        await send({"type": "http.response.body", "body": block, "more_body": more})


def _busy() -> ProblemError:
    return try_again("busy", f"{STREAMS_AT_ONCE} streams are open; ask again in a moment.", 429)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def add_stream(router: APIRouter, live: Live, resource: Resource) -> None:
    """The route of one resource's live events."""

    async def stream(
        wanted: Annotated[Filters, Depends(filters)],
        last_event_id: Annotated[
            str | None, Header(description="Id of the last event that came; browsers send it.", max_length=20_000)
        ] = None,
    ) -> Response:
        return await live.open(resource, wanted, last_event_id)

    router.add_api_route(f"/api/{resource.name}/events", stream, methods=["GET"], **stream_operation(resource))
