"""The codec gives back what went in, reads what other versions wrote, and refuses everything else in two ways only."""

from __future__ import annotations

import dataclasses
import io
import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_writer
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import records
from schemas.codec import Codec, CommittedSource, SchemaInvalidError, SchemaUnknownError
from schemas.generate import EVENTS, expanded
from tests.contracts.samples import DEFECT, FRAME, RECIPE, SAMPLES, VERDICT
from tests.contracts.strategies import records_of

CODEC = Codec(CommittedSource())
EVENT_TYPES: list[type[Any]] = [getattr(records, name) for name in EVENTS]
HEADS = {name: CODEC.encode(sample)[:5] for name, sample in SAMPLES.items()}


class OneSchema:
    """A source with one foreign schema, id 99: another version of an event."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._schema = parse_schema(schema)

    def id_of(self, record: str) -> int:
        return 99

    def writer_schema(self, schema_id: int) -> Any:
        return self._schema

    def write(self, record: records.Event, **more: Any) -> bytes:
        out = io.BytesIO(struct.pack(">bI", 0, 99))
        out.seek(5)
        schemaless_writer(out, self._schema, record.to_avro() | more)
        return out.getvalue()


def field_named(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(f for f in schema["fields"] if f["name"] == name)


@pytest.mark.parametrize("event", EVENT_TYPES)
@settings(max_examples=60)
@given(data=st.data())
def test_any_record_comes_back_as_it_went_in(event: type[Any], data: st.DataObject) -> None:
    record = data.draw(records_of(event))
    assert CODEC.decode(CODEC.encode(record), event) == record


def test_framing_is_magic_0_and_the_big_endian_committed_id() -> None:
    assert HEADS["FrameCaptured"] == b"\0\0\0\0\1"


@pytest.mark.parametrize("name", SAMPLES)
def test_one_byte_behind_the_end_is_refused(name: str) -> None:
    with pytest.raises(SchemaInvalidError, match=f"1 bytes behind the end of the {name}"):
        CODEC.decode(CODEC.encode(SAMPLES[name]) + b"\0", type(SAMPLES[name]))


@pytest.mark.parametrize("name", SAMPLES)
def test_a_record_cut_at_any_byte_is_refused(name: str) -> None:
    data = CODEC.encode(SAMPLES[name])
    for length in range(len(data)):
        with pytest.raises(SchemaInvalidError):
            CODEC.decode(data[:length], type(SAMPLES[name]))


def test_another_kind_of_event_is_refused_by_name() -> None:
    with pytest.raises(SchemaInvalidError, match=r"expected a DefectDetected, came a lineside\.VerdictIssued"):
        CODEC.decode(CODEC.encode(VERDICT), records.DefectDetected)


def test_an_unknown_id_is_told_from_bad_bytes() -> None:
    with pytest.raises(SchemaUnknownError, match="schema id 4294967295 is not committed"):
        CODEC.decode(b"\0\xff\xff\xff\xff" + CODEC.encode(FRAME)[5:], records.FrameCaptured)


@pytest.mark.parametrize("year", [1, 1899, 2200, 9999])
def test_a_time_that_no_clock_gives_is_refused_wherever_it_stands(year: int) -> None:
    verdict = dataclasses.replace(VERDICT, source_timestamp=datetime(year, 1, 2, tzinfo=UTC))
    for record in (verdict, dataclasses.replace(DEFECT, verdict=verdict)):
        with pytest.raises(SchemaInvalidError, match="source_timestamp must lie in 1900 to 2200"):
            CODEC.decode(CODEC.encode(record), type(record))


def test_another_magic_byte_is_refused() -> None:
    with pytest.raises(SchemaInvalidError, match="magic byte 1 where Confluent framing has 0"):
        CODEC.decode(b"\1" + CODEC.encode(FRAME)[1:], records.FrameCaptured)


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_record_is_a_record_or_refused_but_never_breaks_the_codec(name: str, data: st.DataObject) -> None:
    good = CODEC.encode(SAMPLES[name])
    at = data.draw(st.integers(0, len(good) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=12))
    decode_or_refuse(good[:at] + damage + good[at + data.draw(st.integers(0, 12)) :], type(SAMPLES[name]))


@pytest.mark.parametrize("event", EVENT_TYPES)
@settings(max_examples=200)
@given(body=st.binary(max_size=300))
def test_random_bytes_under_a_good_head_never_break_the_codec(event: type[Any], body: bytes) -> None:
    decode_or_refuse(HEADS[event.__name__] + body, event)


@given(data=st.binary(max_size=20))
def test_random_bytes_never_break_the_codec(data: bytes) -> None:
    decode_or_refuse(data, records.FrameCaptured)


def decode_or_refuse(data: bytes, event: type[Any]) -> None:
    with suppress(SchemaInvalidError, SchemaUnknownError):
        assert isinstance(CODEC.decode(data, event), event)


def test_a_symbol_of_a_newer_writer_becomes_unknown() -> None:
    newer = expanded("Recipe")
    field_named(newer, "mode")["type"]["symbols"].append("STOP_THE_LINE")
    source = OneSchema(newer)
    decoded = Codec(source).decode(source.write(RECIPE, mode="STOP_THE_LINE"), records.Recipe)
    assert decoded == dataclasses.replace(RECIPE, mode=records.Mode.UNKNOWN)


def test_a_field_that_an_older_writer_lacked_gets_its_default() -> None:
    older = expanded("Recipe")
    older["fields"] = [f for f in older["fields"] if f["name"] != "part_timeout_ms"]
    source = OneSchema(older)
    assert Codec(source).decode(source.write(RECIPE), records.Recipe) == RECIPE
    assert RECIPE.part_timeout_ms == 5000


def test_a_field_that_a_newer_writer_added_is_ignored() -> None:
    newer = expanded("DefectDetected")
    newer["fields"].insert(0, {"name": "news", "type": {"type": "array", "items": "string"}, "default": []})
    source = OneSchema(newer)
    assert Codec(source).decode(source.write(DEFECT, news=["a", "b"]), records.DefectDetected) == DEFECT


def test_a_writer_schema_that_does_not_resolve_is_refused() -> None:
    foreign = {"type": "record", "name": "lineside.Recipe", "fields": [{"name": "version", "type": "string"}]}
    with pytest.raises(SchemaInvalidError, match="not a Recipe"):
        Codec(OneSchema(foreign)).decode(b"\0\0\0\0\x63\x02a", records.Recipe)
