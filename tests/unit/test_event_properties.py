"""Properties of events as hostile input: what goes in comes out, and whatever else comes is refused in two ways only.

The same examples each time: a failure here is one for everybody.
"""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import avro.io
import avro.schema
import pytest
from fastavro import parse_schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas import records
from schemas.bounds import MAX_ITEMS, MAX_VARINT_BYTES, bounds_of, read_long
from schemas.codec import FRAMING, Codec, SchemaInvalidError, SchemaUnknownError, committed_schemas
from schemas.records import FrameCaptured, Reason
from tests.builders import CODEC, arrival, frame
from tests.contracts.samples import SAMPLES
from tests.contracts.strategies import records_of
from tests.fuzz.avro import Writer, spoilt, varint
from tests.fuzz.events import Events

EVENTS: list[type[Any]] = [type(sample) for sample in SAMPLES.values()]
TEXTS = {schema.record: schema.text for schema in committed_schemas()}
WRITERS = {name: Writer(json.loads(text)) for name, text in TEXTS.items()}
PROPERTY = settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))


def decoded_or_refused(data: bytes, event: type[Any]) -> Any:
    try:
        return CODEC.decode(data, event)
    except (SchemaInvalidError, SchemaUnknownError):
        return None


@pytest.mark.parametrize("event", EVENTS)
@PROPERTY
@given(data=st.data())
def test_every_record_comes_back_and_its_claims_end_where_its_bytes_end(event: type[Any], data: st.DataObject) -> None:
    record = data.draw(records_of(event))
    encoded = CODEC.encode(record)
    assert CODEC.decode(encoded, event) == record
    assert bounds_of(parse_schema(json.loads(TEXTS[event.__name__])))(encoded, FRAMING.size) == len(encoded)


@pytest.mark.parametrize("event", EVENTS)
def test_the_pieces_that_are_spoilt_are_what_the_codec_writes(event: type[Any]) -> None:
    sample = SAMPLES[event.__name__]
    pieces = WRITERS[event.__name__].pieces(sample.to_avro())
    assert b"".join(piece.data for piece in pieces) == CODEC.encode(sample)[FRAMING.size :]


@PROPERTY
@given(st.sampled_from(EVENTS), st.binary(max_size=300), st.booleans())
def test_any_bytes_are_an_event_or_refused(event: type[Any], body: bytes, framed: bool) -> None:
    head = CODEC.encode(SAMPLES[event.__name__])[: FRAMING.size] if framed else b""
    decoded_or_refused(head + body, event)


@pytest.mark.parametrize("event", EVENTS)
@PROPERTY
@given(seed=st.integers(0, 2**32))
def test_wrong_avro_is_refused_or_is_an_event_that_can_be_written(event: type[Any], seed: int) -> None:
    sample = SAMPLES[event.__name__]
    pieces = WRITERS[event.__name__].pieces(sample.to_avro())
    found = decoded_or_refused(CODEC.encode(sample)[: FRAMING.size] + spoilt(pieces, random.Random(seed)), event)
    if found is not None:
        encoded = CODEC.encode(found)
        assert CODEC.encode(CODEC.decode(encoded, event)) == encoded


@pytest.mark.parametrize("event", EVENTS)
@PROPERTY
@given(seed=st.integers(0, 2**32))
def test_what_is_accepted_the_reference_implementation_reads_alike(event: type[Any], seed: int) -> None:
    """Apache's own reader, which is what Java and others do: no event that only we can read."""
    sample = SAMPLES[event.__name__]
    pieces = WRITERS[event.__name__].pieces(sample.to_avro())
    found = decoded_or_refused(CODEC.encode(sample)[: FRAMING.size] + spoilt(pieces, random.Random(seed)), event)
    if found is None:
        return
    body = io.BytesIO(CODEC.encode(found)[FRAMING.size :])
    reader = avro.io.DatumReader(_reference(event.__name__))
    theirs = reader.read(avro.io.BinaryDecoder(body))
    assert body.read() == b""
    ours = found.to_avro()
    plain = {name for name, value in ours.items() if type(value) in (int, bool, bytes, type(None))}
    assert {name: theirs[name] for name in plain} == {name: ours[name] for name in plain}
    assert set(theirs) == set(ours)


_REFERENCES: dict[str, Any] = {}


def _reference(name: str) -> Any:
    if name not in _REFERENCES:
        _REFERENCES[name] = avro.schema.parse(TEXTS[name])
    return _REFERENCES[name]


@PROPERTY
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 20))
def test_a_number_is_read_as_it_is_written(number: int, behind: int) -> None:
    data = varint(number)
    assert read_long(data + b"\xff" * behind, 0) == (number, len(data))


@PROPERTY
@given(st.binary(min_size=MAX_VARINT_BYTES, max_size=40).map(lambda data: bytes(byte | 0x80 for byte in data)))
def test_a_number_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        read_long(data, 0)


