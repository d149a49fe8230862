"""Defects drawn onto a metal surface: scratch, dent, stain, crack. `surface.py` decides which, where and how bad.

Each has a strength from a faint one of about the texture's own noise (severity 0, some 4 grey levels) to one that is
plain to see (severity 1); size grows along. Knows nothing of parts, SKUs or labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]
Plane = npt.NDArray[np.float32]
Window = tuple[slice, slice]

_STAIN_COLOUR = np.asarray((0.45, 0.62, 0.85), np.float32)  # share of each channel that a full stain takes away


@dataclass(frozen=True, slots=True, eq=False)
class Patch:
    """A window of the picture with its pixels' coordinates: x as [1, w], y as [h, 1]."""

    window: Window
    x: Plane
    y: Plane

    def from_segment(self, start: Point, end: Point) -> tuple[Plane, Plane, Plane]:
        """Distance to the segment and the unit direction away from it (x, y), each [h, w]."""
        run_x, run_y = end[0] - start[0], end[1] - start[1]
        square = run_x * run_x + run_y * run_y
        off_x, off_y = self.x - np.float32(start[0]), self.y - np.float32(start[1])
        if square > 0:
            along = np.clip((off_x * run_x + off_y * run_y) / square, 0, 1)
            off_x, off_y = off_x - along * run_x, off_y - along * run_y
        distance = np.sqrt(off_x * off_x + off_y * off_y)
        safe = np.maximum(distance, np.float32(1e-3))
        return distance, off_x / safe, off_y / safe


@dataclass(slots=True, eq=False)
class Canvas:
    """A picture in the making: `light` is brightness 0 to 255, float32 [height, width]; `direction` is the light's."""

    light: Plane
    direction: float
    scale: float
    stains: list[tuple[Window, Plane]] = field(default_factory=list)

    def patch(self, start: Point, end: Point, margin: float) -> Patch | None:
        """The window around a segment, cut at the borders; None where nothing of it is in the picture."""
        height, width = self.light.shape
        left, right = sorted((start[0], end[0]))
        top, bottom = sorted((start[1], end[1]))
        x0, x1 = max(0, int(left - margin)), min(width, int(right + margin) + 2)
        y0, y1 = max(0, int(top - margin)), min(height, int(bottom + margin) + 2)
        if x0 >= x1 or y0 >= y1:
            return None
        x, y = np.arange(x0, x1, dtype=np.float32)[None, :], np.arange(y0, y1, dtype=np.float32)[:, None]
        return Patch((slice(y0, y1), slice(x0, x1)), x, y)

    def picture(self, lut: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """RGB uint8 [height, width, 3]; `lut` is [256, 3], brightness to colour."""
        grey = np.clip(self.light, 0, 255).astype(np.uint8)
        rgb = lut[grey]
        for window, alpha in self.stains:
            area = rgb[window]
            rgb[window] = (area * (1 - alpha[:, :, None] * _STAIN_COLOUR)).astype(np.uint8)
        return rgb


def scratch(canvas: Canvas, rng: np.random.Generator, at: Point, severity: float) -> None:
    """A bent line, bright with a dark flank, 60 to 260 pixels long and 1.4 to 3.6 wide."""
    length = (60 + 200 * severity * rng.uniform(0.6, 1)) * canvas.scale
    angle, bend = rng.uniform(0, math.pi), rng.uniform(-0.12, 0.12)
    points = [(at[0] - math.cos(angle) * length / 2, at[1] - math.sin(angle) * length / 2)]
    for _ in range(6):
        points.append(_step(points[-1], angle, length / 6))
        angle += bend
    _line(canvas, points, (1.4 + 2.2 * severity) * canvas.scale, 5 + 85 * severity**0.8, flank=-0.5)


def crack(canvas: Canvas, rng: np.random.Generator, at: Point, angle: float, severity: float) -> None:
    """A dark, jagged line that thins out and forks once, 30 to 150 pixels long."""
    length = (30 + 120 * severity * rng.uniform(0.6, 1)) * canvas.scale
    width, depth = (1.4 + 2.2 * severity) * canvas.scale, -(5 + 105 * severity**0.8)
    points = _jagged(rng, at, angle, length, 10)
    _line(canvas, points, width, depth, flank=0.0)
    fork = _jagged(rng, points[5], angle + rng.choice((-0.7, 0.7)), length * 0.4, 5)
    _line(canvas, fork, width * 0.7, depth * 0.8, flank=0.0)


def dent(canvas: Canvas, rng: np.random.Generator, at: Point, severity: float) -> None:
    """A hollow of 12 to 40 pixels: its wall facing the light is bright, the other dark."""
    radius = (12 + 28 * severity * rng.uniform(0.6, 1)) * canvas.scale
    patch = canvas.patch(at, at, 2.2 * radius)
    if patch is None:
        return
    stretch, lean = rng.uniform(0.75, 1.3), rng.uniform(-0.4, 0.4)
    x, y = (patch.x - at[0]) / radius, (patch.y - at[1]) / radius
    x, y = x * stretch + y * lean, y + np.zeros_like(x)
    hollow = np.exp(-(x * x + y * y) * 1.6)
    facing = x * math.cos(canvas.direction) + y * math.sin(canvas.direction)
    canvas.light[patch.window] += (4 + 75 * severity) * (2.0 * facing * hollow - 0.35 * hollow)


def stain(canvas: Canvas, rng: np.random.Generator, at: Point, severity: float) -> None:
    """A brownish blot of 20 to 75 pixels with a ragged, slightly darker rim."""
    radius = (20 + 55 * severity * rng.uniform(0.6, 1)) * canvas.scale
    patch = canvas.patch(at, at, 1.6 * radius)
    if patch is None:
        return
    x, y = (patch.x - at[0]) / radius, (patch.y - at[1]) / radius
    angle, far = np.arctan2(y, x), np.sqrt(x * x + y * y)
    rim = 1 + sum(rng.uniform(-0.5, 0.5) / k * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 6))
    rim = np.maximum(rim, 0.35)
    body = np.clip((rim - far) * 4, 0, 1)
    ring = np.clip(1 - np.abs(far - rim + 0.12) * 9, 0, 1)
    canvas.stains.append((patch.window, ((0.03 + 0.5 * severity) * (0.75 * body + 0.35 * ring)).astype(np.float32)))


