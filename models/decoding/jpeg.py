"""JPEG: the marker walk, then libjpeg-turbo with every warning an error.

simplejpeg rather than Pillow or torchvision, because only it passes libjpeg's warnings on, and the first warning tells
missing data from other damage. It releases the GIL.
"""

import re

import numpy as np
import simplejpeg
from PIL import Image

from models.decoding.contract import RejectedImageError, check_area, corrupt, truncated, unsupported
from models.decoding.depth import U8, Box, in_bands
from models.decoding.jpeg_stream import SIGNATURE, read_stream
from models.decoding.orientation import upright
from models.decoding.pixel_room import pixel_room

__all__ = ["SIGNATURE", "check", "read"]

# libjpeg's texts (jerror.h). A restart marker in place of another is a lost piece in the middle; any other marker
# in its place ends the scan too early.
_MISSING = re.compile(r"[Pp]remature end|found marker 0x(?!d[0-7])\w+ instead of RST")
_UNREAD = re.compile(r"[Uu]nsupported|not supported")


def read(data: bytes) -> U8:
    """Decode the first picture of a JPEG or MPO to upright uint8 RGB [H, W, 3]; raises RejectedImageError."""
    stream = read_stream(data)
    with pixel_room(stream.width, stream.height):
        pixels = _decode(_repaired(data[: stream.end], stream.repairs), stream.components)
    return upright(pixels, stream.orientation)


def check(data: bytes) -> None:
    """Raise RejectedImageError unless this JPEG is whole: for the strips of other containers, of any shape."""
    stream = read_stream(data, check_area)
    with pixel_room(stream.width, stream.height):
        _decode(data[: stream.end], stream.components)


def _repaired(data: bytes, repairs: list[tuple[int, bytes]]) -> bytes:
    if not repairs:
        return data
    patched = bytearray(data)
    for at, new in repairs:
        patched[at : at + len(new)] = new
    return bytes(patched)


def _decode(data: bytes, components: int) -> U8:
    try:
        pixels: U8 = simplejpeg.decode_jpeg(data, "CMYK" if components == 4 else "RGB", strict=True)
    except ValueError as error:
        raise _rejection(str(error)) from error
    if components < 4:
        return pixels
    # Stored inverted, with or without Adobe's marker: Pillow's convention, and then its mapping of ink to light.
    height, width, _ = pixels.shape

    def mixed(band: Box) -> U8:
        rows = pixels[band[1] : band[3]]
        ink = Image.frombuffer("CMYK", (width, len(rows)), rows, "raw", "CMYK;I", 0, 1)
        return np.asarray(ink.convert("RGB"))

    return in_bands((width, height), mixed)


def _rejection(message: str) -> RejectedImageError:
    if "Could not determine subsampling" in message:  # what TurboJPEG says of any damaged header; sampling was checked
        return corrupt("libjpeg can't read the header")
    if _MISSING.search(message):
        return truncated(message)
    return unsupported(message) if _UNREAD.search(message) else corrupt(message)