BODY = CODEC.encode(frame(attributes={}))[:-1]  # without the end of its attributes


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        (varint(2**60), "1152921504606846976 items"),
        (varint(-(2**60)) + varint(0), "1152921504606846976 items"),
        (varint(-(2**63)) + varint(0) + b"\0", "9223372036854775808 items"),
        (varint(-1) + varint(2**60), "bytes are claimed"),
        (varint(-1) + varint(-2), "bytes are claimed"),
        (varint(1) + varint(2**60) + b"k", "1152921504606846976 bytes are claimed"),
        (varint(1) + varint(-1) + b"k", "-1 bytes are claimed"),
        (varint(MAX_ITEMS + 1), f"{MAX_ITEMS + 1} items"),
        (varint(MAX_ITEMS) + b"\0\0" * MAX_ITEMS + varint(1), f"{MAX_ITEMS + 1} items"),
        (b"\x80" * 11 + b"\0", "more than 64 bits"),
        (b"\xff" * 9 + b"\x7f", "more than 64 bits"),
        (b"\x80" * (8 << 20) + b"\0", "more than 64 bits"),
        (varint(1), "end within the number"),
        (b"", "end within the number"),
    ],
)
def test_a_claim_is_refused_before_anything_is_allocated_for_it(attributes: bytes, words: str) -> None:
    with pytest.raises(SchemaInvalidError, match=words):
        CODEC.decode(BODY + attributes, FrameCaptured)


@pytest.mark.parametrize("number", [2**31, -(2**31) - 1, 2**60, -(2**63)])
def test_a_number_that_other_languages_could_not_read_is_refused(number: int) -> None:
    pieces = WRITERS["FrameCaptured"].pieces(frame().to_avro() | {"width": number})
    with pytest.raises(SchemaInvalidError, match="must have 32 bits"):
        CODEC.decode(CODEC.encode(frame())[: FRAMING.size] + b"".join(p.data for p in pieces), FrameCaptured)


class _Foreign:
    """A registry with one schema of its own, id 9."""

    def __init__(self, schema: Any) -> None:
        self._schema = parse_schema(schema)

    def id_of(self, record: str) -> int:
        return 9

    def writer_schema(self, schema_id: int) -> Any:
        return self._schema


def foreign(*fields: dict[str, Any]) -> tuple[Codec, bytes]:
    """A codec whose writers add fields of their own behind a claim of a station, and a body without those."""
    schema = json.loads(TEXTS["StationClaim"])
    codec = Codec(_Foreign(schema | {"fields": [*schema["fields"], *fields]}))
    return codec, FRAMING.pack(0, 9) + CODEC.encode(SAMPLES["StationClaim"])[FRAMING.size :]


def test_items_of_no_bytes_are_counted_too() -> None:
    codec, body = foreign({"name": "more", "type": {"type": "array", "items": "null"}})
    assert codec.decode(body + varint(3) + b"\0", records.StationClaim) == SAMPLES["StationClaim"]
    with pytest.raises(SchemaInvalidError, match="items"):
        codec.decode(body + varint(2**40) + b"\0", records.StationClaim)


def test_values_within_values_without_end_are_refused() -> None:
    link = {"type": "record", "name": "Link", "fields": [{"name": "next", "type": ["null", "Link"], "default": None}]}
    codec, body = foreign({"name": "more", "type": link})
    assert codec.decode(body + varint(1) * 20 + varint(0), records.StationClaim) == SAMPLES["StationClaim"]
    with pytest.raises(SchemaInvalidError, match="RecursionError"):
        codec.decode(body + varint(1) * 100_000 + varint(0), records.StationClaim)


@pytest.fixture(scope="module")
def hostile() -> Iterator[Events]:
    events = Events(0)
    yield events
    events.close()


@PROPERTY
@given(frame_=records_of(FrameCaptured), key=st.none() | st.binary(max_size=100))
def test_any_frame_ends_in_a_verdict_or_a_dead_letter_that_can_be_sent(
    hostile: Events, frame_: FrameCaptured, key: bytes | None
) -> None:
    sent = arrival(frame_, key=key)
    outputs = hostile.bench.inspect(sent, {})
    assert outputs.verdict or outputs.dead_letter
    hostile.judged(outputs, sent)


@pytest.mark.parametrize("count", [0, 1, MAX_ITEMS, MAX_ITEMS + 1])
def test_a_dead_letter_keeps_what_readers_can_read_back(hostile: Events, count: int) -> None:
    sent = arrival(b"no event", headers=(("k", None),) * count)
    letter = hostile.bench.inspect(sent, {}).dead_letter
    assert letter is not None
    assert letter.reason is Reason.SCHEMA_INVALID
    read = CODEC.decode(CODEC.encode(letter), records.DeadLetter)
    assert (read.headers, read.value, read.detail) == (letter.headers, letter.value, letter.detail)
    assert letter.value == (b"no event" if count <= MAX_ITEMS else None)
    assert ("not kept here" in letter.detail) == (count > MAX_ITEMS)