def _step(at: Point, angle: float, length: float) -> Point:
    return at[0] + math.cos(angle) * length, at[1] + math.sin(angle) * length


def _jagged(rng: np.random.Generator, at: Point, angle: float, length: float, steps: int) -> list[Point]:
    points = [at]
    for turn in rng.uniform(-0.75, 0.75, steps):
        points.append(_step(points[-1], angle + turn, length / steps))
    return points


def _line(canvas: Canvas, points: list[Point], width: float, strength: float, flank: float) -> None:
    """A soft line of `strength` grey levels that thins to its end, with a shadow of `flank` x strength beside it."""
    low, high = (
        (min(x for x, _ in points), min(y for _, y in points)),
        (max(x for x, _ in points), max(y for _, y in points)),
    )
    whole = canvas.patch(low, high, 2 * width + 3)
    if whole is None:
        return
    offset = (whole.window[0].start, whole.window[1].start)
    mark = np.zeros((whole.y.shape[0], whole.x.shape[1]), np.float32)
    for index, (start, end) in enumerate(pairwise(points)):
        piece = canvas.patch(start, end, 2 * width + 2)
        if piece is None:
            continue
        distance, _, away_y = piece.from_segment(start, end)
        thin = width * (1 - 0.5 * index / len(points))
        core = np.clip(thin / 2 + 0.5 - distance, 0, 1)
        beside = flank * np.clip(1 - np.abs(distance - thin) / thin, 0, 1) * (away_y > 0)
        rows, columns = (slice(s.start - o, s.stop - o) for s, o in zip(piece.window, offset, strict=True))
        area, new = mark[rows, columns], core + beside
        np.copyto(area, new, where=np.abs(new) > np.abs(area))
    area = canvas.light[whole.window]
    area += strength * mark * np.clip(area / 120, 0, 1)  # nothing shows inside a bore
