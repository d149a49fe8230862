"""Draws pictures of machined metal parts, good or with one known defect: the synthetic cameras' and trainer's pictures.

Procedural and seeded: the same `Part` gives the same pixels, and a good and a bad part of one seed differ by the
defect alone. A SKU fixes material, light and machined features; the seed moves the part a few pixels, changes the
light a little and lays the texture. Knows nothing of frames, cameras or encodings.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from streams.capture.blemishes import Canvas, Point, crack, dent, scratch, stain

DEFECTS = ("scratch", "dent", "stain", "crack", "missing_feature")
GOOD = "good"

Plane = npt.NDArray[np.float32]

_DESIGN_WIDTH = 640  # layouts are in pixels of a 640 x 480 picture
_KINDS = ("flange", "plate", "bracket")  # turned, brushed along, brushed down; by a SKU's first word, else by its hash
_SHIFT = 6  # pixels a part may lie beside its nominal place
_FAINTEST_LOSS = 0.08  # share of a feature's depth that is missing at severity 0
_TINTS = ((0.96, 0.99, 1.03), (1.0, 1.0, 1.0), (1.05, 1.0, 0.88), (1.03, 0.99, 0.95))  # steel, aluminium, brass, nickel


@dataclass(frozen=True, slots=True)
class Part:
    """One picture to draw: `severity` 1 is plain to see, 0 lies in the texture's own noise; `view` counts from 1."""

    sku: str
    seed: int
    view: int = 1
    defect: str | None = None
    severity: float = 1.0

    def __post_init__(self) -> None:
        if self.defect is not None and self.defect not in DEFECTS:
            raise ValueError(f"defect must be one of {', '.join(DEFECTS)} or None; came {self.defect!r}")
        if not 0.0 <= self.severity <= 1.0:
            raise ValueError(f"severity must lie in 0 to 1; came {self.severity}")

    @property
    def label(self) -> str:
        return self.defect or GOOD


