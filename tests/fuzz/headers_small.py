"""Changes of the headers of BMP and WebP. Knows no decoder."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.fuzz.mutations import EDGES, WIDE_EDGES, Change

_BMP_SIDES = (0, 1, 15, 16, 50, 5000, 10_000, 10_001, 2**31 - 1, 2**31, 2**32 - 1, 2**32 - 16, 2**32 - 40)
_WEBP_KINDS = (b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP", b"XMP ", b"\0\0\0\0")


def _put(data: bytes, at: int, number: int, width: int) -> bytes:
    return data[:at] + (number & (2 ** (8 * width) - 1)).to_bytes(width, "little") + data[at + width :]


def _bmp_field(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """One field of the file's or the picture's header."""
    at, width, values = rng.choice(
        (
            (2, 4, WIDE_EDGES),
            (10, 4, (0, 13, 14, 26, 53, 54, 55, 1000, 2**31, 2**32 - 1)),
            (14, 4, (0, 11, 12, 13, 16, 40, 52, 56, 64, 108, 124, 125, 2**31)),
            (18, 4, _BMP_SIDES),
            (22, 4, _BMP_SIDES),
            (26, 2, (0, 1, 2, 65_535)),
            (28, 2, (0, 1, 2, 4, 8, 15, 16, 24, 32, 33, 64, 65_535)),
            (30, 4, (0, 1, 2, 3, 4, 5, 6, 11, 12, 13, 2**32 - 1)),
            (34, 4, WIDE_EDGES),
            (46, 4, (0, 1, 2, 255, 256, 257, 2**16, 2**31, 2**32 - 1)),
            (54, 4, (0, 0xFF, 0xFF00, 0x7C00, 0xFF000000, 0xFFFFFFFF)),
            (58, 4, (0, 0xFF, 0xFF00, 0x3E0, 0xFFFFFFFF)),
        )
    )
    return _put(data, at, rng.choice(values), width)


def _bmp_run_lengths(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A picture by run lengths, of odd runs: jumps out of the picture, no end."""
    side = rng.choice((16, 50, 1000))
    head = b"BM" + bytes(8) + (54 + 1024).to_bytes(4, "little") + (40).to_bytes(4, "little")
    head += side.to_bytes(4, "little") * 2 + b"\1\0" + rng.choice((4, 8)).to_bytes(2, "little")
    head += rng.choice((1, 2)).to_bytes(4, "little") + bytes(20)
    runs = (b"\0\0", b"\0\2\xff\xff", b"\0\1", b"\xff\x05", b"\0\xff" + bytes(256), b"\0\3abc", b"\1\7")
    body = b"".join(rng.choice(runs) * rng.choice((1, 3, 50)) for _ in range(rng.randrange(60)))
    return head + bytes(range(256)) * 4 + body


def _webp_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 12, []
    while at + 8 <= len(data):
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        found.append((data[at : at + 4], data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found


def _webp_joined(parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"WEBP"
    for kind, payload in parts:
        body += kind + len(payload).to_bytes(4, "little") + payload + bytes(len(payload) % 2)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _webp_size(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """The file, or its first chunk, claims another length."""
    at = rng.choice((4, 16))
    return _put(data, at, rng.choice((*WIDE_EDGES, len(data) - 8, len(data) - 7, len(data) - 20)), 4)


def _webp_picture(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A byte of the first chunk's header: flags, size, version."""
    at = 20 + rng.randrange(12)
    return data[:at] + bytes([rng.choice(EDGES)]) + data[at + 1 :]


def _webp_order(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A chunk is gone, comes twice, somewhere else, under another name or from another file."""
    parts = _webp_chunks(data)
    if not parts:
        return data
    at = rng.randrange(len(parts))
    match rng.randrange(5):
        case 0:
            del parts[at]
        case 1:
            parts[at:at] = [parts[at]] * rng.choice((1, 10))
        case 2:
            parts.insert(rng.randrange(len(parts)), parts.pop(at))
        case 3:
            parts[at] = (rng.choice(_WEBP_KINDS), parts[at][1])
        case _:
            parts[at:at] = _webp_chunks(rng.choice(others))[:1]
    return _webp_joined(parts)


def _webp_extended(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A canvas of an odd size in front: larger than its picture, of millions of pixels, animated without frames."""
    sides = b"".join((rng.choice((15, 49, 9_999, 16_383, 2**24 - 1))).to_bytes(3, "little") for _ in range(2))
    extended = (b"VP8X", bytes([rng.choice((0, 2, 16, 8, 32, 255)), 0, 0, 0]) + sides)
    parts = [part for part in _webp_chunks(data) if part[0] != b"VP8X"]
    if rng.random() < 0.3:
        frame = bytes(6) + sides + bytes(4)
        inner = b"".join(kind + len(p).to_bytes(4, "little") + p + bytes(len(p) % 2) for kind, p in parts[:1])
        parts = [(b"ANIM", bytes(6)), (b"ANMF", frame + inner), *parts[1:]]
    return _webp_joined([extended, *parts])


BMP_CHANGES: tuple[Change, ...] = (_bmp_field, _bmp_field, _bmp_field, _bmp_run_lengths)
WEBP_CHANGES: tuple[Change, ...] = (_webp_size, _webp_picture, _webp_picture, _webp_order, _webp_extended)
