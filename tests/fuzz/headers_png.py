"""Changes of a PNG's chunks, checksums made right again so that what is behind them is reached. Knows no decoder."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from functools import cache

from tests.fuzz.mutations import EDGES, Change, changed

SIDES = (0, 1, 15, 16, 17, 50, 800, 801, 5000, 10_000, 10_001, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
_START = 8
_BOMB_BYTES = 64 << 20  # inflated, of a chunk that should never be inflated
_LARGEST_SHARE = 0.02  # of bombs that are pictures of 100 megapixels, allowed and slow


def chunk(kind: bytes, payload: bytes) -> bytes:
    body = kind + payload
    return len(payload).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and payload of each chunk, as far as lengths go."""
    at, found = _START, []
    while at + 8 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(data: bytes, parts: Sequence[tuple[bytes, bytes]]) -> bytes:
    return data[:_START] + b"".join(chunk(kind, payload) for kind, payload in parts)


def _header(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A side, the depth, the colour type or a method of the header."""
    parts = chunks(data)
    if not parts or len(parts[0][1]) != 13:
        return data
    payload = bytearray(parts[0][1])
    at = rng.choice((0, 0, 4, 4, 8, 9, 10, 11, 12))
    if at < 8:
        payload[at : at + 4] = rng.choice(SIDES).to_bytes(4, "big")
    else:
        payload[at] = rng.choice((0, 1, 2, 3, 4, 6, 7, 8, 16, 255))
    return joined(data, [(parts[0][0], bytes(payload)), *parts[1:]])


def _payload(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """What is in a chunk is changed, its checksum made right again."""
    parts = chunks(data)
    if not parts:
        return data
    at = rng.randrange(len(parts))
    parts[at] = (parts[at][0], changed(parts[at][1], rng, others))
    return joined(data, parts)


def _rows(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The inflated rows are changed (filters, lengths) and deflated again."""
    parts = chunks(data)
    try:
        rows = zlib.decompressobj().decompress(b"".join(p for kind, p in parts if kind == b"IDAT"), 1 << 20)
    except zlib.error:
        return data
    packed = zlib.compress(changed(rows, rng, others), rng.choice((0, 1, 9)))
    middle = rng.randrange(len(packed) + 1)
    rest = [part for part in parts if part[0] != b"IDAT"]
    pixels = [(b"IDAT", packed[:middle]), (b"IDAT", packed[middle:])]
    return joined(data, [*rest[:-1], *pixels, *rest[-1:]])


def _length(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A chunk claims another length."""
    starts, at = [], _START
    while at + 8 <= len(data):
        starts.append(at)
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    at = rng.choice(starts or [0])
    claimed = rng.choice((0, 1, 12, 13, 14, 255, 2**16, 2**31 - 1, 2**31, 2**32 - 1))
    return data[:at] + claimed.to_bytes(4, "big") + data[at + 4 :]


def _order(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A chunk is gone, comes twice or a thousand times, somewhere else, from another file, or under another name."""
    parts = chunks(data)
    if not parts:
        return data
    at = rng.randrange(len(parts))
    match rng.randrange(6):
        case 0:
            del parts[at]
        case 1:
            parts.insert(at, parts[at])
        case 2:
            parts[at:at] = [(parts[at][0], parts[at][1][:64])] * rng.choice((10, 1000))
        case 3:
            parts.insert(rng.randrange(len(parts)), parts.pop(at))
        case 4:
            parts[at:at] = chunks(rng.choice(others))[:2]
        case _:
            kinds = (b"IHDR", b"PLTE", b"IDAT", b"IEND", b"acTL", b"fdAT", b"tRNS", b"CgBI", b"aaaa", b"AAAA", b"\0\0")
            parts[at] = (rng.choice(kinds), parts[at][1])
    return joined(data, parts)


@cache
def _deflated(nbytes: int) -> bytes:
    """So many zeros, deflated."""
    return zlib.compress(bytes(nbytes))


def _bomb(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A little that inflates to much: as text, as profile, as pixels behind the last row, as the picture itself."""
    parts = chunks(data)
    zeros = _deflated(_BOMB_BYTES if rng.random() < 0.1 else 1 << 20)
    match rng.randrange(4):
        case 0:
            parts.insert(1, (b"zTXt", b"k\0\0" + zeros))
        case 1:
            parts.insert(1, (b"iCCP", b"p\0\0" + zeros))
        case 2:
            parts.insert(1, (b"iTXt", b"k\0\1\0\0\0" + zeros))
        case _:
            side = 10_000 if rng.random() < _LARGEST_SHARE else rng.choice((100, 500, 1000))
            head = side.to_bytes(4, "big") * 2 + bytes([1, rng.choice((0, 3)), 0, 0, 0])
            rows = _deflated((1 + (side + 7) // 8) * side + rng.choice((-1, 0, 0, 1, 1 << 20)))
            parts = [(b"IHDR", head), (b"PLTE", bytes(6)), (b"IDAT", rows), (b"IEND", b"")]
    return joined(data, parts)


def _palette(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A palette of an odd length, and a picture that may need another."""
    parts = [part for part in chunks(data) if part[0] != b"PLTE"]
    parts.insert(min(1, len(parts)), (b"PLTE", rng.randbytes(rng.choice((0, 1, 2, 3, 4, 6, 768, 769, 771, 3000)))))
    return joined(data, parts)


def _exif(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    parts = chunks(data)
    order = rng.choice((b"II*\0", b"MM\0*", b"XX"))
    body = order + bytes(rng.choice(EDGES) for _ in range(rng.choice((0, 4, 10, 30))))
    return joined(data, [*parts[:1], (b"eXIf", body), *parts[1:]])


CHANGES: tuple[Change, ...] = (
    _header,
    _header,
    _payload,
    _payload,
    _rows,
    _rows,
    _length,
    _order,
    _bomb,
    _palette,
    _exif,
)
