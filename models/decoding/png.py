"""PNG: walk the chunks with their checksums, prove that the pixel data is whole, hand Pillow the critical chunks.

The pixel data is inflated once here, in pieces that are thrown away: Pillow reads no further than the last row, so it
would miss what is wrong behind it. Text, profiles and transparency never reach Pillow.
"""

import struct
import zlib
from dataclasses import dataclass, field

import numpy as np

from models.decoding.contract import RejectedImageError, check_size, corrupt, truncated
from models.decoding.depth import SAMPLE_BITS, U8, Box, grey_to_rgb, in_bands, to_8_bit
from models.decoding.orientation import exif_orientation, upright
from models.decoding.pillow import decode_file

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_DEPTHS = {_GREY: {1, 2, 4, 8, 16}, _RGB: {8, 16}, _PALETTE: {1, 2, 4, 8}, _GREY_ALPHA: {8, 16}, _RGBA: {8, 16}}
_ONE_PASS = ((0, 0, 1, 1),)  # first column, first row, and the steps across and down
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PIECE_BYTES = 1 << 20  # inflated at once


@dataclass(frozen=True, slots=True)
class _Header:
    """The IHDR chunk; sizes in pixels, `depth` in bits a sample."""

    width: int
    height: int
    depth: int
    colour: int
    compression: int
    filtering: int
    interlace: int

    def scanline_bytes(self) -> int:
        """What the pixel data must inflate to: a filter byte and the packed samples for each row of each pass."""
        total = 0
        for left, top, across, down in _ADAM7 if self.interlace else _ONE_PASS:
            columns = (self.width - left + across - 1) // across
            rows = (self.height - top + down - 1) // down
            total += rows * (1 + (columns * self.depth * _CHANNELS[self.colour] + 7) // 8) if columns else 0
        return total


@dataclass(slots=True)
class _Png:
    """The chunks that matter, in the order of the file."""

    header: _Header
    palette: bytes = b""
    pixels: list[bytes] = field(default_factory=list)
    orientation: int = 1


def read(data: bytes, bits: int | None) -> U8:
    """Decode a PNG to upright uint8 RGB [H, W, 3]; raises RejectedImageError."""
    png = _walk(data)
    _check_pixels(png.pixels, png.header.scanline_bytes())
    if png.header.colour == _PALETTE and not png.palette:
        raise corrupt("a palette picture without its palette")
    if (png.header.colour, png.header.depth) == (_GREY_ALPHA, 16):
        return upright(_deep_grey_alpha(png, SAMPLE_BITS if bits is None else bits), png.orientation)
    return upright(decode_file(_critical_chunks(png), "PNG", bits), png.orientation)


def _walk(data: bytes) -> _Png:
    """Read all chunks up to IEND, checksums included; what follows is not the picture's."""
    kind, payload, at = _chunk(data, len(SIGNATURE), verify=False)
    png = _Png(_header(kind, payload))  # the size is judged even where the header's checksum is wrong
    at = len(SIGNATURE)
    while kind != b"IEND":
        kind, payload, at = _chunk(data, at, verify=True)
        if kind == b"IDAT":
            png.pixels.append(payload)
        elif kind == b"PLTE":
            png.palette = payload
        elif kind == b"eXIf":
            png.orientation = exif_orientation(payload)
        elif kind == b"fdAT" or (kind == b"acTL" and int.from_bytes(payload[:4], "big") > 1):
            raise RejectedImageError("MULTIPAGE", "an animated PNG holds more than one picture")
        elif kind[0] & 0x20 == 0 and kind not in (b"IHDR", b"IEND"):
            raise corrupt(f"an unknown critical chunk {kind!r}")
    return png


def _chunk(data: bytes, at: int, *, verify: bool) -> tuple[bytes, bytes, int]:
    """Kind and payload of the chunk at `at`, and the offset behind it."""
    length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
    if at + 12 > len(data) or (at + 12 + length > len(data) and kind.isalpha()):
        raise truncated(f"the file ends within chunk {kind!r}, before IEND")
    if not kind.isalpha():
        raise corrupt(f"a chunk of kind {kind!r} at byte {at}")
    end = at + 8 + length
    payload = data[at + 8 : end]
    if verify and zlib.crc32(payload, zlib.crc32(kind)) != int.from_bytes(data[end : end + 4], "big"):
        raise corrupt(f"a wrong checksum of chunk {kind!r}")
    return kind, payload, end + 4


def _header(kind: bytes, payload: bytes) -> _Header:
    if kind != b"IHDR" or len(payload) != 13:
        raise corrupt(f"the first chunk is {kind!r} of {len(payload)} bytes, expected IHDR of 13")
    header = _Header(*struct.unpack(">IIBBBBB", payload))
    check_size(header.width, header.height)
    if header.depth not in _DEPTHS.get(header.colour, ()):
        raise corrupt(f"colour type {header.colour} with {header.depth} bits")
    if header.compression or header.filtering or header.interlace > 1:
        raise corrupt("an unknown method of compression, filtering or interlacing")
    return header


def _check_pixels(pixels: list[bytes], expected_bytes: int) -> None:
    """Inflate to nothing: the stream must end, with its own checksum right, after exactly `expected_bytes`."""
    inflater = zlib.decompressobj()
    seen = 0
    try:
        for piece in [*pixels, b""]:  # the last, empty one takes out what the inflater still holds
            while inflated := inflater.decompress(piece, _PIECE_BYTES):
                seen += len(inflated)
                if seen > expected_bytes:
                    raise corrupt(f"more pixel data than the {expected_bytes} bytes of the header's size")
                piece = inflater.unconsumed_tail
    except zlib.error as error:
        raise corrupt(f"pixel data: {error}") from error
    if seen < expected_bytes or not inflater.eof:
        raise truncated(f"the pixel data ends after {seen} of {expected_bytes} bytes")


def _critical_chunks(png: _Png, **changed: int) -> bytes:
    """A PNG of nothing but the picture, with fields of its header changed if wanted."""
    header = png.header
    fields = {name: changed.get(name, getattr(header, name)) for name in header.__slots__}
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *fields.values()))]
    if png.palette and header.colour == _PALETTE:
        chunks.append((b"PLTE", png.palette))
    chunks += [(b"IDAT", b"".join(png.pixels)), (b"IEND", b"")]
    framed = [
        len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(payload, zlib.crc32(kind)).to_bytes(4, "big")
        for kind, payload in chunks
    ]
    return SIGNATURE + b"".join(framed)


def _deep_grey_alpha(png: _Png, bits: int) -> U8:
    """16-bit grey with alpha, of which Pillow keeps the high bytes: read as 8-bit RGBA, whose rows lie alike."""
    high_low = decode_file(_critical_chunks(png, depth=8, colour=_RGBA), "PNG", None)

    def levels(band: Box) -> U8:
        rows = high_low[band[1] : band[3]]
        return grey_to_rgb(to_8_bit(rows[..., 0].astype(np.uint16) << np.uint16(8) | rows[..., 1], bits))

    return in_bands((png.header.width, png.header.height), levels)
