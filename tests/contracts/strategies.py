"""Hypothesis strategies for every event, built from the generated dataclasses and their schemas."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

from hypothesis import strategies as st

from schemas.generate import EVENTS, expanded, named_types


def _long_fields() -> frozenset[tuple[str, str]]:
    """By record and name: a field of one name may have 64 bits here and 32 there."""
    named = [t for event in EVENTS for t in named_types(expanded(event))]
    fields = [(t["name"].removeprefix("lineside."), f) for t in named for f in t.get("fields", ())]
    return frozenset((record, f["name"]) for record, f in fields if _is_long(f["type"]))


def _is_long(schema: Any) -> bool:
    """Whether a field's numbers, its own or those of its items or values, have 64 bits."""
    if isinstance(schema, dict):
        schema = schema.get("items") or schema.get("values")
    return "long" in (schema if isinstance(schema, list) else [schema])


LONG_FIELDS = _long_fields()
PLAIN = {
    str: st.text(max_size=20),
    bytes: st.binary(max_size=40),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    UUID: st.uuids(),
    datetime: st.datetimes(datetime(1900, 1, 1), datetime(2199, 12, 31), timezones=st.just(UTC)).map(
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
}


def records_of(record: type[Any]) -> st.SearchStrategy[Any]:
    """Any record of this class that its schema can hold."""
    hints = get_type_hints(record)
    return st.builds(
        record, **{f.name: _values(hints[f.name], (record.__name__, f.name)) for f in dataclasses.fields(record)}
    )


def _values(hint: Any, name: tuple[str, str]) -> st.SearchStrategy[Any]:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return st.one_of(st.none(), *(_values(a, name) for a in args if a is not type(None)))
    if origin is tuple:
        return st.lists(_values(args[0], name), max_size=3).map(tuple)
    if origin is Mapping:
        return st.dictionaries(PLAIN[str], _values(args[1], name), max_size=3)
    if hint is int:
        bits = 63 if name in LONG_FIELDS else 31
        return st.integers(-(2**bits), 2**bits - 1)
    if dataclasses.is_dataclass(hint):
        return records_of(hint)
    return st.sampled_from(hint) if issubclass(hint, Enum) else PLAIN[hint]
