"""Events to bytes and back: Avro in Confluent framing (magic 0, 4-byte schema id, body).

Reading uses the WRITER's schema, found by the id in the frame, and resolves it to ours. What a body claims about itself
is looked at first (`schemas.bounds`): nothing is allocated for what isn't there. Times outside 1900 to 2200 are
refused: no clock gives them, and nobody behind can add to them. Where schemas come from is a
`SchemaSource`: the ids committed here, or an external registry. Knows nothing of Kafka or HTTP.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from schemas import records
from schemas.bounds import Walk, bounds_of

HERE = Path(__file__).resolve().parent
MAGIC = 0
FRAMING = struct.Struct(">bI")
FIRST_TIME, LAST_TIME = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""1900 is where NTP begins: a clock without a battery says 1970 or later."""

Schema = Any
R = TypeVar("R", bound=records.Event)


class SchemaUnknownError(Exception):
    """The framing names a schema id that nobody knows."""


class SchemaInvalidError(Exception):
    """The bytes are not a value of the schema they name, or not of the kind of event expected."""


class SchemaSource(Protocol):
    """Where ids and writer schemas come from. Parsed schemas are fastavro's; an unknown id is SchemaUnknownError."""

    def id_of(self, record: str) -> int:
        """The id under which an event such as `FrameCaptured` is written."""

    def writer_schema(self, schema_id: int) -> Schema:
        """The parsed schema with this id."""


@dataclass(frozen=True, slots=True)
class CommittedSchema:
    """One version of one event as committed in `history/`; `text` is the self-contained schema in JSON."""

    id: int
    record: str
    version: int
    text: str


def committed_schemas() -> tuple[CommittedSchema, ...]:
    """Every schema of every event, past and present, in the order of ids."""
    rows = json.loads((HERE / "ids.json").read_text())
    history = HERE / "history"
    return tuple(CommittedSchema(**r, text=(history / f"{r['record']}.{r['version']}.avsc").read_text()) for r in rows)


class CommittedSource:
    """The ids of `ids.json`: what counts where no external registry is configured."""

    def __init__(self) -> None:
        schemas = committed_schemas()
        self._parsed = {schema.id: parse_schema(json.loads(schema.text)) for schema in schemas}
        self._newest = {schema.record: schema.id for schema in schemas}

    def id_of(self, record: str) -> int:
        return self._newest[record]

    def writer_schema(self, schema_id: int) -> Schema:
        try:
            return self._parsed[schema_id]
        except KeyError:
            known = f"known are {min(self._parsed)} to {max(self._parsed)}"
            raise SchemaUnknownError(f"schema id {schema_id} is not committed here; {known}") from None


class Codec:
    """Encodes and decodes events. Thread-safe as far as its source is."""

    def __init__(self, source: SchemaSource) -> None:
        self._source = source
        self._readers = {s.record: parse_schema(json.loads(s.text)) for s in committed_schemas()}  # newest wins
        self._heads: dict[str, bytes] = {}
        self._walks: dict[int, Walk] = {}

    def prepare(self, record_type: type[records.Event]) -> None:
        """Learns the id under which such events are written, so that encoding them asks nobody; the source's errors."""
        name = record_type.__name__
        if name not in self._heads:
            self._heads[name] = FRAMING.pack(MAGIC, self._source.id_of(name))

    def encode(self, record: records.Event) -> bytes:
        """Framing and Avro body of one event, always in the newest version of its schema."""
        self.prepare(type(record))
        name = type(record).__name__
        out = io.BytesIO()
        out.write(self._heads[name])
        schemaless_writer(out, self._readers[name], record.to_avro())
        return out.getvalue()

    def decode(self, data: bytes, record_type: type[R]) -> R:
        """The event in `data`. Raises SchemaUnknownError or SchemaInvalidError and nothing else for bad bytes."""
        name, schema_id = record_type.__name__, _schema_id(data)
        writer = self._source.writer_schema(schema_id)
        if _name(writer) != f"lineside.{name}":
            raise SchemaInvalidError(f"expected a {name}, came a {_name(writer)}")
        body = io.BytesIO(data)
        body.seek(FRAMING.size)
        try:
            end = self._walk(schema_id, writer)(data, FRAMING.size)
            value: Mapping[str, Any] = schemaless_reader(body, writer, self._readers[name])  # type: ignore[assignment]
            _check_times(value)
            event = record_type.from_avro(value)
        except MemoryError:
            raise
        except Exception as error:  # fastavro raises whatever the damage trips over: a dozen types, none its own
            raise SchemaInvalidError(f"not a {name}: {type(error).__name__}: {error}") from error
        if trailing := len(data) - end:
            raise SchemaInvalidError(f"{trailing} bytes behind the end of the {name}")
        return event  # type: ignore[return-value]  # from_avro of R gives an R

    def _walk(self, schema_id: int, writer: Schema) -> Walk:
        if schema_id not in self._walks:
            self._walks[schema_id] = bounds_of(writer)
        return self._walks[schema_id]


def _check_times(value: Mapping[str, Any]) -> None:
    for name, field in value.items():
        if isinstance(field, datetime):
            if not FIRST_TIME <= field < LAST_TIME:
                raise ValueError(f"{name} must lie in {FIRST_TIME:%Y} to {LAST_TIME:%Y}; came {field.isoformat()}")
        elif isinstance(field, dict):
            _check_times(field)
        elif isinstance(field, list) and field and isinstance(field[0], dict):
            for item in field:
                _check_times(item)


def _schema_id(data: bytes) -> int:
    if len(data) < FRAMING.size:
        raise SchemaInvalidError(f"{len(data)} bytes are too short for Confluent framing (5 bytes and a body)")
    magic, schema_id = FRAMING.unpack_from(data)
    if magic != MAGIC:
        raise SchemaInvalidError(f"magic byte {magic} where Confluent framing has 0")
    return int(schema_id)


def _name(schema: Schema) -> str:
    return str(schema.get("name")) if isinstance(schema, dict) else str(schema)
