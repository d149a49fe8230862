"""Where a model looks in a picture: fixed regions, overlapping tiles in them; and what their scores say together. Pure.

Place in the flow: an artifact's preprocessing declares them, `preprocess.load_views` cuts them out, inspection and
evaluation put the scores together again. A small defect keeps its pixels in a tile, where the whole picture, made as
small as a network takes it, would lose them. Knows no pixels and no network.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    from models.artifact import F32

MAX_VIEWS = 256  # of one picture
MAX_REGIONS = 64
NAME_MAX_CHARS = 40
MIN_TILE = 32  # pixels: a ResNet's own grid
OVERLAP = 0.25


@dataclass(frozen=True, slots=True)
class Region:
    """A named part of the upright picture: its left and upper edge and its size as shares of the picture's, 0 to 1."""

    name: str
    left: float
    top: float
    width: float
    height: float

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.isprintable() or not 1 <= len(self.name) <= NAME_MAX_CHARS:
            raise ValueError(f"a region's name must be 1 to {NAME_MAX_CHARS} printable characters; came {self.name!r}")
        numbers = (self.left, self.top, self.width, self.height)
        if not all(type(n) in (int, float) and math.isfinite(n) for n in numbers):
            raise ValueError(f"region {self.name}: expected four finite numbers, came {numbers}")
        inside = self.left + self.width <= 1 + 1e-9 and self.top + self.height <= 1 + 1e-9
        if min(self.left, self.top) < 0 or min(self.width, self.height) <= 0 or not inside:
            raise ValueError(f"region {self.name} must lie in the picture, with shares of 0 to 1; came {numbers}")

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The reverse of `dataclasses.asdict`; ValueError for anything else."""
        expected = {field.name for field in fields(cls)}
        if not isinstance(value, Mapping) or set(value) != expected:
            raise ValueError(f"a region must be an object with exactly {sorted(expected)}; came {value!r:.200}")
        return cls(**value)


@dataclass(frozen=True, slots=True)
class View:
    """One crop, in pixels of the upright picture. `name` is the region's, the tile's or both; None is all of it."""

    name: str | None
    x: int
    y: int
    width: int
    height: int


def views_of(
    regions: Sequence[Region], tile: int, overlap: float, width: int, height: int, overview: bool = False
) -> tuple[View, ...]:
    """The views of a picture of this size, row by row.

    Without regions and tiles that is the picture. Square tiles of `tile` pixels cover each region (the picture, if
    there is none) evenly and share at least `overlap` of their side with their neighbour; where a region is smaller
    than a tile, its own size is taken. `overview`: each region (the picture) is looked at as a whole too, before its
    tiles. ValueError for more than MAX_VIEWS.
    """
    wholes = [_pixels(region, width, height) for region in regions] or [View(None, 0, 0, width, height)]
    if not tile:
        return tuple(wholes)
    count = sum(overview + math.prod(_steps(side, tile, overlap) for side in (w.width, w.height)) for w in wholes)
    if count > MAX_VIEWS:
        raise ValueError(f"a picture of {width} x {height} pixels makes {count} tiles of {tile}; at most {MAX_VIEWS}")
    return tuple(
        view for whole in wholes for view in ((whole,) if overview else ()) + tuple(_tiles(whole, tile, overlap))
    )


def combined(rows: F32, counts: Sequence[int], defects: Sequence[bool]) -> F32:
    """What is said of pictures, [n, width], by what is said of each of their views, [sum of `counts`, width].

    A defect's probability is the highest of all views, a good class's the lowest, whatever stands behind them (the
    novelty) the highest: so the picture is NG where one of its views is. A row of several views does not add up to 1.
    `defects` says of each class whether it is one.
    """
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    found = np.maximum.reduceat(rows, starts, axis=0)
    good = [index for index, is_defect in enumerate(defects) if not is_defect]
    found[:, good] = np.minimum.reduceat(rows[:, good], starts, axis=0)
    return found


def any_wrong(defects: Iterable[float], goods: Iterable[float]) -> float:
    """The probability that something is wrong, by the scores of defect classes and of good ones: 0 to 1.

    The sum over the defects, and no more than what good leaves. Of one view the two are the same. Of several each
    defect's highest may be another view's, so their sum says too much; good's lowest is what the worst view says.
    """
    return max(0.0, min(sum(defects), 1.0 - sum(goods)))


def strongest(rows: F32, names: Sequence[str], defects: Sequence[bool], together: str) -> dict[str, int]:
    """By defect: which of a picture's views, [k, width], says most of it; under `together`, of all of them."""
    chosen = [index for index, is_defect in enumerate(defects) if is_defect]
    found = {names[index]: int(rows[:, index].argmax()) for index in chosen}
    return found | {together: int(rows[:, chosen].sum(axis=1).argmax())}


def _pixels(region: Region, width: int, height: int) -> View:
    left, top = (min(side - 1, round(at * side)) for at, side in ((region.left, width), (region.top, height)))
    right, bottom = round((region.left + region.width) * width), round((region.top + region.height) * height)
    return View(region.name, left, top, max(1, min(right, width) - left), max(1, min(bottom, height) - top))


def _tiles(whole: View, tile: int, overlap: float) -> Iterator[View]:
    width, height = min(tile, whole.width), min(tile, whole.height)
    rows, columns = _starts(whole.height, tile, overlap), _starts(whole.width, tile, overlap)
    for (row, y), (column, x) in product(enumerate(rows, 1), enumerate(columns, 1)):
        name = f"row {row} column {column}"
        yield View(f"{whole.name} {name}" if whole.name else name, whole.x + x, whole.y + y, width, height)


def _starts(side: int, tile: int, overlap: float) -> list[int]:
    steps = _steps(side, tile, overlap)
    return [round(step * (side - tile) / (steps - 1)) if steps > 1 else 0 for step in range(steps)]


def _steps(side: int, tile: int, overlap: float) -> int:
    return 1 if side <= tile else 1 + math.ceil((side - tile) / max(1.0, tile * (1 - overlap)) - 1e-9)


def check_views(regions: Any, tile: Any, overlap: Any, overview: Any) -> None:
    """ValueError for regions, tiles, an overlap or an overview that can't be meant."""
    if type(overview) is not bool or (overview and not tile):
        raise ValueError(f"an overview must be true or false, and goes with tiles; got {overview!r}")
    if not isinstance(regions, tuple) or not all(isinstance(region, Region) for region in regions):
        raise ValueError(f"regions must be a tuple of Region, got {regions!r:.200}")
    names = [region.name for region in regions]
    if len(names) > MAX_REGIONS or len(set(names)) != len(names):
        raise ValueError(f"expected at most {MAX_REGIONS} regions, each with its own name; came {names!r:.200}")
    if type(tile) is not int or (tile and not MIN_TILE <= tile <= 1 << 15):
        raise ValueError(f"a tile must be 0 (none) or {MIN_TILE} to {1 << 15} pixels, got {tile!r}")
    if type(overlap) not in (int, float) or not 0 <= overlap <= 0.75:
        raise ValueError(f"tiles must overlap by 0 to 0.75 of their side, got {overlap!r}")
