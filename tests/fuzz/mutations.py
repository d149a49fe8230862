"""Changes that know nothing of what bytes mean: bits, values at the edges, cuts, copies, pieces of other files.

Every function takes bytes and a generator of random numbers and gives other bytes: the same generator, the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Change = Callable[[bytes, random.Random, Sequence[bytes]], bytes]
"""The bytes, the generator, other files to take pieces from."""

MAX_BYTES = 1 << 20  # of a changed file: size alone finds nothing that a megabyte doesn't
EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 63, 64, 100, 127, 128, 129, 254, 255)
WIDE_EDGES = (
    *(0, 1, 2, 15, 16, 255, 256, 4095, 4096, 10_000, 32_767, 32_768, 65_535, 65_536, 100_000, 0xFFFFFF),
    *(2**24, 2**31 - 1, 2**31, 2**31 + 1, 2**32 - 2, 2**32 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1),
)


def spot(data: bytes, rng: random.Random) -> int:
    """A place in the bytes; every third one near the beginning, where headers are."""
    end = max(1, len(data))
    return rng.randrange(min(end, 64)) if rng.random() < 0.34 else rng.randrange(end)


def piece(data: bytes, rng: random.Random) -> bytes:
    """A part of the bytes, mostly short."""
    start = spot(data, rng)
    return data[start : start + rng.choice((1, 2, 4, 8, 16, 64, 256, 4096))]


def flip_bits(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        if changed:
            changed[spot(data, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def set_bytes(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if changed:
            changed[spot(data, rng)] = rng.choice(EDGES) if rng.random() < 0.7 else rng.randrange(256)
    return bytes(changed)


def set_number(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A number of 2, 4 or 8 bytes becomes one at an edge, in either order of bytes."""
    width, order = rng.choice((2, 4, 8)), rng.choice(("big", "little"))
    at = spot(data, rng)
    number = rng.choice(WIDE_EDGES) & (2 ** (8 * width) - 1)
    return data[:at] + number.to_bytes(width, order) + data[at + width :]


def shift_number(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A number of 1, 2 or 4 bytes becomes a little larger or smaller."""
    width, order = rng.choice((1, 2, 4)), rng.choice(("big", "little"))
    at = spot(data, rng)
    number = int.from_bytes(data[at : at + width], order) + rng.choice((-16, -4, -1, 1, 4, 16))
    return data[:at] + (number % 2 ** (8 * width)).to_bytes(width, order) + data[at + width :]


def cut_end(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return data[: spot(data, rng)]


def cut_start(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    return data[rng.randrange(1, 17) :]


def insert(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at = spot(data, rng)
    count = rng.choice((1, 2, 4, 16, 256, 4096))
    new = bytes([rng.choice(EDGES)]) * count if rng.random() < 0.5 else rng.randbytes(min(count, 256))
    return data[:at] + new + data[at:]


def delete(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    at = spot(data, rng)
    return data[:at] + data[at + len(piece(data[at:] or b"\0", rng)) :]


def copy(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    """A piece appears again elsewhere, over what was there or between."""
    block, at = piece(data, rng), spot(data, rng)
    return data[:at] + block + data[at + rng.choice((0, len(block))) :]


def repeat(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    block, at = piece(data, rng), spot(data, rng)
    times = min(rng.choice((2, 10, 100, 1000)), 65_536 // max(1, len(block)))
    return data[:at] + block * times + data[at:]


def swap(data: bytes, rng: random.Random, _others: Sequence[bytes]) -> bytes:
    a, b = sorted((spot(data, rng), spot(data, rng)))
    length = min(b - a, rng.choice((1, 4, 16, 256)), len(data) - b)
    return data[:a] + data[b : b + length] + data[a + length : b] + data[a : a + length] + data[b + length :]


def splice(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """The beginning of one file and the end of another."""
    other = rng.choice(others)
    return data[: spot(data, rng)] + other[spot(other, rng) :]


def graft(data: bytes, rng: random.Random, others: Sequence[bytes]) -> bytes:
    """A piece of another file in the middle."""
    block, at = piece(rng.choice(others), rng), spot(data, rng)
    return data[:at] + block + data[at + rng.choice((0, len(block))) :]


CHANGES: tuple[Change, ...] = (
    *(flip_bits, set_bytes, set_number, shift_number, cut_end, cut_start, insert, delete, copy, repeat, swap),
    *(splice, graft),
)


def changed(data: bytes, rng: random.Random, others: Sequence[bytes], kinds: Sequence[Change] = CHANGES) -> bytes:
    """One to four changes, one after another."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        data = rng.choice(kinds)(data, rng, others)[:MAX_BYTES]
    return data
