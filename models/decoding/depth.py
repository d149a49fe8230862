"""Deep samples to 8 bits, the same for files and raw frames: round(v * 255 / (2**bits - 1)), 255 above the top.

And how a large picture is converted: a band of rows after another, so that what lies between its decoder's form and
ours is never as large as the picture.

Pure numpy; knows no container.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.decoding.contract import RejectedImageError

U8: TypeAlias = npt.NDArray[np.uint8]
Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels, the last two outside."""
SAMPLE_BITS = 16
BAND_PIXELS = 1 << 20


@lru_cache(maxsize=SAMPLE_BITS)
def _table(bits: int) -> U8:
    """Level for each of the 65,536 sample values, uint8 [65536]."""
    top = 2**bits - 1
    # Integer rounding: ties can't occur, since 2**bits - 1 is odd and so v * 255 / top never ends in one half.
    levels = (np.arange(2**SAMPLE_BITS, dtype=np.int64) * 510 + top) // (2 * top)
    table: U8 = np.minimum(levels, 255).astype(np.uint8)
    return table


def to_8_bit(samples: npt.NDArray[np.unsignedinteger], bits: int) -> U8:
    """Map unsigned samples of up to 16 bits, any shape, to levels 0..255.

    Raises RejectedImageError SIZE_MISMATCH for a depth that no 16-bit sample can have.
    """
    if not 1 <= bits <= SAMPLE_BITS:
        raise RejectedImageError("SIZE_MISMATCH", f"declared bits {bits}, expected 1 to {SAMPLE_BITS}")
    levels: U8 = _table(bits)[samples]
    return levels


def grey_to_rgb(plane: U8) -> U8:
    """Three equal channels: [H, W] to [H, W, 3]."""
    pixels = np.empty((*plane.shape, 3), np.uint8)
    pixels[...] = plane[..., None]
    return pixels


def in_bands(size: tuple[int, int], convert: Callable[[Box], U8]) -> U8:
    """All bands of a picture of this width and height, [H, W, 3]; `convert` gives [rows of the box, W, 3]."""
    width, height = size
    pixels = np.empty((height, width, 3), np.uint8)
    rows = max(1, BAND_PIXELS // width)
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        pixels[top:bottom] = convert((0, top, width, bottom))
    return pixels
