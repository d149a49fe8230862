"""Pillow as a decoder of files that were already looked through: opens one format, and turns any mode into RGB.

Whatever Pillow raises becomes a rejection here. It never sees a file's metadata: the readers hand it pictures without
text, profiles and EXIF, so no bomb in them can go off. Size limits are the readers' work, before Pillow is asked.
"""

import io
import sys
from collections.abc import Callable

import numpy as np
from PIL import BmpImagePlugin, Image, ImageFile, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from models.decoding.contract import MAX_PIXELS, RejectedImageError, corrupt, truncated, unsupported
from models.decoding.depth import SAMPLE_BITS, U8, Box, grey_to_rgb, in_bands, to_8_bit
from models.decoding.pixel_room import pixel_room

# The readers' own limit is the stricter one; Pillow's default would warn a little below it, and then decode anyway.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_PLUGINS: dict[str, Callable[[io.BytesIO], ImageFile.ImageFile]] = {
    "BMP": BmpImagePlugin.BmpImageFile,
    "PNG": PngImagePlugin.PngImageFile,
    "TIFF": TiffImagePlugin.TiffImageFile,
    "WEBP": WebPImagePlugin.WebPImageFile,
}
_EIGHT_BIT = {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr"}
_OTHER_BYTE_OF = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def decode_file(data: bytes, container: str, bits: int | None) -> U8:
    """Decode the first picture of a BMP, PNG, TIFF or WEBP file to uint8 RGB [H, W, 3], as it is stored.

    Alpha and palette transparency are dropped; samples over 8 bits are mapped by `bits`, 16 where None.
    Raises RejectedImageError only (and MemoryError).
    """
    depth = SAMPLE_BITS if bits is None else bits
    try:
        picture = _PLUGINS[container](io.BytesIO(data))
        with pixel_room(*picture.size):
            if ";16" in _raw_mode(picture) and picture.mode in ("RGB", "RGBA"):
                return _deep_colour(data, container, depth)
            picture.load()
            return _to_rgb(picture, depth)
    except (RejectedImageError, MemoryError):
        raise
    except Exception as error:
        raise _rejection(container, error) from error


def _raw_mode(picture: ImageFile.ImageFile) -> str:
    """How the samples lie in the file, in Pillow's words; empty where its decoder takes none."""
    args = picture.tile[0].args if picture.tile else ""
    mode = args[0] if isinstance(args, tuple) and args else args
    return mode if isinstance(mode, str) else ""


def _deep_colour(data: bytes, container: str, bits: int) -> U8:
    """16-bit colour, of which Pillow keeps one byte a sample: read twice, the second time taking the other byte."""
    high, low = (_PLUGINS[container](io.BytesIO(data)) for _ in range(2))
    raw_mode = _raw_mode(high).replace("RGBa", "RGBA")  # the stored channels, not divided by alpha
    _set_raw_mode(high, raw_mode)
    _set_raw_mode(low, raw_mode[:-1] + _OTHER_BYTE_OF[raw_mode[-1]])
    high.load()
    low.load()

    def levels(band: Box) -> U8:
        samples = np.asarray(high.crop(band))[..., :3].astype(np.uint16) << np.uint16(8)
        samples |= np.asarray(low.crop(band))[..., :3]
        return to_8_bit(samples, bits)

    return in_bands(high.size, levels)


def _set_raw_mode(picture: ImageFile.ImageFile, raw_mode: str) -> None:
    picture.tile = [
        tile._replace(args=(raw_mode, *tile.args[1:]) if isinstance(tile.args, tuple) else raw_mode)
        for tile in picture.tile
    ]


def _to_rgb(picture: Image.Image, bits: int) -> U8:
    return in_bands(picture.size, lambda band: _band_to_rgb(picture.crop(band), bits))


def _band_to_rgb(picture: Image.Image, bits: int) -> U8:
    if picture.mode in _EIGHT_BIT:
        if picture.mode in ("La", "RGBa"):  # Pillow converts these in two steps only
            picture = picture.convert(picture.mode.upper())
        return np.asarray(picture.convert("RGB"))
    if picture.mode.startswith("I;16"):
        return grey_to_rgb(to_8_bit(np.asarray(picture).astype(np.uint16), bits))
    if picture.mode == "I":  # signed or 32-bit samples: what lies outside 16 bits is clipped
        return grey_to_rgb(to_8_bit(np.asarray(picture).clip(0, 2**SAMPLE_BITS - 1).astype(np.uint16), bits))
    raise unsupported(f"samples of Pillow's mode {picture.mode}, expected integers")


def _rejection(container: str, error: Exception) -> RejectedImageError:
    """Pillow has no tree of errors; its texts are all there is."""
    text = f"{container}: {error or type(error).__name__}"
    if "truncated" in text.lower() or "not enough image data" in text:
        return truncated(text)
    if any(word in text.lower() for word in ("unsupported", "unknown pixel mode", "unknown data organization")):
        return unsupported(text)
    return corrupt(text)
