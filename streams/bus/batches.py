"""Record batches as hostile input: what can't be read costs its own records, never the partition.

Place in the flow: below every consumer, Faust's too. Seen with aiokafka 0.14: a header key that is no UTF-8 raises
out of the fetcher, so that a reader of that partition never gets past it; and a batch of 8 MiB, the most that a topic
takes, may inflate to many gigabytes. Here such a record, and what stands behind it in its batch, comes without key,
value and headers of its own, so that inspection makes dead letters of them, in order, and other readers skip them.
`harden` is called once, where `streams.bus.connect` is imported. Knows no topic.
"""

from __future__ import annotations

import logging
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import aiokafka.consumer.fetcher as fetcher
import aiokafka.record.default_records as records
import cramjam
import numpy as np

log = logging.getLogger(__name__)

INFLATED_MAX_BYTES = 64 << 20  # of a batch: eight times what `frames` accepts; raw pictures shrink to a third or so
WHY_HEADER = "lineside_unreadable"  # of a record that stands for one that can't be read
_WHY_MAX_CHARS = 200
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """Stands for a record that can't be read; the attributes are aiokafka's."""

    offset: int
    timestamp: int
    timestamp_type: int
    headers: tuple[tuple[str, bytes], ...]
    key: None = None
    value: None = None
    checksum: None = None


class SafeBatch:
    """A batch of which every offset is given, readable or not; all else as aiokafka's own."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch
        self._records: Iterator[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        if self._records is None:
            self._records = self._all()
        return next(self._records)

    def _all(self) -> Iterator[Any]:
        offset = self._batch.base_offset
        try:
            for record in self._batch:
                offset = record.offset + 1
                yield record
        except MemoryError:
            raise
        except Exception as error:  # a damaged batch raises whatever it trips over, in four codecs and a C extension
            log.warning("offsets %d to %d can't be read: %s", offset, self._batch.next_offset - 1, error)
            why = f"{type(error).__name__}: {error}"[:_WHY_MAX_CHARS].encode(errors="replace")
            for unread in range(offset, self._batch.next_offset):
                yield UnreadableRecord(
                    unread, self._batch.max_timestamp, self._batch.timestamp_type, ((WHY_HEADER, why),)
                )


class _SafeRecords:
    """aiokafka's records of one fetch, a safe batch at a time."""

    def __init__(self, fetched: Any) -> None:
        self._fetched = fetched

    def has_next(self) -> bool:
        return bool(self._fetched.has_next())

    def next_batch(self) -> SafeBatch:
        return SafeBatch(self._fetched.next_batch())


class SafePartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """What a consumer iterates over."""

    def __init__(self, tp: Any, fetched: Any, *rest: Any) -> None:
        super().__init__(tp, _SafeRecords(fetched), *rest)


def gunzipped(data: Any) -> bytes:
    """ValueError for more than INFLATED_MAX_BYTES."""
    inflater = zlib.decompressobj(_GZIP)
    inflated = inflater.decompress(bytes(data), INFLATED_MAX_BYTES)
    if not inflater.eof:
        raise ValueError(f"a batch that is cut off, or inflates to more than {INFLATED_MAX_BYTES} bytes")
    return inflated


def _bounded(decompress_into: Callable[[bytes, Any], int]) -> Callable[[Any], bytes]:
    """cramjam into a place of fixed size: untouched, it takes no memory."""

    def inflated(data: Any) -> bytes:
        place = np.empty(INFLATED_MAX_BYTES, np.uint8)
        return place[: decompress_into(bytes(data), place)].tobytes()

    return inflated


def harden() -> None:
    """Every consumer of this process reads so. snappy is left as it is: it can't shrink to less than a 22nd."""
    batches: Any = sys.modules[records.DefaultRecordBatch.__module__]  # the compiled module, or the one in Python
    batches.gzip_decode = gunzipped
    batches.zstd_decode = _bounded(cramjam.zstd.decompress_into)
    batches.lz4_decode = _bounded(cramjam.lz4.decompress_into)
    fetcher.PartitionRecords = SafePartitionRecords
