"""Small pictures in every container, built for the tests of decoding, and the corpus with its expected outcomes."""

import io
import json
import struct
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from models.decoding.depth import U8
from models.preprocess import EncodedImage, RejectedImageError, decode

CORPUS = Path(__file__).parent / "corpus"
WIDTH, HEIGHT = 50, 40


@dataclass(frozen=True)
class Case:
    """One frame of the corpus: what came, and the one right outcome of decoding it."""

    name: str
    image: EncodedImage
    expect: dict[str, Any]

    def check(self) -> None:
        """Assert the outcome exactly; the message says what came instead."""
        if self.expect["outcome"] == "rejected":
            assert outcome(self.image) == self.expect["reason"], self.name
            return
        pixels = decode(self.image)
        assert list(pixels.shape) == self.expect["shape"], self.name
        assert pixels.dtype == np.uint8, self.name
        assert pixels.flags.c_contiguous, self.name
        for x, y, colour, tolerance in self.expect["pixels"]:
            assert np.abs(pixels[y, x].astype(int) - colour).max() <= tolerance, (self.name, x, y, pixels[y, x], colour)


@cache
def corpus() -> tuple[Case, ...]:
    """All cases, read once."""
    return tuple(
        Case(
            case["name"],
            EncodedImage(
                data=(CORPUS / case["file"]).read_bytes(),
                **{key: case[key] for key in ("encoding", "width", "height", "stride", "bits", "sha256")},
            ),
            case["expect"],
        )
        for case in json.loads((CORPUS / "manifest.json").read_text())
    )


def outcome(image: EncodedImage | bytes, **declared: Any) -> str:
    """The reason of the rejection, or "decoded"."""
    try:
        decode(image if isinstance(image, EncodedImage) else EncodedImage(image, "UNKNOWN", **declared))
    except RejectedImageError as error:
        return error.reason
    return "decoded"


def decoded(data: bytes, **declared: Any) -> U8:
    """Decode a file of any container."""
    return decode(EncodedImage(data, "UNKNOWN", **declared))


def scene() -> U8:
    """Smooth colour with a noisy patch, uint8 [40, 50, 3]; no symmetry, so that a wrong turn shows."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    picture = np.stack([x * 5, y * 6, (x + y) * 2], axis=-1).astype(np.uint8)
    picture[10:20, 10:20] = np.random.default_rng(1).integers(0, 256, (10, 10, 3))
    return picture


def deep(*shape: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Random 16-bit samples of this shape."""
    return np.random.default_rng(2).integers(0, 65536, shape).astype(np.uint16)


def levels(samples: np.ndarray[Any, Any], bits: int) -> U8:
    """What deep samples must become, by the contract's own formula in floating point."""
    return np.rint(samples.astype(float) * 255 / (2**bits - 1)).clip(0, 255).astype(np.uint8)


def grey3(plane: U8) -> U8:
    """Three equal channels."""
    return np.repeat(plane[:, :, None], 3, axis=2)


def saved(pixels: U8 | Image.Image, form: str, **options: Any) -> bytes:
    """A file that Pillow writes."""
    stream = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(stream, form, **options)
    return stream.getvalue()


def oriented(value: int) -> Image.Exif:
    """EXIF with this orientation, as Pillow's `exif` option takes it."""
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def png_chunk(kind: bytes, payload: bytes) -> bytes:
    """A PNG chunk with its right checksum."""
    return struct.pack(">I", len(payload)) + kind + payload + struct.pack(">I", zlib.crc32(kind + payload))


def png(header: tuple[int, ...], *chunks: bytes) -> bytes:
    """A PNG of an IHDR with these seven fields, the chunks, and IEND."""
    start = b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", *header))
    return start + b"".join(chunks) + png_chunk(b"IEND", b"")


def scanlines(pixels: np.ndarray[Any, Any]) -> bytes:
    """PNG rows with filter 0; 16-bit samples big-endian."""
    stored = pixels.astype(">u2") if pixels.dtype == np.uint16 else pixels
    return b"".join(b"\0" + row.tobytes() for row in stored)


def tiff(samples: np.ndarray[Any, Any], order: str = "<", **tags: int) -> bytes:
    """An uncompressed TIFF of [H, W, C] unsigned samples in one strip; further tags as `t<number>=value`."""
    height, width, channels = samples.shape
    depth = samples.dtype.itemsize * 8
    payload = samples.astype(samples.dtype.newbyteorder(order)).tobytes()
    entries = {256: width, 257: height, 259: 1, 262: 2 if channels >= 3 else 1, 277: channels, 278: height, 339: 1}
    entries.update({int(name[1:]): value for name, value in tags.items()})
    behind = 8 + 2 + 12 * (len(entries) + 3) + 4
    table = {tag: struct.pack(order + "HHIHH", tag, 3, 1, value, 0) for tag, value in entries.items()}
    if channels <= 2:
        table[258] = struct.pack(order + "HHIHH", 258, 3, channels, depth, depth * (channels - 1))
    else:
        table[258] = struct.pack(order + "HHII", 258, 3, channels, behind)
    table[273] = struct.pack(order + "HHII", 273, 4, 1, behind + 2 * channels)
    table[279] = struct.pack(order + "HHII", 279, 4, 1, len(payload))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, len(table))
    directory = b"".join(table[tag] for tag in sorted(table)) + bytes(4)
    return head + directory + struct.pack(f"{order}{channels}H", *[depth] * channels) + payload
