"""EXIF orientation: find it in a TIFF directory, and turn pixels upright.

JPEG, PNG and WebP embed such a directory, a TIFF file is one. Metadata never rejects a picture: whatever can't be
read counts as 1, upright.
"""

import struct

from models.decoding.depth import U8

ORIENTATION_TAG = 0x0112
_SHORT, _LONG = 3, 4


def exif_orientation(exif: bytes) -> int:
    """The orientation 1 to 8 in an EXIF blob, with or without its `Exif` prefix; 1 if absent, odd or damaged."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(order + "I", tiff, 4)
        (count,) = struct.unpack_from(order + "H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(order + "HH", tiff, entry)
            if tag == ORIENTATION_TAG and kind in (_SHORT, _LONG):
                (value,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:
        pass
    return 1


def upright(pixels: U8, orientation: int) -> U8:
    """Turn [H, W, 3] stored under this EXIF orientation (1 to 8) upright; 5 to 8 exchange the sides."""
    if orientation >= 5:  # row 0 of the file is a side of the scene
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
