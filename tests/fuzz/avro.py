"""An event's Avro body in pieces, each of which can be made wrong alone: lengths, counts, branches, numbers, texts.

Written from the Avro specification 1.12, not from a library: a library writes nothing wrong. Knows no event.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

_NUMBERS = (
    *(0, 1, -1, 2, -2, 63, 64, -64, -65, 127, 128, 255, 256, 1000, 65_535, 10**6, 2**31 - 1, 2**31, -(2**31)),
    *(-(2**31) - 1, 2**32, 2**40, 2**53, 2**60, -(2**60), 2**62, 2**63 - 1, -(2**63), -62_135_596_800_001),
)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 1e308, 5e-324, float("inf"), float("-inf"), float("nan"))
TEXTS = (
    *(
        "",
        "\0",
        "\n",
        "*",
        ".",
        "..",
        "/",
        "a/b",
        "../../etc/passwd",
        "%2e%2e",
        "ä",
        "\u202e",
        "\ufeff",
        "😀",
        "'",
        '"',
    ),
    *("<script>alert(1)</script>", "=cmd()", "${jndi:ldap://x}", "x" * 64, "x" * 65, "x" * 1025, "ü" * 1024),
)
_BAD_UTF8 = (b"\xff", b"\x80", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"a\xe2\x82")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some bytes of a body and what they are: number, length, count, branch, text, bytes, float, boolean, end."""

    kind: str
    data: bytes


def varint(number: int) -> bytes:
    """A long, zigzag and 7 bits a byte; beyond 64 bits it is cut as a careless writer would."""
    rest, out = (number << 1 ^ number >> 63) & (2**64 - 1), bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


class Writer:
    """Takes values apart by one self-contained schema, given as parsed JSON."""

    def __init__(self, schema: Any) -> None:
        self._schema = schema
        self._names: dict[str, Any] = {}
        self._learn(schema)

    def _learn(self, schema: Any) -> None:
        if isinstance(schema, list):
            for branch in schema:
                self._learn(branch)
        elif isinstance(schema, dict):
            if "name" in schema:
                self._names[schema["name"].rpartition(".")[2]] = schema
            for inner in (schema.get("items"), schema.get("values"), *(f["type"] for f in schema.get("fields", ()))):
                self._learn(inner)

    def pieces(self, value: Any) -> list[Piece]:
        return self._pieces(self._schema, value)

    def _pieces(self, schema: Any, value: Any) -> list[Piece]:
        if isinstance(schema, list):
            branch = schema.index("null") if value is None else next(i for i, s in enumerate(schema) if s != "null")
            return [Piece("branch", varint(branch)), *self._pieces(schema[branch], value)]
        kind = schema["type"] if isinstance(schema, dict) else schema
        if isinstance(kind, str) and kind.rpartition(".")[2] in self._names:
            return self._pieces(self._names[kind.rpartition(".")[2]], value)
        if kind == "record":
            return [piece for f in schema["fields"] for piece in self._pieces(f["type"], value[f["name"]])]
        if kind in ("array", "map"):
            return self._block(schema, kind, value)
        if kind == "enum":
            return [Piece("branch", varint(schema["symbols"].index(str(value))))]
        return _leaf(kind, value)

    def _block(self, schema: Any, kind: str, value: Any) -> list[Piece]:
        pieces = [Piece("count", varint(len(value)))] if value else []
        for item in value:
            if kind == "map":
                pieces += [*_leaf("string", item), *self._pieces(schema["values"], value[item])]
            else:
                pieces += self._pieces(schema["items"], item)
        return [*pieces, Piece("end", b"\0")]


def _leaf(kind: str, value: Any) -> list[Piece]:
    if kind == "null":
        return []
    if kind == "boolean":
        return [Piece("boolean", bytes([bool(value)]))]
    if kind in ("float", "double"):
        return [Piece("float", struct.pack("<f" if kind == "float" else "<d", value))]
    if kind in ("string", "bytes"):
        data = value if isinstance(value, bytes) else str(value).encode()
        return [Piece("length", varint(len(data))), Piece("text" if kind == "string" else "bytes", data)]
    return [Piece("number", varint(round(value.timestamp() * 1000) if isinstance(value, datetime) else int(value)))]


def spoilt(pieces: Sequence[Piece], rng: random.Random) -> bytes:
    """The body with one to three of its pieces wrong."""
    changed = list(pieces)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(changed))
        structural = [i for i, p in enumerate(changed) if p.kind in ("count", "end", "branch", "length")]
        if structural and rng.random() < 0.5:
            at = rng.choice(structural)
        changed[at : at + 1] = _wrong(changed, at, rng)
    return b"".join(piece.data for piece in changed)


