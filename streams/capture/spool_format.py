"""The bytes of the gateway's spool: records in segment files, and the place up to which they are done. Pure.

A record is a header of 32 bytes and a body. The header has a checksum of its own, so that its length can be trusted;
the body's checksum stands in it. Records are numbered without a gap: a number that is missing is a damaged record. What
stands between two whole records, or behind the last one, and is none is Damage. Knows no files, no frames, no clock.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MAGIC = b"LSP1"  # another format takes another number
BODY_MAX_BYTES = 1 << 30
_HEADER = struct.Struct(">4sIQqI")  # magic, bytes of the body, number, at_ms, the body's CRC-32; then the header's own
_CRC = struct.Struct(">I")
HEADER_BYTES = _HEADER.size + _CRC.size
_SEARCH_BYTES = 1 << 20

_PLACE_MAGIC = b"LSA1"
_PLACE = struct.Struct(">4sQQ")  # magic, how many places were noted before, the place
PLACE_BYTES = _PLACE.size + _CRC.size

Read = Callable[[int, int], bytes]
"""Bytes of a segment: offset and length; fewer come only at its end."""


@dataclass(frozen=True, slots=True)
class Header:
    """What is known of a record before its body is read. `at_ms`: a time since 1970, for its age."""

    offset: int
    body_bytes: int
    number: int
    at_ms: int
    body_crc: int

    @property
    def end(self) -> int:
        """Offset behind the record."""
        return self.offset + HEADER_BYTES + self.body_bytes


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes of a segment that are no record."""

    offset: int
    end: int


def pack(number: int, at_ms: int, body: bytes) -> bytes:
    """One record. ValueError for a body above BODY_MAX_BYTES."""
    if len(body) > BODY_MAX_BYTES:
        raise ValueError(f"a record holds {BODY_MAX_BYTES} bytes at most; came {len(body)}")
    head = _HEADER.pack(MAGIC, len(body), number, at_ms, zlib.crc32(body))
    return head + _CRC.pack(zlib.crc32(head)) + body


def header_at(read: Read, offset: int, end: int) -> Header | None:
    """The header at an offset of a segment that is `end` bytes long; None where no whole record can stand there."""
    return _header(read(offset, HEADER_BYTES), offset, end)


def record_at(read: Read, offset: int, end: int) -> tuple[Header, bytes] | Damage:
    """The record at an offset with its body, or the damage there, which ends where the next header is found.

    A damaged length, or bytes that are gone, hide nothing behind them.
    """
    header = header_at(read, offset, end)
    if header is not None:
        body = read(offset + HEADER_BYTES, header.body_bytes)
        if len(body) == header.body_bytes and zlib.crc32(body) == header.body_crc:
            return header, body
    return Damage(offset, next_record(read, offset + 1, end))


def walk(read: Read, start: int, end: int, bodies: bool) -> Iterator[Header | Damage]:
    """The headers of a segment from `start`, and what is no record between them; `bodies` are checked where True."""
    offset = start
    while offset < end:
        found: Header | Damage | None = None if bodies else header_at(read, offset, end)
        if found is None:
            record = record_at(read, offset, end)
            found = record if isinstance(record, Damage) else record[0]
        yield found
        offset = found.end


def next_record(read: Read, start: int, end: int) -> int:
    """Offset of the first header at or behind `start`; `end` where there is none."""
    while start < end:
        block = read(start, _SEARCH_BYTES + HEADER_BYTES)
        at = block.find(MAGIC)
        while at >= 0:
            if _header(block[at : at + HEADER_BYTES], start + at, end) is not None:
                return start + at
            at = block.find(MAGIC, at + 1)
        start += _SEARCH_BYTES  # what begins in the overlap is found again
    return end


def pack_place(noted: int, place: int) -> bytes:
    """One note of a place: all records numbered below it are done. `noted` grows with every note."""
    head = _PLACE.pack(_PLACE_MAGIC, noted, place)
    return head + _CRC.pack(zlib.crc32(head))


def unpack_place(data: bytes) -> tuple[int, int] | None:
    """(noted, place); None for bytes that are no whole note."""
    if len(data) != PLACE_BYTES or _CRC.pack(zlib.crc32(data[: _PLACE.size])) != data[_PLACE.size :]:
        return None
    magic, noted, place = _PLACE.unpack(data[: _PLACE.size])
    return (noted, place) if magic == _PLACE_MAGIC else None


def _header(data: bytes, offset: int, end: int) -> Header | None:
    if len(data) < HEADER_BYTES or _CRC.pack(zlib.crc32(data[: _HEADER.size])) != data[_HEADER.size :]:
        return None
    magic, body_bytes, number, at_ms, body_crc = _HEADER.unpack(data[: _HEADER.size])
    header = Header(offset, body_bytes, number, at_ms, body_crc)
    return header if magic == MAGIC and header.end <= end else None
