"""An event as one flat row: the columns of CSV, Parquet and the archive, derived from the records themselves. Pure.

A field that is a record becomes columns of its own (`escape_value`); lists, maps and lists of records become JSON text.
What a column means is what the schema's documentation says. Knows no form of writing.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from functools import cache
from typing import Any
from uuid import UUID

from schemas import records
from schemas.codec import committed_schemas
from streams.bus.subscriber import Received
from streams.tail import plain


class Kind(StrEnum):
    """What a column holds; every column may be empty."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    TIME = "time (UTC)"
    JSON = "JSON text"
    BYTES = "bytes"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `value` gives None, text, a number, a boolean or a time."""

    name: str
    kind: Kind
    meaning: str
    value: Callable[[Received[Any]], Any]


_PLACE = (
    Column("partition", Kind.INTEGER, "Partition of the topic.", lambda e: e.partition),
    Column("offset", Kind.INTEGER, "Offset in the partition; with it the row's identity.", lambda e: e.offset),
    Column("appended_at", Kind.TIME, "Append time by the broker's clock.", lambda e: e.timestamp),
)
_KINDS: Mapping[type, Kind] = {
    bool: Kind.BOOLEAN,
    int: Kind.INTEGER,
    float: Kind.NUMBER,
    datetime: Kind.TIME,
    str: Kind.TEXT,
    UUID: Kind.TEXT,
    bytes: Kind.BYTES,
}


def columns_of(record: type[records.Event], *derived: Column, unprefixed: str = "") -> tuple[Column, ...]:
    """The columns of an event: where it lay, its fields in order, then `derived`.

    The fields of the record in the field `unprefixed` keep their own names.
    """
    place = {column.name for column in _PLACE}  # a LineWindow's own partition is that of its topic
    return (*_PLACE, *(c for c in _fields(record, (), unprefixed) if c.name not in place), *derived)


def row(columns: tuple[Column, ...], event: Received[Any]) -> list[Any]:
    """The event's values in the order of the columns."""
    return [column.value(event) for column in columns]


def _fields(record: type, path: tuple[str, ...], unprefixed: str) -> Iterator[Column]:
    hints, docs = typing.get_type_hints(record), documentation()[record.__name__]
    for field in dataclasses.fields(record):
        inner, here = _without_none(hints[field.name]), (*path, field.name)
        if dataclasses.is_dataclass(inner):
            yield from _fields(typing.cast(type, inner), here, unprefixed)
            continue
        name = "_".join(part for part in here if part != unprefixed)
        yield Column(name, _kind(inner), docs.get(field.name, ""), _reader(here))


def _without_none(hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        (hint,) = (option for option in typing.get_args(hint) if option is not types.NoneType)
    return hint


def _kind(hint: Any) -> Kind:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Kind.TEXT
    return _KINDS.get(hint, Kind.JSON)


def _reader(path: tuple[str, ...]) -> Callable[[Received[Any]], Any]:
    def read(event: Received[Any]) -> Any:
        value = event.record
        for name in path:
            value = None if value is None else getattr(value, name)
        if isinstance(value, Mapping | tuple):
            return json.dumps(plain(value), ensure_ascii=False)
        return str(value) if isinstance(value, Enum | UUID) else value

    return read


@cache
def documentation() -> Mapping[str, Mapping[str, str]]:
    """What the schemas say of every field, by record and field."""
    found: dict[str, dict[str, str]] = {}
    for schema in committed_schemas():
        _collect(json.loads(schema.text), found)
    return found


def _collect(schema: Any, found: dict[str, dict[str, str]]) -> None:
    if isinstance(schema, list):
        for option in schema:
            _collect(option, found)
    elif isinstance(schema, dict):
        if schema.get("type") == "record":
            found[schema["name"].rpartition(".")[2]] = {f["name"]: f.get("doc", "") for f in schema["fields"]}
            for field in schema["fields"]:
                _collect(field["type"], found)
        else:
            _collect([schema.get("type"), schema.get("items"), schema.get("values")], found)
