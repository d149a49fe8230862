"""A record that can't be read costs itself and what its producer put behind it, and never the partition."""

from __future__ import annotations

from typing import Any

import aiokafka.consumer.fetcher as fetcher
import pytest
from aiokafka import TopicPartition
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from schemas.records import Reason
from streams.bus import connect  # noqa: F401  # whose import hardens every consumer
from streams.bus.batches import INFLATED_MAX_BYTES, WHY_HEADER
from tests.builders import CODEC, Bench, FakeSender, frame
from tests.fuzz.process_memory import forget_peak, resident_and_peak_bytes

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
HEADER = ("zz", b"1")


def batch(*values: bytes, codec: int = NONE, base: int = 0, headers: Any = (HEADER,)) -> bytes:
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1 << 30)
    for number, value in enumerate(values):
        assert builder.append(number, timestamp=7, key=b"k", value=value, headers=list(headers))
    data = bytearray(builder.build())
    data[:8] = base.to_bytes(8, "big")  # which the checksum doesn't cover
    return bytes(data)


def read(*batches: bytes, at: int = 0) -> list[Any]:
    """As a consumer reads them, checksums aside: tests change bytes."""
    records = MemoryRecords(b"".join(batches))
    return list(fetcher.PartitionRecords(TopicPartition("t", 0), records, [], at, None, None, False, 0))


@pytest.mark.parametrize("codec", [NONE, GZIP, SNAPPY, LZ4, ZSTD])
def test_good_records_come_as_they_are(codec: int) -> None:
    found = read(batch(b"a", b"b" * 100_000, codec=codec), batch(b"c", codec=codec, base=2))
    assert [(r.offset, r.value, r.key, r.headers) for r in found] == [
        (0, b"a", b"k", (HEADER,)),
        (1, b"b" * 100_000, b"k", (HEADER,)),
        (2, b"c", b"k", (HEADER,)),
    ]


def test_a_header_key_that_is_no_text_costs_its_record_and_not_the_partition() -> None:
    bad = batch(b"b", base=1).replace(b"zz", b"\xff\xfe")
    found = read(batch(b"a"), bad, batch(b"c", base=2))
    assert [(r.offset, r.value) for r in found] == [(0, b"a"), (1, None), (2, b"c")]
    ((name, why),) = found[1].headers
    assert (name, why[:18], found[1].timestamp) == (WHY_HEADER, b"UnicodeDecodeError", 7)


def test_a_reader_in_the_middle_of_a_bad_batch_goes_on_where_it_was() -> None:
    bad = batch(b"a", b"b", b"c").replace(b"zz", b"\xff\xfe")
    assert [r.offset for r in read(bad, at=1)] == [1, 2]


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_batch_that_inflates_beyond_the_limit_is_never_whole_in_memory(codec: int) -> None:
    bomb = batch(bytes(6 * INFLATED_MAX_BYTES), codec=codec)
    assert len(bomb) < 8 << 20
    forget_peak()
    before, _ = resident_and_peak_bytes()
    found = read(bomb, batch(b"c", base=1))
    _, peak = resident_and_peak_bytes()
    assert [(r.offset, r.value) for r in found] == [(0, None), (1, b"c")]
    assert peak - before < 3 * INFLATED_MAX_BYTES


@pytest.mark.parametrize("codec", [GZIP, SNAPPY, LZ4, ZSTD])
def test_compressed_bytes_that_are_damaged_give_their_offsets(codec: int) -> None:
    whole = batch(b"a" * 1000, b"b" * 1000, codec=codec)
    header_bytes = 61
    damaged = whole[:header_bytes] + b"\xaa" * (len(whole) - header_bytes)
    assert [(r.offset, r.value) for r in read(damaged)] == [(0, None), (1, None)]


async def test_inspection_makes_a_dead_letter_of_it_that_says_why(tmp_path: Any) -> None:
    (bad,) = read(batch(CODEC.encode(frame())).replace(b"zz", b"\xff\xfe"))
    bench = Bench(tmp_path, sender=FakeSender())
    try:
        await bench.accept(bad.value, bad.offset, headers=bad.headers, key=bad.key)
        await bench.run()
    finally:
        bench.close()
    (letter,) = bench.sender.records("deadletters")
    assert (letter.reason, letter.headers[0].key) == (Reason.TOMBSTONE, WHY_HEADER)
    assert bench.acked == [0]
