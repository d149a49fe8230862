"""`GET /api/defects` and its like: events of a span of time as a table, in pages.

A page is written to a temporary file first and sent when it is whole: an error is then a status, not half a body, and
headers say what is behind the page. What one request may cost is bounded in rows, seconds and requests at once.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from schemas.codec import Codec
from streams.bus.spans import PartitionUnknownError, Reading, Span
from streams.web.api.cursor import Cursor, parse_cursor
from streams.web.api.documents import table_operation
from streams.web.api.event_log import EventLog
from streams.web.api.page import Page, Question
from streams.web.api.problems import ProblemError, try_again
from streams.web.api.query import MEDIA_TYPES, Filters, Form, form_of, parse_time, to_ms
from streams.web.api.resources import Resource
from streams.web.api.writers import writer_of

READ_LIMIT_S = 30.0  # then a page ends early, and its cursor goes on
REQUESTS_AT_ONCE = 4
DEFAULT_ROWS = 1_000
MAX_ROWS = 100_000
IN_MEMORY_BYTES = 4 << 20  # of a page; above, it lies on the disk
SEND_BYTES = 256 << 10
DEFAULT_SINCE = "1h"


def filters(
    plant: Annotated[str | None, Query(max_length=64, description="Such as `leipzig`.")] = None,
    line: Annotated[str | None, Query(max_length=64, description="Such as `L1`.")] = None,
    station: Annotated[str | None, Query(max_length=64, description="The inspection station.")] = None,
    outcome: Annotated[str | None, Query(max_length=64, description="Such as `NG`.")] = None,
    label: Annotated[str | None, Query(max_length=256, description="A defect that was found.")] = None,
    part_id: Annotated[str | None, Query(max_length=256, description="Serial number of the part.")] = None,
) -> Filters:
    """The filters of a request; what is left out asks nothing."""
    return Filters(plant, line, station, outcome, label, part_id)


@dataclass(frozen=True, slots=True)
class Asked:
    """What is read and how it is written, as the query says it."""

    since: str
    until: str | None
    limit: int
    cursor: str | None
    form: Form
    bom: bool


def asked(
    since: Annotated[
        str,
        Query(
            description="First append time told: ISO 8601 with its zone, or a time ago such as `15m`, `8h`, `2d`.",
        ),
    ] = DEFAULT_SINCE,
    until: Annotated[
        str | None, Query(description="End of the append times told, exclusive. Default: the present end.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_ROWS, description="Most rows of this page.")] = DEFAULT_ROWS,
    cursor: Annotated[
        str | None,
        Query(description="Goes on behind a page (`next`). Repeat the filters; since and until are those of the page."),
    ] = None,
    format: Annotated[  # the word that clients write
        Form | None, Query(description="Default: by the Accept header, else JSON.")
    ] = None,
    bom: Annotated[bool, Query(description="Mark CSV as UTF-8, for Excel.")] = False,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> Asked:
    """The rest of a request. ProblemError 406 where none of our forms is accepted."""
    form = form_of(format, accept)
    if form is None:
        raise ProblemError(406, "form", f"Rows are written as {', '.join(MEDIA_TYPES.values())}; accept one of them.")
    return Asked(since, until, limit, cursor, form, bom)


@dataclass(frozen=True, slots=True)
class Tables:
    """Reads pages out of an event log. `slots` bounds how many at once."""

    log: EventLog
    codec: Codec
    clock: Callable[[], datetime]
    slots: asyncio.Semaphore

    async def answer(self, resource: Resource, wanted: Filters, asked: Asked) -> Response:
        """A whole page. ProblemError: 422 for what can't be meant, 429 where others are being answered, 503."""
        try:
            resource.check(wanted)
            question, span = self._question(resource, wanted, asked)
        except ValueError as error:
            raise ProblemError(422, "parameters", str(error)) from error
        if self.slots.locked():
            raise try_again("busy", f"{REQUESTS_AT_ONCE} tables are being read; ask again in a moment.", 429)
        file: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115  # closed when it is sent
        try:
            async with self.slots:
                headers = await self._write(question, span, asked, file)
            return _FileResponse(file, headers, media_type=MEDIA_TYPES[asked.form])
        except BaseException:
            file.close()
            raise

    def _question(self, resource: Resource, wanted: Filters, asked: Asked) -> tuple[Question, Span]:
        if asked.cursor is None:
            now = self.clock()
            until_ms = None if asked.until is None else _ms("until", asked.until, now)
            span = Span(_ms("since", asked.since, now), until_ms)
        else:
            cursor = parse_cursor(asked.cursor, wanted.digest(resource.name))
            span = Span(cursor.since_ms, cursor.until_ms, cursor.position)
        if span.until_ms is not None and span.until_ms < span.since_ms:
            raise ValueError("until lies before since; give an end that is later than the beginning")
        return Question(resource, wanted, span.since_ms, span.until_ms, asked.limit), span

    async def _write(self, question: Question, span: Span, asked: Asked, file: IO[bytes]) -> dict[str, str]:
        resource = question.resource
        writer = writer_of(asked.form, file, resource.columns, bom=asked.bom)
        try:
            async with asyncio.timeout(READ_LIMIT_S + 10), self.log.read(resource.topic, span) as reading:
                page = Page(question, reading.starts, self.codec, writer)
                exhausted = await _read(page, reading)
        except PartitionUnknownError as error:
            raise ProblemError(422, "parameters", f"cursor: {error}") from error
        except TimeoutError as error:
            raise try_again("unavailable", "Kafka does not answer in time.") from error
        complete = exhausted or all(page.position[p] >= end for p, end in reading.ends.items())
        of = question.filters.digest(resource.name)
        behind = None if complete else Cursor(page.position, span.since_ms, span.until_ms, of).text()
        await asyncio.to_thread(writer.finish, behind)
        headers = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Lineside-Rows": str(page.rows)}
        if behind is not None:
            headers["X-Lineside-Next-Cursor"] = behind
        if asked.form in (Form.CSV, Form.PARQUET):
            headers["Content-Disposition"] = f'attachment; filename="{resource.name}.{asked.form}"'
        return headers


def _ms(name: str, text: str, now: datetime) -> int:
    try:
        return to_ms(parse_time(text, now))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


async def _read(page: Page, reading: Reading) -> bool:
    """Fill the page; False where it is full or its time is over before the span's end."""
    clock = asyncio.get_running_loop().time
    ends_at = clock() + READ_LIMIT_S
    async with aclosing(reading.chunks()) as chunks:
        async for chunk in chunks:
            await asyncio.to_thread(page.take, chunk)
            if page.full or clock() > ends_at:
                return False
    return True


class _FileResponse(StreamingResponse):
    """Sends a file from its start, with its length, and closes it whatever happens."""

    def __init__(self, file: IO[bytes], headers: dict[str, str], media_type: str) -> None:
        self._file = file
        length = file.tell()
        file.seek(0)
        super().__init__(_pieces(file), headers=headers | {"Content-Length": str(length)}, media_type=media_type)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.close()


async def _pieces(file: IO[bytes]) -> AsyncGenerator[bytes]:
    while piece := await asyncio.to_thread(file.read, SEND_BYTES):
        yield piece


def add_table(router: APIRouter, tables: Tables, resource: Resource) -> None:
    """The route of one resource."""

    async def table(wanted: Annotated[Filters, Depends(filters)], asked: Annotated[Asked, Depends(asked)]) -> Response:
        return await tables.answer(resource, wanted, asked)

    endpoint: Callable[..., Awaitable[Response]] = table
    router.add_api_route(f"/api/{resource.name}", endpoint, methods=["GET"], **table_operation(resource))
