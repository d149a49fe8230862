"""A small file that is a large picture: what its decoding takes at the peak, for each way of decoding."""

from __future__ import annotations

import zlib

import pytest
from PIL import Image

from models.preprocess import EncodedImage, decode
from tests.fuzz.process_memory import forget_peak, resident_and_peak_bytes, settled_bytes
from tests.pictures import png, png_chunk, saved, scene

SIDE = 4_000
PIXELS = SIDE * SIDE
FIXED_BYTES = 16 << 20  # bands, and what allocators keep


def deflated_png(depth: int, colour: int, channels: int) -> bytes:
    packer, row = zlib.compressobj(1), bytes(1 + SIDE * depth * channels // 8)
    rows = b"".join(packer.compress(row) for _ in range(SIDE)) + packer.flush()
    palette = [png_chunk(b"PLTE", bytes(6))] if colour == 3 else []
    return png((SIDE, SIDE, depth, colour, 0, 0, 0), *palette, png_chunk(b"IDAT", rows))


def blank(mode: str) -> Image.Image:
    return Image.new(mode, (SIDE, SIDE))


FILES = {
    "PNG, 1 bit": (lambda: deflated_png(1, 0, 1), 5),
    "PNG, palette": (lambda: deflated_png(1, 3, 1), 5),
    "PNG, colour": (lambda: deflated_png(8, 2, 3), 8),
    "PNG, 16-bit grey": (lambda: deflated_png(16, 0, 1), 6),
    "PNG, 16-bit grey with alpha": (lambda: deflated_png(16, 4, 2), 8),
    "PNG, 16-bit colour": (lambda: deflated_png(16, 2, 3), 12),
    "JPEG, colour": (lambda: saved(blank("RGB"), "JPEG"), 4),
    "JPEG, progressive": (lambda: saved(blank("RGB"), "JPEG", progressive=True), 7),
    "JPEG, CMYK": (lambda: saved(blank("CMYK"), "JPEG"), 8),
    "TIFF, colour": (lambda: saved(blank("RGB"), "TIFF", compression="tiff_deflate"), 8),
    "WebP, 34 bytes": (lambda: saved(blank("RGB"), "WEBP", lossless=True, method=0), 17),
}


@pytest.mark.parametrize("name", FILES)
def test_decoding_takes_so_many_bytes_a_pixel_at_the_most(name: str) -> None:
    make, bytes_a_pixel = FILES[name]
    decode(EncodedImage(saved(scene(), "PNG"), "PNG"))
    data = make()
    before = settled_bytes()
    forget_peak()
    pixels = decode(EncodedImage(data, "UNKNOWN"))
    _, peak = resident_and_peak_bytes()
    assert pixels.shape == (SIDE, SIDE, 3)
    assert peak - before < bytes_a_pixel * PIXELS + FIXED_BYTES + 4 * len(data)
