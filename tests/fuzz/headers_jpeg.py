"""Changes of a JPEG's segments: lengths, sizes, samplings, scans, tables, EXIF. Knows no decoder."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.fuzz.mutations import EDGES, Change

SIDES = (0, 1, 8, 15, 16, 17, 50, 750, 751, 8000, 10_000, 32_768, 65_500, 65_535)
_SOS, _FRAMES = 0xDA, (0xC0, 0xC1, 0xC2)
_SAMPLINGS = (0x00, 0x11, 0x12, 0x21, 0x22, 0x41, 0x14, 0x44, 0x31, 0xF1, 0x1F, 0xFF)


def segments(data: bytes) -> list[bytes]:
    """The file in pieces, a segment each: marker, length, payload, and the scan behind it where it has one."""
    at, pieces = 2, [data[:2]]
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] not in (0xD8, 0xD9):
        end = at + 2 + max(2, int.from_bytes(data[at + 2 : at + 4], "big"))
        if data[at + 1] == _SOS:
            while end + 1 < len(data) and not (data[end] == 0xFF and data[end + 1] not in (0, *range(0xD0, 0xD8))):
                end += 1
        pieces.append(data[at:end])
        at = end
    return [*pieces, data[at:]]


def _edited(data: bytes, rng: random.Random, markers: Sequence[int], edit: tuple[int, Sequence[int], int]) -> bytes:
    """A number of `edit[2]` bytes at offset `edit[0]` of a segment with one of `markers` becomes one of `edit[1]`."""
    pieces = segments(data)
    found = [i for i, part in enumerate(pieces) if i and part[1:2] and (not markers or part[1] in markers)]
    if not found:
        return data
    chosen, (at, values, width) = rng.choice(found), edit
    number = rng.choice(values) & (2 ** (8 * width) - 1)
    part = pieces[chosen]
    pieces[chosen] = part[:at] + number.to_bytes(width, "big") + part[at + width :]
    return b"".join(pieces)


def _length(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return _edited(data, rng, (), (2, (0, 1, 2, 3, 4, 8, 255, 256, 65_534, 65_535), 2))


def _side(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return _edited(data, rng, _FRAMES, (rng.choice((5, 7)), SIDES, 2))


def _frame_byte(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """Precision, number of components, their ids, samplings or tables."""
    at = rng.choice((4, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18))
    return _edited(data, rng, _FRAMES, (at, _SAMPLINGS if at % 3 == 2 else EDGES, 1))


def _scan_byte(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return _edited(data, rng, (_SOS,), (rng.randrange(4, 14), (*EDGES, 0x10, 0x21, 0xDD), 1))


def _table_byte(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """Quantization and Huffman tables, restart interval."""
    return _edited(data, rng, (0xDB, 0xC4, 0xDD), (rng.randrange(4, 40), EDGES, 1))


def _marker(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return _edited(data, rng, (), (1, (*range(0xC0, 0xE3), 0xEE, 0xFE, 0x00, 0x01, 0xFF), 1))


def _order(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A segment is gone, comes twice or a hundred times, somewhere else, or from another file."""
    pieces = segments(data)
    at = rng.randrange(1, len(pieces))
    match rng.randrange(5):
        case 0:
            del pieces[at]
        case 1:
            pieces.insert(at, pieces[at])
        case 2:
            pieces[at:at] = [pieces[at]] * rng.choice((10, 99, 100, 101, 300))
        case 3:
            pieces.insert(rng.randrange(1, len(pieces)), pieces.pop(at))
        case _:
            pieces.insert(at, rng.choice(segments(rng.choice(others))))
    return b"".join(pieces)


def _exif(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """An EXIF block with an odd directory: orientation out of range, entries without end, offsets into itself."""
    count = rng.choice((0, 1, 2, 65_535))
    entry = b"\x12\x01" + rng.choice((3, 4, 99)).to_bytes(2, "little") + b"\1\0\0\0"
    entry += rng.choice((0, 1, 3, 6, 8, 9, 65_535)).to_bytes(4, "little")
    offset = rng.choice((8, 0, 4, 7, 2**31, 2**32 - 1)).to_bytes(4, "little")
    body = b"Exif\0\0" + b"II*\0" + offset + count.to_bytes(2, "little") + entry * min(count, 50)
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


CHANGES: tuple[Change, ...] = (
    *(_length, _side, _side, _frame_byte, _frame_byte, _scan_byte, _scan_byte, _table_byte, _marker, _order, _exif),
)
