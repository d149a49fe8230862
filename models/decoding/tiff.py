"""TIFF: read the directory, prove that all strips or tiles are there, hand Pillow a directory of the tags pixels need.

The directory is written anew behind the file's own bytes, so offsets stay right and no other tag (profiles, private
data, entries that all point at one big blob) is ever read. Orientation is applied here. (TIFF 6.0, sections 2 and 15.)
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from models.decoding import jpeg
from models.decoding.contract import MAX_PIXELS, RejectedImageError, check_size, corrupt, truncated, unsupported
from models.decoding.depth import SAMPLE_BITS, U8
from models.decoding.orientation import ORIENTATION_TAG, upright
from models.decoding.pillow import decode_file

_BIG_TIFF = (b"II+\0", b"MM\0+")
SIGNATURES = (b"II*\0", b"MM\0*", *_BIG_TIFF)
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 322, 323, 324, 325
_SAMPLE_FORMAT, _JPEG_TABLES = 339, 347
_FILL_ORDER, _FAX_3, _FAX_4, _PREDICTOR, _COLOUR_MAP, _EXTRA_SAMPLES = 266, 292, 293, 317, 320, 338
_CHROMA = (529, 530, 531, 532)
_PIXEL_TAGS = {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _SAMPLES, _PLANAR, _FAX_3, _FAX_4, _PREDICTOR),
    *(_STRIP_OFFSETS, _ROWS_PER_STRIP, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES),
    *(_COLOUR_MAP, _EXTRA_SAMPLES, _SAMPLE_FORMAT, _JPEG_TABLES, *_CHROMA),
}
_VALUE_FORMATS = {1: "B", 3: "H", 4: "I", 6: "b", 7: "B", 8: "h", 9: "i"}  # of integer types, by TIFF's numbers
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_RAW, _JPEG = 1, 7
# None, three faxes, LZW, JPEG, deflate by two numbers, PackBits, Zstandard. Not old-style JPEG, never well defined,
# nor LZMA, whose stream asks for memory at will.
_COMPRESSIONS = {_RAW, 2, 3, 4, 5, _JPEG, 8, 32946, 32773, 50000}
_INTEGERS = {1, 2}  # sample formats: unsigned, signed
_WHITE_IS_ZERO = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    """One directory entry: TIFF type, number of values, and the 4 bytes that hold them or their offset."""

    kind: int
    count: int
    field: bytes


class _Directory:
    """The first directory of a file. Values are read on demand; all of them lie within the file."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        (at,) = self._unpack("I", 4)
        (count,) = self._unpack("H", at)
        self._entries: dict[int, _Entry] = {}
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, values = self._unpack("HHI", entry)
            self._entries.setdefault(tag, _Entry(kind, values, data[entry + 8 : entry + 12]))
        (self.next_offset,) = self._unpack("I", at + 2 + 12 * count)

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(self._order + form, self._data, at)
        except struct.error as error:
            raise truncated("the file ends within its directory") from error

    def _bytes(self, entry: _Entry) -> bytes:
        size = _VALUE_BYTES.get(entry.kind, 1) * entry.count
        if size <= 4:
            return entry.field[:size]
        (at,) = struct.unpack(self._order + "I", entry.field)
        if at + size > len(self._data):
            raise truncated("the file ends within a directory entry's values")
        return self._data[at : at + size]

    def values(self, tag: int, default: tuple[int, ...] = ()) -> tuple[int, ...]:
        """All values of an integer tag; the default where it is absent."""
        entry = self._entries.get(tag)
        if entry is None:
            return default
        if entry.kind not in _VALUE_FORMATS or not entry.count:
            raise corrupt(f"tag {tag} of type {entry.kind} with {entry.count} values, expected integers")
        return struct.unpack(f"{self._order}{entry.count}{_VALUE_FORMATS[entry.kind]}", self._bytes(entry))

    def value(self, tag: int, default: int) -> int:
        """The first value of an integer tag."""
        return self.values(tag, (default,))[0]

    def blob(self, tag: int) -> bytes:
        """The bytes of a tag, empty where it is absent."""
        return self._bytes(self._entries[tag]) if tag in self._entries else b""

    def rewritten(self) -> bytes:
        """The file with a directory of the pixel tags alone, which no second one follows."""
        kept = sorted((tag, entry) for tag, entry in self._entries.items() if tag in _PIXEL_TAGS)
        if sum(len(self._bytes(entry)) for _, entry in kept) > len(self._data):
            raise corrupt("the directory's values are longer than the file")
        order = self._order
        padding = bytes(len(self._data) % 2)  # a directory begins at an even offset
        head = self._data[:4] + struct.pack(order + "I", len(self._data) + len(padding))
        table = [struct.pack(order + "HHI4s", tag, e.kind, e.count, e.field) for tag, e in kept]
        return b"".join([head, self._data[8:], padding, struct.pack(order + "H", len(kept)), *table, bytes(4)])


