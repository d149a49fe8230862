"""What OpenAPI says of the routes of events: summaries, the columns of a row, the models of answers, errors. Pure."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from fastapi.responses import Response
from pydantic import BaseModel, Field

from streams.web.api.problems import documented
from streams.web.api.query import MEDIA_TYPES, Form
from streams.web.api.resources import Resource

TAG = "Events"
R = TypeVar("R")


class Event(BaseModel, Generic[R]):
    """One event and where it lay, as `lineside tail --json` prints it."""

    partition: int = Field(examples=[7])
    offset: int = Field(examples=[123456789012], description="With the partition, the event's identity.")
    timestamp: str = Field(examples=["2026-03-01T12:00:00.123Z"], description="Append time by the broker's clock.")
    key: str | None = Field(examples=["leipzig/L1/S2"])
    type: str = Field(examples=["DefectDetected"])
    record: R


class EventPage(BaseModel, Generic[R]):
    """Events in order of append time."""

    items: list[Event[R]]
    count: int
    next: str | None = Field(description="Cursor of the page behind; null where this page reaches the end.")


def table_operation(resource: Resource) -> dict[str, Any]:
    """How FastAPI shall document a resource's table."""
    text = {"schema": {"type": "string"}}
    binary = {"schema": {"type": "string", "format": "binary"}}
    headers = {
        "X-Lineside-Next-Cursor": {
            "description": "Cursor of the page behind; absent where this page reaches the end.",
            "schema": {"type": "string"},
        },
        "X-Lineside-Rows": {"description": "Rows of this page.", "schema": {"type": "integer"}},
    }
    page = {
        "description": "A page, oldest first by append time.",
        "model": EventPage[resource.topic.record],  # type: ignore[name-defined]
        "headers": headers,
        "content": {
            MEDIA_TYPES[Form.CSV]: text,
            MEDIA_TYPES[Form.PARQUET]: binary,
            MEDIA_TYPES[Form.NDJSON]: text,
        },
    }
    return {
        "name": f"read_{_snake(resource)}",
        "operation_id": f"read_{_snake(resource)}",
        "summary": f"{resource.name.capitalize()} of a span of time",
        "description": f"{resource.says} {_filters(resource)}\n\n{_columns(resource)}",
        "tags": [TAG],
        "response_class": Response,
        "responses": {200: page}
        | documented(
            s406="None of the forms is accepted.",
            s422="A parameter that can't be meant; `detail` says which and what was expected.",
            s429="Too many tables are being read; Retry-After says when to ask again.",
            s503="Kafka does not answer just now.",
        ),
    }


def stream_operation(resource: Resource) -> dict[str, Any]:
    """How FastAPI shall document a resource's live events."""
    example = 'id: 0:17,1:4\ndata: {"partition": 0, "offset": 16, "timestamp": "…", "record": {…}}\n\n'
    content = {"text/event-stream": {"schema": {"type": "string"}, "example": example}}
    return {
        "name": f"follow_{_snake(resource)}",
        "operation_id": f"follow_{_snake(resource)}",
        "summary": f"{resource.name.capitalize()} as they happen",
        "description": (
            f"{resource.says} Server-sent events from now on; `data` is one event as in the table's JSON. After a lost "
            "connection `Last-Event-ID` (browsers send it by themselves) goes on where it was: nothing is "
            f"missed, nothing comes twice. {_filters(resource)}"
        ),
        "tags": [TAG],
        "response_class": Response,
        "responses": {200: {"description": "A stream without end.", "content": content}}
        | documented(
            s422="A parameter or Last-Event-ID that can't be meant.",
            s429="Too many streams are open; Retry-After says when to ask again.",
            s503="Kafka does not answer just now.",
        ),
    }


def _filters(resource: Resource) -> str:
    words = "" if resource.outcomes is None else f" `outcome` is one of {', '.join(resource.outcomes)}."
    return f"Filters: {', '.join(sorted(resource.filters))}.{words}"


def _columns(resource: Resource) -> str:
    rows = (f"| {c.name} | {c.kind} | {c.meaning.replace('|', '/')} |" for c in resource.columns)
    return "Columns of CSV and Parquet:\n\n| column | holds | meaning |\n|---|---|---|\n" + "\n".join(rows)


def _snake(resource: Resource) -> str:
    return resource.name.replace("-", "_")
