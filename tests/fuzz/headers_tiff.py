"""Changes of a TIFF's directory: tags, types, counts, offsets, loops, strips and tiles. Knows no decoder."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from tests.fuzz.mutations import WIDE_EDGES, Change

_TAGS = (
    *(254, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 330),
    *(332, 338, 339, 347, 512, 513, 514, 529, 530, 531, 532, 700, 34665, 34675, 50706),
)
_COMPRESSIONS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 32771, 32773, 32809, 32946, 34661, 34712, 34887, 34925, 50000, 50001)
_SMALL = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 16, 17, 24, 32, 64, 255, 65_535)


class _Table:
    """The first directory of a file, to be changed entry by entry; entries are 12 bytes."""

    def __init__(self, data: bytes) -> None:
        self.order = ">" if data[:2] == b"MM" else "<"
        self.data = data
        self.at = int(struct.unpack_from(self.order + "I", data.ljust(8, b"\0"), 4)[0])
        count = struct.unpack_from(self.order + "H", data, self.at)[0] if self.at + 2 <= len(data) else 0
        starts = range(self.at + 2, min(self.at + 2 + 12 * count, len(data) - 11), 12)
        self.entries = [data[start : start + 12] for start in starts]
        self.next_offset = bytes(4)
        self.count: int | None = None  # what the file says, where it shall lie

    def entry(self, tag: int, kind: int, count: int, value: int) -> bytes:
        head = struct.pack(self.order + "HHI", tag & 0xFFFF, kind & 0xFFFF, count & 0xFFFFFFFF)
        if kind == 3 and value < 65_536:
            return head + struct.pack(self.order + "HH", value, 0)
        return head + struct.pack(self.order + "I", value & 0xFFFFFFFF)

    def bytes(self) -> bytes:
        """The file with its directory written behind it."""
        count = len(self.entries) if self.count is None else self.count
        body = struct.pack(self.order + "H", count & 0xFFFF) + b"".join(self.entries) + self.next_offset
        head = self.data[:4] + struct.pack(self.order + "I", len(self.data))
        return head + self.data[8:] + body


def _tag_set(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A tag gets another value, as one short or long number."""
    table = _Table(data)
    tag = rng.choice(_TAGS)
    values = _COMPRESSIONS if tag == 259 else _SMALL if rng.random() < 0.6 else WIDE_EDGES
    table.entries = [e for e in table.entries if struct.unpack_from(table.order + "H", e)[0] != tag]
    table.entries.append(table.entry(tag, rng.choice((3, 4)), 1, rng.choice(values)))
    table.entries.sort(key=lambda e: struct.unpack_from(table.order + "H", e)[0])
    return table.bytes()


def _field(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """Tag, type, count or value of an entry."""
    table = _Table(data)
    if not table.entries:
        return data
    at = rng.randrange(len(table.entries))
    entry = table.entries[at]
    offset, form, values = rng.choice(
        ((0, "H", _TAGS), (2, "H", (*range(20), 65_535)), (4, "I", WIDE_EDGES), (8, "I", (*WIDE_EDGES, len(data) - 1)))
    )
    number = rng.choice(values) & (0xFFFF if form == "H" else 0xFFFFFFFF)
    new = struct.pack(table.order + form, number)
    table.entries[at] = entry[:offset] + new + entry[offset + len(new) :]
    return table.bytes()


def _order(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """An entry is gone, comes twice or a thousand times, or from another file; or the order is another."""
    table = _Table(data)
    if not table.entries:
        return data
    at = rng.randrange(len(table.entries))
    match rng.randrange(5):
        case 0:
            del table.entries[at]
        case 1:
            table.entries.insert(at, table.entries[at])
        case 2:
            table.entries[at:at] = [table.entries[at]] * rng.choice((10, 1000, 5000))
        case 3:
            rng.shuffle(table.entries)
        case _:
            table.entries += _Table(rng.choice(others)).entries[:3]
    return table.bytes()


def _loop(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """The next directory is this one, lies nowhere, or in the pixels; or the count of entries is a lie."""
    table = _Table(data)
    if rng.random() < 0.5:
        table.next_offset = struct.pack(table.order + "I", rng.choice((table.at, len(data), 1, 8, 2**31, 2**32 - 1)))
    else:
        table.count = rng.choice((0, 1, 200, 65_535))
    return table.bytes()


def _many_strips(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """Strips or tiles in number: all at one place, overlapping, of no or of all bytes."""
    table = _Table(data)
    offsets, lengths = rng.choice(((273, 279), (324, 325)))
    count = rng.choice((1, 2, 40, 41, 1000, 20_000))
    dropped = {offsets, lengths, 278, 322, 323}
    table.entries = [e for e in table.entries if struct.unpack_from(table.order + "H", e)[0] not in dropped]
    behind = len(table.data)
    place, size = rng.choice((0, 8, len(data) // 2, 2**31)), rng.choice((0, 1, 100, len(data), 2**31))
    table.data += struct.pack(table.order + "I", place) * count + struct.pack(table.order + "I", size) * count
    table.entries += [table.entry(offsets, 4, count, behind), table.entry(lengths, 4, count, behind + 4 * count)]
    table.entries += [table.entry(tag, 3, 1, rng.choice((1, 2, 16, 64, 10_000))) for tag in (278, 322, 323)]
    table.entries.sort(key=lambda e: struct.unpack_from(table.order + "H", e)[0])
    return table.bytes()


CHANGES: tuple[Change, ...] = (_tag_set, _tag_set, _tag_set, _field, _field, _order, _loop, _many_strips)