def read(data: bytes, bits: int | None) -> U8:
    """Decode a TIFF of one page to upright uint8 RGB [H, W, 3]; raises RejectedImageError."""
    if data[:4] in _BIG_TIFF:
        raise unsupported("BigTIFF, made for files over 4 GB")
    directory = _Directory(data)
    width, height = directory.value(_WIDTH, 0), directory.value(_HEIGHT, 0)
    check_size(width, height)
    if directory.next_offset:
        raise RejectedImageError("MULTIPAGE", "a TIFF of more than one page")
    depth = _check_layout(directory)
    pieces = _pieces(data, directory, width, height)
    if directory.value(_COMPRESSION, _RAW) == _JPEG:
        tables = directory.blob(_JPEG_TABLES)
        for piece in pieces:  # libtiff keeps libjpeg's warnings to itself
            jpeg.check((tables[:-2] or jpeg.SIGNATURE[:2]) + piece[2:])
    if bits is None and depth < SAMPLE_BITS:
        bits = max(depth, 8)  # a depth such as 12 is the file's own declaration
    pixels = decode_file(directory.rewritten(), "TIFF", bits)
    if depth == SAMPLE_BITS and directory.value(_PHOTOMETRIC, _WHITE_IS_ZERO) == _WHITE_IS_ZERO:
        pixels = 255 - pixels  # Pillow inverts shallower samples itself
    orientation = directory.value(ORIENTATION_TAG, 1)
    return upright(pixels, orientation if 1 <= orientation <= 8 else 1)


def _check_layout(directory: _Directory) -> int:
    """Refuse what Pillow would misread or can't read; returns the bits of a sample."""
    compression, depth = directory.value(_COMPRESSION, _RAW), max(directory.values(_BITS, (1,)))
    if compression not in _COMPRESSIONS:
        raise unsupported(f"TIFF compression {compression}")
    if not set(directory.values(_SAMPLE_FORMAT, (1,))) <= _INTEGERS:
        raise unsupported("samples that aren't integers")
    if depth > 8 and directory.value(_PLANAR, 1) != 1:
        raise unsupported(f"samples of {depth} bits in separate planes")
    if depth < 1 or not 1 <= directory.value(_SAMPLES, 1) <= 6:
        raise unsupported(f"{directory.value(_SAMPLES, 1)} samples of {depth} bits a pixel")
    return depth


def _pieces(data: bytes, directory: _Directory, width: int, height: int) -> Iterable[bytes]:
    """All strips or tiles, each within the file, enough of them, and long enough where they aren't compressed."""
    planes = directory.value(_SAMPLES, 1) if directory.value(_PLANAR, 1) == 2 else 1
    if tiled := bool(directory.values(_TILE_OFFSETS)):
        across, down = directory.value(_TILE_WIDTH, 0), directory.value(_TILE_HEIGHT, 0)
    else:
        across, down = width, min(directory.value(_ROWS_PER_STRIP, height), height)
    if across < 1 or down < 1 or across * down > MAX_PIXELS:
        raise corrupt(f"strips or tiles of {across}x{down}")
    needed = planes * -(-width // across) * -(-height // down)
    offsets = directory.values(_TILE_OFFSETS if tiled else _STRIP_OFFSETS)
    counts = directory.values(_TILE_BYTES if tiled else _STRIP_BYTES)
    if len(offsets) < needed or len(counts) < needed:
        raise corrupt(f"{len(offsets)} strips or tiles with {len(counts)} lengths, the size needs {needed}")
    spans = list(zip(offsets[:needed], counts[:needed], strict=True))
    if any(offset + count > len(data) for offset, count in spans):
        raise truncated("the file ends within its pixel data")
    if directory.value(_COMPRESSION, _RAW) == _RAW:
        _check_raw_length(directory, sum(counts[:needed]), across, height if not tiled else down * needed)
    return (data[offset : offset + count] for offset, count in spans)


def _check_raw_length(directory: _Directory, found_bytes: int, columns: int, rows: int) -> None:
    bits = directory.values(_BITS, (1,))
    per_pixel = sum(bits) if len(bits) > 1 else bits[0] * directory.value(_SAMPLES, 1)
    expected_bytes = rows * (columns * per_pixel // 8)
    if found_bytes < expected_bytes:
        raise truncated(f"{found_bytes} bytes of pixel data, the size needs {expected_bytes}")