@dataclass(frozen=True, slots=True)
class Feature:
    """A drilled hole (`start` == `end`) or a milled slot between two points; lengths in pixels."""

    start: Point
    end: Point
    radius: float

    def moved(self, dx: float, dy: float) -> Feature:
        return Feature((self.start[0] + dx, self.start[1] + dy), (self.end[0] + dx, self.end[1] + dy), self.radius)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What all parts of one SKU and view share, at one size of picture."""

    features: tuple[Feature, ...]
    base: Plane  # brightness of smooth metal, [height + 2 shift, width + 2 shift]: a part's place is a crop of it
    rings: npt.NDArray[np.intp] | None  # distance from the turning centre, like `base`; None: brushed
    upright: bool  # brushed from top to bottom instead of left to right
    lut: npt.NDArray[np.uint8]  # [256, 3], brightness to colour
    light: float  # direction the light comes from, radians
    scale: float


def draw(part: Part, width: int = 640, height: int = 480) -> npt.NDArray[np.uint8]:
    """The picture, RGB uint8 [height, width, 3]. Deterministic in its arguments."""
    if min(width, height) < 32:
        raise ValueError(f"a picture needs at least 32 pixels a side; came {width} x {height}")
    layout = _layout(part.sku, part.view, width, height)
    rng = np.random.Generator(np.random.SFC64([part.seed & 0xFFFFFFFFFFFFFFFF, _number(part.sku), part.view]))
    marks = np.random.Generator(np.random.SFC64([part.seed & 0xFFFFFFFFFFFFFFFF, _number(part.sku), part.view, 1]))
    dx, dy = (int(v) for v in rng.integers(-_SHIFT, _SHIFT + 1, 2))
    window = (slice(_SHIFT - dy, _SHIFT - dy + height), slice(_SHIFT - dx, _SHIFT - dx + width))
    canvas = Canvas(_texture(layout, window, rng), layout.light, layout.scale)
    features = [f.moved(dx, dy) for f in layout.features]
    spoiled = int(marks.integers(len(features))) if part.defect == "missing_feature" else -1
    loss = _FAINTEST_LOSS + (1 - _FAINTEST_LOSS) * part.severity
    for index, feature in enumerate(features):
        _machine(canvas, feature, 1 - loss if index == spoiled else 1.0)
    _dust(canvas, rng)
    if part.defect and spoiled < 0:
        _spoil(canvas, part, features, marks)
    return canvas.picture(layout.lut)


def _spoil(canvas: Canvas, part: Part, features: list[Feature], rng: np.random.Generator) -> None:
    if part.defect == "crack":  # cracks start where stress gathers: at a hole's rim
        feature = features[int(rng.integers(len(features)))]
        angle = rng.uniform(0, 2 * math.pi)
        rim = (feature.end[0] + feature.radius * math.cos(angle), feature.end[1] + feature.radius * math.sin(angle))
        crack(canvas, rng, rim, angle, part.severity)
        return
    {"scratch": scratch, "dent": dent, "stain": stain}[str(part.defect)](
        canvas, rng, _free_place(canvas, features, rng), part.severity
    )


def _free_place(canvas: Canvas, features: list[Feature], rng: np.random.Generator) -> Point:
    """A point on the metal, clear of features: bright enough, and the clearest of a few tries."""
    height, width = canvas.light.shape
    best, clearance = (width / 2, height / 2), -math.inf
    for _ in range(12):
        x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.12, 0.88) * height
        away = min(math.dist((x, y), f.start) - f.radius for f in features)
        if canvas.light[int(y), int(x)] < 70:
            away = -1e6
        if away > 25 * canvas.scale:
            return x, y
        if away > clearance:
            best, clearance = (x, y), away
    return best


def _texture(layout: Layout, window: tuple[slice, slice], rng: np.random.Generator) -> Plane:
    """Machining marks and sensor grain on the smooth metal, float32 [height, width]."""
    base = layout.base[window]
    height, width = base.shape
    if layout.rings is not None:
        depth = layout.rings.max() + 1
        fine = rng.normal(0, 5.0, depth) + np.repeat(rng.normal(0, 4.0, depth // 5 + 1), 5)[:depth]
        marks = fine.astype(np.float32)[layout.rings[window]]
    else:
        along, across = (height, width) if layout.upright else (width, height)
        short = rng.integers(0, 256, (across, max(2, along // 24)), dtype=np.uint8)
        long = rng.integers(0, 256, (across, 3), dtype=np.uint8)
        marks = _stretch(short, along) * np.float32(0.085) + _stretch(long, along) * np.float32(0.05)
        marks = marks.T if layout.upright else marks
        marks = marks - np.float32(127.5 * 0.135)
    grain = rng.integers(0, 256, base.shape, dtype=np.uint8) * np.float32(0.03)
    gain = np.float32(rng.normal(1.0, 0.05))
    shown = base * np.float32(1 / 150)  # marks show less where little light falls
    light: Plane = base * gain + marks * shown + (grain - np.float32(3.8))
    return light


def _stretch(noise: npt.NDArray[np.uint8], length: int) -> Plane:
    """[n, few] noise drawn out to [n, length]."""
    return np.asarray(Image.fromarray(noise).resize((length, noise.shape[0]), Image.Resampling.BICUBIC), np.float32)


def _machine(canvas: Canvas, feature: Feature, depth: float) -> None:
    """A hole or slot: dark bore, chamfer lit on the side away from the light; depth 1 is machined, 0 not there."""
    patch = canvas.patch(feature.start, feature.end, feature.radius + 5 * canvas.scale)
    if patch is None or depth <= 0:
        return
    distance, away_x, away_y = patch.from_segment(feature.start, feature.end)
    inside = np.clip(feature.radius - distance + 0.5, 0, 1)
    chamfer = np.clip(1 - np.abs(distance - feature.radius) / (2.5 * canvas.scale), 0, 1)
    facing = -(away_x * math.cos(canvas.direction) + away_y * math.sin(canvas.direction))
    area = canvas.light[patch.window]
    area += depth * (inside * (24 + 22 * facing * inside - area) + chamfer * facing * 55)


def _dust(canvas: Canvas, rng: np.random.Generator) -> None:
    """A few specks that are no defect: good parts are not spotless."""
    height, width = canvas.light.shape
    for _ in range(int(rng.integers(0, 6))):
        x, y = int(rng.integers(0, width - 2)), int(rng.integers(0, height - 2))
        canvas.light[y : y + 2, x : x + 2] += np.float32(rng.uniform(-28, 20))


@lru_cache(maxsize=64)
def _layout(sku: str, view: int, width: int, height: int) -> Layout:
    rng = np.random.default_rng([_number(sku), view])
    look = np.random.default_rng(_number(sku))  # material is the same from every side
    drawn, tint, level = int(look.integers(3)), _TINTS[int(look.integers(len(_TINTS)))], look.uniform(140, 170)
    kind = next((name for name in _KINDS if sku.startswith(name)), _KINDS[drawn])
    scale = width / _DESIGN_WIDTH
    centre = (320 + rng.uniform(-30, 30), 240 + rng.uniform(-20, 20))
    placed = _flange(rng, centre) if kind == "flange" else _plate(rng) if kind == "plate" else _bracket(rng)
    features = tuple(_scaled(f, scale, height / 480) for f in placed)
    y, x = np.mgrid[-_SHIFT : height + _SHIFT, -_SHIFT : width + _SHIFT].astype(np.float32)
    light = rng.uniform(0, 2 * math.pi)
    slope = ((x / width - 0.5) * math.cos(light) + (y / height - 0.5) * math.sin(light)) * -38
    falloff = ((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * -50
    base = level + slope + falloff
    rings = None
    if kind == "flange":
        from_x, from_y = x - centre[0] * scale, y - centre[1] * height / 480
        rings = (np.hypot(from_x, from_y) / max(scale, 0.5)).astype(np.intp)
        base += 16 * np.cos(2 * (np.arctan2(from_y, from_x) - light)) * np.minimum(1, rings / 60)  # bow-tie highlight
    _cut_edge(base, rng, scale)
    lut = np.clip(np.arange(256)[:, None] * np.asarray(tint), 0, 255).round().astype(np.uint8)
    return Layout(features, base.astype(np.float32), rings, kind == "bracket", lut, light, scale)


def _cut_edge(base: Plane, rng: np.random.Generator, scale: float) -> None:
    """The part ends near one border: a lit chamfer, then the dark fixture."""
    side, at = int(rng.integers(4)), int(rng.uniform(26, 40) * scale) + _SHIFT
    view = np.rot90(base, side)  # a view: rotates the choice of border, not the picture
    view[:at] = 30
    view[at : at + max(2, round(4 * scale))] += 45


def _flange(rng: np.random.Generator, centre: Point) -> list[Feature]:
    """A bore with a bolt circle."""
    count, circle, radius, turn = int(rng.integers(4, 7)), rng.uniform(130, 165), rng.uniform(15, 22), rng.uniform(0, 6)
    angles = [turn + 2 * math.pi * i / count for i in range(count)]
    bolts = [(centre[0] + circle * math.cos(a), centre[1] + circle * math.sin(a)) for a in angles]
    return [Feature(centre, centre, rng.uniform(38, 55))] + [Feature(p, p, radius) for p in bolts]


def _plate(rng: np.random.Generator) -> list[Feature]:
    """Four holes in a rectangle and a slot."""
    across, down, radius = rng.uniform(170, 215), rng.uniform(100, 135), rng.uniform(15, 24)
    corners = [(320 + i * across, 240 + j * down) for i in (-1, 1) for j in (-1, 1)]
    at, half = (320 + rng.uniform(-60, 60), 240 + rng.uniform(-30, 30)), rng.uniform(45, 75)
    slot = Feature((at[0] - half, at[1]), (at[0] + half, at[1]), rng.uniform(11, 16))
    return [Feature(p, p, radius) for p in corners] + [slot]


def _bracket(rng: np.random.Generator) -> list[Feature]:
    """A row of holes and an upright slot."""
    count, y, radius = int(rng.integers(3, 5)), rng.uniform(130, 190), rng.uniform(18, 26)
    row = [(130 + i * 380 / (count - 1), y) for i in range(count)]
    x, half = rng.uniform(230, 410), rng.uniform(35, 50)
    slot = Feature((x, 350 - half), (x, 350 + half), rng.uniform(11, 15))
    return [Feature(p, p, radius) for p in row] + [slot]


def _scaled(feature: Feature, across: float, down: float) -> Feature:
    (ax, ay), (bx, by) = feature.start, feature.end
    return Feature((ax * across, ay * down), (bx * across, by * down), feature.radius * min(across, down))


def _number(text: str) -> int:
    return zlib.crc32(text.encode())
