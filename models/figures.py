"""Figures of how a picture was taken: light, focus, and where its edges lie; what a camera's drift is told from. Pure.

Place in the flow: measured where a picture is decoded for inspection, of the picture as the camera gave it, before a
network's input is made of it; carried by the verdict. It must cost next to nothing beside decoding, so some rows and
columns are looked at, and these pixel by pixel: a picture made smaller is always in focus. Knows no reference and no
camera.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from schemas.records import PictureFigures

LINES = 16  # rows, and columns, that are looked at; a few more where the side does not divide
COLUMNS_MOST = 16_384  # pixels of columns: each costs a line of the processor's cache
APART = 8  # pixels of a row between those whose level is looked at
STRONG = 9.0  # an edge is a step whose square is so many times the mean
NEAR_END = 3  # levels of 255 by which what is clipped may differ from black or white: JPEG blurs it
_FLAT = 1e-3  # variance of levels of 255 below which there is nothing to be sharp
_GREEN = 1

U8 = np.ndarray[Any, np.dtype[np.uint8]]
F32 = np.ndarray[Any, np.dtype[np.float32]]


def figures_of(pixels: U8) -> PictureFigures:
    """Of a picture, upright RGB uint8 [h, w, 3], of at least 2 pixels a side; the same pixels give the same figures.

    Steps between neighbours are those of green, levels those of all three. Without any edge, edges are in the middle.
    """
    height, width, _ = pixels.shape
    rows = pixels[_every(height, LINES)]
    across = rows[:, :, _GREEN].astype(np.float32)  # [rows, w]
    down = pixels[:, _every(width, min(LINES, COLUMNS_MOST // height)), _GREEN].astype(np.float32)  # [h, columns]
    steps, along, upright = _steps(across, down)
    levels = rows[:, ::APART].astype(np.float32)
    mean = float(np.einsum("ijk->", levels)) / levels.size
    variance = max(0.0, float(np.einsum("ijk,ijk->", levels, levels)) / levels.size - mean * mean)
    clipped = int(np.count_nonzero(np.abs(levels - 127.5) > 127.5 - NEAR_END))
    return PictureFigures(
        brightness=mean / 255,
        contrast=variance**0.5 / 255,
        sharpness=steps / variance if variance > _FLAT else 0.0,
        clipped=clipped / levels.size,
        edge_x=_centre(along),
        edge_y=_centre(upright),
    )


def _every(side: int, count: int) -> slice:
    """About `count` lines, evenly over a side."""
    step = max(1, side // max(1, count))
    return slice(step // 2, None, step)


def _steps(across: F32, down: F32) -> tuple[float, F32, F32]:
    """The mean square of the steps between neighbours, and the strong squares' sum by place across and down."""
    (rows, width), (height, columns) = across.shape, down.shape
    squares = np.empty(rows * (width - 1) + (height - 1) * columns, np.float32)  # in one: calls cost more than pixels
    in_rows, in_columns = np.split(squares, [rows * (width - 1)])
    by_row, by_column = in_rows.reshape(rows, width - 1), in_columns.reshape(height - 1, columns)
    np.subtract(across[:, 1:], across[:, :-1], out=by_row)
    np.subtract(down[1:], down[:-1], out=by_column)
    squares *= squares
    mean = float(np.einsum("i->", squares)) / len(squares)
    squares *= squares > STRONG * mean
    return mean, np.einsum("ij->j", by_row), np.einsum("ij->i", by_column)


def _centre(edges: F32) -> float:
    """The mean place of edges [side - 1], as a share of the side."""
    total = float(np.einsum("i->", edges))
    return float(np.einsum("i,i->", edges, _places(len(edges)))) / total if total > 0 else 0.5


@lru_cache(maxsize=64)
def _places(count: int) -> F32:
    return np.arange(1, count + 1, dtype=np.float32) / np.float32(count + 1)
