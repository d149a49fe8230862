"""Pictures with drawn discs, whose boxes and outlines are known, for tests of locators."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from models.dataset import Example, split_of
from models.dataset_rows import Box
from models.preprocess import EncodedImage

SIDE = 96  # pixels


def png(pixels: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def disc_outline(x: float, y: float, width: float, height: float, corners: int = 40) -> list[tuple[float, float]]:
    """An ellipse that fills this box, its corners in turn."""
    turns = [2 * math.pi * turn / corners for turn in range(corners)]
    return [(x + width / 2 * (1 + math.cos(a)), y + height / 2 * (1 + math.sin(a))) for a in turns]


def disc(number: int, label: str = "dent", outlined: bool = True, split: str | None = "train") -> Example:
    """A grey picture with one dark disc somewhere, marked."""
    rng = np.random.default_rng(number)
    picture = Image.fromarray(rng.integers(110, 140, (SIDE, SIDE, 3), dtype=np.uint8))
    x, y = (int(v) for v in rng.integers(8, 56, 2))
    width, height = (int(v) for v in rng.integers(20, 30, 2))
    ImageDraw.Draw(picture).ellipse((x, y, x + width - 1, y + height - 1), fill=(20, 20, 20))
    outlines = (tuple(disc_outline(x, y, width, height)),) if outlined else ()
    boxes = (Box(label, 1.0, x, y, width, height, outlines),)
    return Example(EncodedImage(png(np.asarray(picture)), "PNG"), label, f"P{number}", split, boxes=boxes)  # type: ignore[arg-type]


def plain(number: int, split: str | None = "train") -> Example:
    """The same without a disc."""
    pixels = np.random.default_rng(number).integers(110, 140, (SIDE, SIDE, 3), dtype=np.uint8)
    return Example(EncodedImage(png(pixels), "PNG"), "good", f"P{number}", split)  # type: ignore[arg-type]


def parts_of(split: str, count: int) -> list[str]:
    """Part ids that lie in a split by themselves."""
    found = [name for name in (f"P{n}" for n in range(100)) if split_of(name) == split]
    return found[:count]


def blocks(seed: int = 0) -> bytes:
    """A picture of coarse blocks, PNG of 160 x 120."""
    return png(np.kron(np.random.default_rng(seed).integers(0, 256, (15, 20, 3)), np.ones((8, 8, 1))).astype(np.uint8))
