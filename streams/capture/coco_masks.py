"""COCO's `segmentation` as polygons: its lists of corners, and masks that are run-length encoded, plain or packed.

The encoding is that of the COCO API's `maskApi.c`: runs of zeros and ones in turn down the columns; packed as
characters of 5 bits and a flag, each run but the first three as its difference from the one before the last. Pure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from models.decoding.contract import MAX_PIXELS

if TYPE_CHECKING:
    from models.dataset_rows import Polygon

_CORNERS = 3  # of a polygon, at least
_ZERO, _BITS, _MORE, _SIGN = 48, 5, 0x20, 0x10


def outlines_in(segmentation: Any) -> tuple[Polygon, ...]:
    """The polygons of an annotation; none where it has no mask. ValueError or TypeError for what is no mask."""
    if not segmentation:
        return ()
    if isinstance(segmentation, dict):
        return _of_runs(segmentation["counts"], segmentation["size"])
    return tuple(_polygon(numbers) for numbers in segmentation)


def _polygon(numbers: list[float]) -> Polygon:
    values = [float(number) for number in numbers]
    if len(values) % 2 or len(values) < 2 * _CORNERS or not all(map(math.isfinite, values)):
        raise ValueError(f"a polygon is x, y, x, y … of {_CORNERS} corners at least; came {numbers!r:.80}")
    return tuple(zip(values[::2], values[1::2], strict=True))


def _of_runs(counts: Any, size: Any) -> tuple[Polygon, ...]:
    from models.locating.outlines import outlines_of  # a moment that labels without masks need not pay

    height, width = size
    if type(height) is not int or type(width) is not int or not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"a mask's size is height and width, {MAX_PIXELS:,} pixels at most; came {size!r:.40}")
    runs = np.asarray(_unpacked(counts) if isinstance(counts, str) else counts, np.int64)
    if runs.ndim != 1 or runs.min(initial=0) < 0 or runs.max(initial=0) > MAX_PIXELS or runs.sum() != height * width:
        raise ValueError(f"a mask's runs must add up to its {height * width} pixels")
    ones = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
    return outlines_of(ones.reshape(width, height).T)


def _unpacked(text: str) -> list[int]:
    """Runs of the packed form."""
    runs, value, shift = list[int](), 0, 0
    for character in text:
        bits = ord(character) - _ZERO
        if not 0 <= bits < 2 * _MORE or shift > 6 * _BITS:
            raise ValueError(f"{text[:20]!r} is no packed run-length encoding")
        value |= (bits & (_MORE - 1)) << shift
        shift += _BITS
        if not bits & _MORE:
            if bits & _SIGN:
                value -= 1 << shift
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    return runs
