"""A small file that is a large picture: what its decoding takes at the peak, for each way of decoding."""

from __future__ import annotations

import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from models.preprocess import EncodedImage, decode
from tests.fuzz.process_memory import forget_peak, resident_and_peak_bytes, settled_bytes
from tests.pictures import png, png_chunk, saved, scene

ROOT = Path(__file__).parents[2]
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


def measure() -> None:
    """Prints, of each file, its own bytes and those that its decoding took at the peak."""
    decode(EncodedImage(saved(scene(), "PNG"), "PNG"))
    for name, (make, _) in FILES.items():
        data = make()
        before = settled_bytes()
        forget_peak()
        pixels = decode(EncodedImage(data, "UNKNOWN"))
        _, peak = resident_and_peak_bytes()
        assert pixels.shape == (SIDE, SIDE, 3)
        del pixels
        print(json.dumps([name, len(data), peak - before]))


@pytest.fixture(scope="module")
def measured() -> dict[str, tuple[int, int]]:
    """In a process of its own: in this one threads of other tests may take memory at the same time."""
    command = [sys.executable, "-c", "from tests.unit.test_decoding_memory import measure; measure()"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return {name: (size, taken) for name, size, taken in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", FILES)
def test_decoding_takes_so_many_bytes_a_pixel_at_the_most(name: str, measured: dict[str, tuple[int, int]]) -> None:
    size, taken = measured[name]
    assert taken < FILES[name][1] * PIXELS + FIXED_BYTES + 4 * size
