"""Masks to polygons and back. Pure; knows no network.

Coordinates are of edges: pixel (0, 0) reaches from 0 to 1, its middle is 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import contourpy
import numpy as np
from PIL import Image, ImageDraw

Point = tuple[float, float]
Polygon = tuple[Point, ...]
F32 = np.ndarray[Any, np.dtype[np.float32]]
F64 = np.ndarray[Any, np.dtype[np.float64]]
U8 = np.ndarray[Any, np.dtype[np.uint8]]

MASKED = 0.5  # a mask's probability from which a place belongs to it
MAX_POINTS = 64
_FINER = 4  # polygons are drawn so many times larger: Pillow fills whatever a border touches
_FIRST_TOLERANCE = 1 / 128  # of the larger side
_LEAST_AREA = 1e-9


def outline(mask: F32, x: float, y: float, width: float, height: float) -> Polygon:
    """The largest outline of a mask's probabilities, float32 [rows, columns], that fill this box; empty for none."""
    found = [contour * (width, height) + (x, y) for contour in _contours(mask)]
    if not found or (area := _area(largest := max(found, key=_area))) <= _LEAST_AREA or not np.isfinite(area):
        return ()
    return _polygon(simplified(np.clip(largest, (x, y), (x + width, y + height)), max(width, height)))


def outlines_of(mask: U8) -> tuple[Polygon, ...]:
    """All outer borders of a drawn mask, uint8 or bool [h, w], in its pixels, at most MAX_POINTS corners each."""
    height, width = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return ()
    top, left = rows[0], columns[0]
    cut = np.asarray(mask[top : rows[-1] + 1, left : columns[-1] + 1], np.float32)
    found = [contour * cut.shape[::-1] + (left, top) for contour in _contours(cut)]
    outer = [simplified(c, max(cut.shape)) for c in found if _signed_area(c) * _outside(found) > _LEAST_AREA]
    return tuple(_polygon(np.clip(contour, 0, (width, height))) for contour in outer)


def drawn(polygons: Sequence[Polygon], height: int, width: int) -> U8:
    """All of the polygons together as a mask of ones, uint8 [height, width]."""
    mask = np.zeros((height, width), np.uint8)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64)
        left, top = np.clip(np.floor(corners.min(axis=0)).astype(int), 0, (width, height))
        right, bottom = np.clip(np.ceil(corners.max(axis=0)).astype(int), 0, (width, height))
        if len(polygon) < 3 or left >= right or top >= bottom:
            continue
        fine = Image.new("L", (int(right - left) * _FINER, int(bottom - top) * _FINER))
        moved = (corners - (left, top)) * _FINER - 0.5
        ImageDraw.Draw(fine).polygon([(float(x), float(y)) for x, y in moved], fill=255)
        small = np.asarray(fine.reduce(_FINER))
        mask[top:bottom, left:right] |= (small >= 128).astype(np.uint8)
    return mask


def simplified(corners: F64, side: float) -> F64:
    """A closed line [n, 2] with corners left out until MAX_POINTS remain (Douglas and Peucker 1973); `side`: its size.

    None that stays is farther than the tolerance from what was left out; it begins at a 128th of the side.
    """
    tolerance = _FIRST_TOLERANCE * side
    while True:
        kept = corners[_kept(corners, tolerance)]
        if len(kept) <= MAX_POINTS or tolerance <= 0:
            return kept if len(kept) >= 3 else corners[:: max(1, len(corners) // MAX_POINTS)][:MAX_POINTS]
        tolerance *= 1.5


def _kept(corners: F64, tolerance: float) -> list[int]:
    """Which corners stay of a closed line: of its halves between the first corner and the one farthest from it."""
    far = int(((corners - corners[0]) ** 2).sum(axis=1).argmax())
    ring = np.concatenate((corners, corners[:1]))
    stay, spans = {0, far}, [(0, far), (far, len(corners))]
    while spans:
        start, end = spans.pop()
        if end - start < 2:
            continue
        off = _distances(ring[start + 1 : end], ring[start], ring[end])
        if off.max() > tolerance:
            middle = start + 1 + int(off.argmax())
            stay.add(middle)
            spans += [(start, middle), (middle, end)]
    return sorted(stay)


def _distances(points: F64, start: F64, end: F64) -> F64:
    run = end - start
    length = float(np.hypot(*run))
    off = points - start
    if length == 0:
        return np.asarray(np.hypot(off[:, 0], off[:, 1]), np.float64)
    return np.asarray(np.abs(off[:, 0] * run[1] - off[:, 1] * run[0]) / length, np.float64)


def _contours(mask: F32) -> list[F64]:
    """Closed lines at MASKED, float64 [n, 2] as shares of the mask's width and height, the last corner left out."""
    rows, columns = mask.shape
    padded = np.zeros((rows + 2, columns + 2), np.float32)
    padded[1:-1, 1:-1] = mask
    across, down = (np.arange(n + 2) - 0.5 for n in (columns, rows))
    lines: Any = contourpy.contour_generator(across, down, padded).lines(MASKED)
    return [np.asarray(line, np.float64)[:-1] / (columns, rows) for line in lines if len(line) > 3]


def _signed_area(corners: F64) -> float:
    x, y = corners[:, 0], corners[:, 1]
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2


def _area(corners: F64) -> float:
    return abs(_signed_area(corners))


def _outside(contours: Sequence[F64]) -> float:
    """The sign of the area of outer borders: the largest is one, and holes run the other way."""
    return float(np.sign(_signed_area(max(contours, key=_area))))


def _polygon(corners: F64) -> Polygon:
    return tuple((float(x), float(y)) for x, y in corners)
