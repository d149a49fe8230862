"""How alike two pictures are: equal pixels, nearly equal ones, and a small descriptor for want of a model.

Place in the flow: the sampler and the data set compare decoded pictures by these. All functions are pure and take
upright uint8 RGB [h, w, 3] as `models.preprocess.decode` gives it. Knows no file, event or model.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from PIL import Image

U8 = np.ndarray[Any, np.dtype[np.uint8]]
F32 = np.ndarray[Any, np.dtype[np.float32]]
GRID = 8  # cells a side of the descriptor


def pixel_sha256(pixels: U8) -> str:
    """Hex digest of size and pixels: equal for equal pictures, whatever file they came in."""
    return hashlib.sha256(str(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()


def near_hash(pixels: U8) -> int:
    """64-bit perceptual hash (imagehash's `phash`: signs of the lowest 8 x 8 DCT terms of a 32 x 32 grey copy)."""
    import imagehash  # brings scipy: only for who compares pictures

    bits = imagehash.phash(Image.fromarray(pixels)).hash.flatten()
    return int("".join("1" if bit else "0" for bit in bits), 2)


def descriptor(pixels: U8) -> F32:
    """Mean colours of an 8 x 8 grid less the picture's own mean, float32 [192]; says where a picture is lighter."""
    small = np.asarray(Image.fromarray(pixels).resize((GRID, GRID), Image.Resampling.BOX), np.float32) / 255
    return np.asarray(small - small.mean(axis=(0, 1)), np.float32).reshape(-1)
