"""A place of a defect as everybody sees it. Knows no network, and loads none."""

from __future__ import annotations

from dataclasses import dataclass

MAX_PLACES = 100  # of one picture


@dataclass(frozen=True, slots=True)
class Place:
    """Where a defect is, in pixels of the upright picture, within it; `score` 0 to 1.

    Coordinates are of edges: 0 is the left edge of the first pixel, the picture's width the right one of the last.
    `outline` is the polygon of its mask, its corners in turn and the first not repeated; empty where there is none.
    """

    label: str
    score: float
    x: float
    y: float
    width: float
    height: float
    outline: tuple[tuple[float, float], ...] = ()