def _wrong(pieces: Sequence[Piece], at: int, rng: random.Random) -> list[Piece]:
    piece = pieces[at]
    if rng.random() < 0.12:  # its order
        other = pieces[rng.randrange(len(pieces))]
        return rng.choice(([], [piece, piece], [other], [piece, other]))
    if piece.kind in ("count", "end"):
        return [Piece(piece.kind, _block(piece.data, rng))]
    if piece.kind in ("number", "length", "branch"):
        return [Piece(piece.kind, _number(piece.data, rng))]
    if piece.kind == "float":
        form = "<f" if len(piece.data) == 4 else "<d"
        value = rng.choice(_FLOATS)
        return [Piece("float", struct.pack(form, value if form == "<d" or abs(value) < 1e38 else 0.5))]
    if piece.kind == "boolean":
        return [Piece("boolean", bytes([rng.choice((0, 1, 2, 255))]))]
    return [Piece(piece.kind, _same_length(piece.data, rng))]


def _number(data: bytes, rng: random.Random) -> bytes:
    """Another number, or the same one written longer than it may be."""
    match rng.randrange(6):
        case 0:
            longer = rng.choice((1, 5, 9, 10, 11, 1000))
            return bytes([*data[:-1], data[-1] | 0x80]) + b"\x80" * (longer - 1) + rng.choice((b"\0", b"\1", b"\x7f"))
        case 1:
            return b"\xff" * rng.choice((9, 10, 11, 100)) + rng.choice((b"", b"\1", b"\x7f"))
        case _:
            return varint(rng.choice(_NUMBERS))


def _block(end: bytes, rng: random.Random) -> bytes:
    """Blocks that claim what isn't there, carry sizes that lie, or never end."""
    match rng.randrange(6):
        case 0:
            return varint(rng.choice(_NUMBERS))
        case 1:
            return varint(-rng.choice((1, 2, 2**31, 2**63))) + varint(rng.choice(_NUMBERS))
        case 2:
            return (
                b"".join(varint(-1) + varint(rng.choice((0, 4))) + b"\2k\2v" for _ in range(rng.choice((1, 1000))))
                + end
            )
        case 3:  # a map of many small entries
            count = rng.choice((10, 1000, 1000, 50_000))
            return varint(count) + b"".join(b"\x0a%05x\0" % i for i in range(count)) + end
        case 4:
            return varint(rng.choice((1, 2, 100))) + rng.randbytes(rng.choice((1, 10, 100))) + end
        case _:
            return _number(end, rng)


def _same_length(data: bytes, rng: random.Random) -> bytes:
    if not data:
        return rng.choice(_BAD_UTF8)
    bad = rng.choice((*_BAD_UTF8, b"\0", b"/", b"..", b"\n"))[: len(data)]
    at = rng.randrange(len(data) - len(bad) + 1)
    return data[:at] + bad + data[at + len(bad) :]


def odd_value(value: Any, rng: random.Random) -> Any:
    """Another value of the same type, of those that nobody expects; of a record, one to three of its fields."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice(_NUMBERS)
    if isinstance(value, float):
        return rng.choice(_FLOATS)
    if isinstance(value, datetime):
        return rng.choice((0, -1, -(2**63), 2**63 - 1, -62_135_596_800_000, 253_402_300_799_999, 7_258_118_400_000))
    if isinstance(value, bytes):
        return rng.choice((b"", value[: rng.randrange(len(value) + 1)], value + b"\0", bytes(rng.choice((1, 100_000)))))
    if isinstance(value, Enum):
        return rng.choice(list(type(value)))
    if isinstance(value, str):
        return rng.choice((*TEXTS, value + "x", "x" * rng.choice((100_000, 1_200_000)) if rng.random() < 0.05 else "y"))
    if isinstance(value, list):
        return value * rng.choice((0, 2, 1000))
    return odd_fields(value, rng) if isinstance(value, Mapping) else value


def odd_fields(record: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A record, as Avro's libraries take it, with odd values in some of its fields."""
    odd = dict(record)
    for name in rng.sample(sorted(odd), min(len(odd), rng.choice((1, 1, 2, 3)))):
        odd[name] = odd_value(odd[name], rng)
    return odd


def odd_map(like: Any, rng: random.Random) -> dict[str, Any]:
    """A map with values like this one."""
    return {rng.choice(TEXTS) + str(i): odd_value(like, rng) for i in range(rng.choice((0, 1, 65, 300, 5000)))}
