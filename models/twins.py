"""Near duplicates: pictures that are the same one, encoded again, resized, or made a little brighter. Pure.

Place in the flow: `lineside dataset check` looks for them across splits, where they would make a model look better
than it is. Parts in a fixture all look alike, so pictures are compared by their fine structure less what all of them
share; another photograph of the same part differs by more (that is what part ids are for). Measured on 400 synthetic
surfaces that share one texture: re-encoded at JPEG quality 50, halved or with noise of 3 grey levels 0.991 to 0.999,
two different parts at most 0.987.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageFilter

if TYPE_CHECKING:
    from models.likeness import F32, U8

SIDE = 64  # pixels of the grey copy that is compared
BLUR = 4  # radius of what counts as light, not as structure
ALIKE = 0.99
_ROWS = 512  # compared at once


@dataclass(frozen=True, slots=True)
class Twin:
    """Two pictures, by their places in what was compared, and the correlation of their structure."""

    first: int
    second: int
    likeness: float


def structure(pixels: U8) -> F32:
    """The fine structure of an upright uint8 RGB picture [h, w, 3]: float32 [4096]."""
    grey = Image.fromarray(pixels).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX)
    light = grey.filter(ImageFilter.BoxBlur(BLUR))
    fine = np.asarray(grey, np.float32) - np.asarray(light, np.float32)
    return np.asarray(fine - fine.mean(), np.float32).reshape(-1)


def twins(structures: F32, groups: Sequence[Any], alike: float = ALIKE) -> list[Twin]:
    """Pairs [n, 4096] of different groups whose structures correlate by `alike` or more, the likest first.

    `groups`: pictures of one group, such as a split, are not compared. Pictures without any structure have no twin.
    """
    if len(structures) < 2:
        return []
    special = structures - structures.mean(axis=0)
    norms = np.linalg.norm(special, axis=1, keepdims=True)
    unit = np.divide(special, norms, out=np.zeros_like(special), where=norms > 1e-3)
    of = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)[1]
    found = list[Twin]()
    for start in range(0, len(unit), _ROWS):
        likeness = unit[start : start + _ROWS] @ unit.T  # [rows, n]
        apart = of[start : start + _ROWS, None] != of[None, :]
        for row, column in np.argwhere((likeness >= alike) & apart):
            first = start + int(row)
            if first < column:
                found.append(Twin(first, int(column), float(min(1.0, likeness[row, column]))))
    return sorted(found, key=lambda twin: (-twin.likeness, twin.first, twin.second))
