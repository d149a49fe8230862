"""What an Avro body claims about itself, looked at before a reader allocates anything for it. Pure.

Lengths must lie within the bytes that came, counts and numbers within limits: a few bytes can claim 2^60 items, and
eight megabytes of map entries take forty times that as Python objects. What is right is read by fastavro afterwards.
(Avro specification 1.12, "Binary Encoding".) Knows no event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Schema = Any
Walk = Callable[[bytes, int], int]
"""Takes a body and where a value begins; gives where it ends. ValueError for one that can't be or shall not be read."""

MAX_ITEMS = 10_000  # of one array or map: the most that any event has for good reason, times ten
MAX_VARINT_BYTES = 10  # 64 bits, 7 a byte
INT_MIN, INT_MAX = -(2**31), 2**31 - 1  # Avro's int; readers in other languages refuse more


def bounds_of(schema: Schema) -> Walk:
    """A walk over bodies of one schema: parsed JSON that defines every named type where it is first used.

    A schema of a foreign registry may contain itself: values nested too deep for Python raise RecursionError.
    """
    return _Compiler().walk(schema)


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag number and where it ends."""
    number = shift = 0
    try:
        for end in range(at, at + MAX_VARINT_BYTES):
            byte = data[end]
            number |= (byte & 127) << shift
            if byte < 128:
                if number >> 64:
                    break
                return number >> 1 ^ -(number & 1), end + 1
            shift += 7
    except IndexError:
        raise ValueError(f"the bytes end within the number at byte {at}") from None
    raise ValueError(f"the number at byte {at} has more than 64 bits")


class _Compiler:
    """Turns a schema into functions within functions, each named type once."""

    def __init__(self) -> None:
        self._named: dict[str, Walk] = {}

    def walk(self, schema: Schema) -> Walk:
        if isinstance(schema, list):
            return _union([self.walk(branch) for branch in schema])
        kind = schema["type"] if isinstance(schema, Mapping) else schema
        if not isinstance(kind, str):
            return self.walk(kind)
        if kind in _PLAIN:
            return _PLAIN[kind]
        if kind in ("array", "map"):
            item = self.walk(schema["items" if kind == "array" else "values"])
            return _blocks(item if kind == "array" else _in_turn([_bytes, item]))
        return self._named[kind] if kind in self._named else self._defined(kind, schema)

    def _defined(self, kind: str, schema: Schema) -> Walk:
        name = str(schema["name"])
        if kind in ("enum", "fixed"):
            self._named[name] = _enum(len(schema["symbols"]), name) if kind == "enum" else _fixed(schema["size"])
            return self._named[name]
        parts: list[Walk] = []
        self._named[name] = _in_turn(parts)  # known before its fields are looked at: they may name it
        parts += [self.walk(field["type"]) for field in schema["fields"]]
        return self._named[name]


def _nothing(_data: bytes, at: int) -> int:
    return at


def _long(data: bytes, at: int) -> int:
    if at < len(data) and data[at] < 128:
        return at + 1
    return read_long(data, at)[1]


def _int(data: bytes, at: int) -> int:
    if at < len(data) and data[at] < 128:
        return at + 1
    number, end = read_long(data, at)
    if not INT_MIN <= number <= INT_MAX:
        raise ValueError(f"the number at byte {at} must have 32 bits; came {number}")
    return end


def _bytes(data: bytes, at: int) -> int:
    if (
        at < len(data) and not (byte := data[at]) & 129 and at + 1 + (byte >> 1) <= len(data)
    ):  # most: short, not negative
        return at + 1 + (byte >> 1)
    length, at = read_long(data, at)
    if not 0 <= length <= len(data) - at:
        raise ValueError(f"{length} bytes are claimed at byte {at}, where {len(data) - at} are left")
    return at + length


def _fixed(size: int) -> Walk:
    def walk(data: bytes, at: int) -> int:
        if size > len(data) - at:
            raise ValueError(f"the bytes end within the {size} bytes of a value at byte {at}")
        return at + size

    return walk


def _index(data: bytes, at: int, count: int, what: str) -> tuple[int, int]:
    """Which of `count`, and where that ends."""
    index, end = read_long(data, at)
    if not 0 <= index < count:
        raise ValueError(f"{what} at byte {at} must be 0 to {count - 1}; came {index}")
    return index, end


def _enum(symbols: int, name: str) -> Walk:
    def walk(data: bytes, at: int) -> int:
        return _index(data, at, symbols, name)[1]

    return walk


def _union(branches: Sequence[Walk]) -> Walk:
    def walk(data: bytes, at: int) -> int:
        if at < len(data) and not (byte := data[at]) & 129 and byte >> 1 < len(branches):
            return branches[byte >> 1](data, at + 1)
        index, end = _index(data, at, len(branches), "a union")
        return branches[index](data, end)

    return walk


def _in_turn(parts: Sequence[Walk]) -> Walk:
    def walk(data: bytes, at: int) -> int:
        for part in parts:
            at = part(data, at)
        return at

    return walk


def _blocks(item: Walk) -> Walk:
    """An array or map: blocks of items, each with its count, and with its size in bytes where the count is negative."""

    def walk(data: bytes, at: int) -> int:
        items = 0
        while True:
            count, at = read_long(data, at)
            if count == 0:
                return at
            if count < 0:
                at = _bytes_ahead(data, at)
            items += abs(count)
            if items > MAX_ITEMS:
                raise ValueError(f"{items} items at byte {at}, of one array or map at most {MAX_ITEMS} are read")
            for _ in range(abs(count)):
                at = item(data, at)

    return walk


def _bytes_ahead(data: bytes, at: int) -> int:
    _bytes(data, at)
    return read_long(data, at)[1]


_PLAIN: Mapping[str, Walk] = {
    "null": _nothing,
    "boolean": _fixed(1),
    "int": _int,
    "long": _long,
    "float": _fixed(4),
    "double": _fixed(8),
    "bytes": _bytes,
    "string": _bytes,
}
