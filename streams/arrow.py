"""Flat rows as Arrow tables and Parquet: the types of their columns, once. Does not know what the rows mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from streams.columns import Column, Kind

_TYPES: Mapping[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.JSON: pa.string(),
    Kind.INTEGER: pa.int64(),
    Kind.NUMBER: pa.float64(),
    Kind.BOOLEAN: pa.bool_(),
    Kind.TIME: pa.timestamp("ms", tz="UTC"),
    Kind.BYTES: pa.binary(),
}


def schema_of(columns: Iterable[Column]) -> pa.Schema:
    """Typed fields, times as UTC milliseconds; each column's meaning is its field's `description`."""
    return pa.schema(pa.field(c.name, _TYPES[c.kind], metadata={"description": c.meaning}) for c in columns)


def table_of(schema: pa.Schema, rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows, each in the order of the schema, as a table."""
    values: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.Table.from_arrays(
        [pa.array(column, field.type) for column, field in zip(values, schema, strict=True)], schema=schema
    )
