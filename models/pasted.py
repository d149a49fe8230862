"""Made-up defects pasted onto good pictures, with the place of each known: practice before real defects are learnt.

Place in the flow: `fit.py` shows a network thousands of these first. From real labels alone ("somewhere in this picture
is a scratch") a network of random weights learns next to nothing in the minutes that training may take; from marks of
known place it learns where to look. The idea is CutPaste's (Li et al. 2021, CVPR) and DRAEM's (Zavrtanik et al. 2021,
ICCV). Pure: randomness is an argument. Knows no network and no real defect.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

F32 = np.ndarray[Any, np.dtype[np.float32]]
I64 = np.ndarray[Any, np.dtype[np.int64]]
Bool = np.ndarray[Any, np.dtype[np.bool_]]

VISIBLE = 6.0  # grey levels of difference from which a pixel counts as part of a mark
_STRENGTH = (15.0, 90.0)  # grey levels
_LINE_SHARE = 0.45  # lines are the hardest to learn; the rest is shared evenly


def paste(picture: F32, rng: np.random.Generator) -> I64:
    """Draw one or two marks onto a picture, float32 [h, w, 3] of 0 to 255, in place.

    Returns each pixel's kind, int64 [h, w]: 0 is none, else an index into `KINDS`.
    """
    kinds = np.zeros(picture.shape[:2], np.int64)
    shares = [_LINE_SHARE] + [(1 - _LINE_SHARE) / (len(KINDS) - 2)] * (len(KINDS) - 2)
    for _ in range(int(rng.integers(1, 3))):
        kind = int(rng.choice(len(shares), p=shares)) + 1
        before = picture.copy()
        _DRAWERS[kind - 1](picture, rng)
        np.clip(picture, 0, 255, out=picture)
        kinds[np.abs(picture - before).mean(axis=2) > VISIBLE] = kind
    return kinds


def _line(picture: F32, rng: np.random.Generator) -> None:
    """A bent or jagged stroke, thin beside a pixel, lighter or darker than the ground."""
    height, width, _ = picture.shape
    count, bend = int(rng.integers(2, 6)), rng.uniform(0.1, 0.9)
    step, angle = rng.uniform(0.1, 0.5) * min(height, width) / count, rng.uniform(0, 2 * math.pi)
    at = _place(picture, rng)
    away = np.full((height, width), np.inf, np.float32)
    for _ in range(count):
        to = (at[0] + math.cos(angle) * step, at[1] + math.sin(angle) * step)
        away = np.minimum(away, _distance(picture, at, to))
        at, angle = to, angle + rng.uniform(-bend, bend)
    breadth = rng.uniform(0.4, 1.0) * max(1.0, width / 160)
    picture += _strength(rng) * np.clip(breadth / 2 + 0.5 - away, 0, 1)[:, :, None]


def _blob(picture: F32, rng: np.random.Generator) -> None:
    """A tinted patch with a ragged rim."""
    radius = rng.uniform(0.04, 0.16) * min(picture.shape[:2])
    x, y = _around(picture, _place(picture, rng))
    angle = np.arctan2(y, x)
    rim = 1 + sum(rng.uniform(-0.4, 0.4) / k * np.cos(k * angle + rng.uniform(0, 6)) for k in range(2, 5))
    inside = np.clip((rim - np.hypot(x, y) / radius) * 3, 0, 1)
    picture += (0.7 * _strength(rng) * inside[:, :, None] * rng.uniform(0.4, 1, 3)).astype(np.float32)


def _bump(picture: F32, rng: np.random.Generator) -> None:
    """A hollow or bump: one side lighter, the other darker."""
    radius = rng.uniform(0.03, 0.1) * min(picture.shape[:2])
    x, y = (axis / radius for axis in _around(picture, _place(picture, rng)))
    angle = rng.uniform(0, 2 * math.pi)
    facing = (x * math.cos(angle) + y * math.sin(angle)) * np.exp(-1.6 * (x * x * rng.uniform(0.7, 1.4) + y * y))
    picture += 2 * _strength(rng) * facing[:, :, None]


def _patch(picture: F32, rng: np.random.Generator) -> None:
    """A piece of the picture copied to another place: what is there may be missing, or be where it should not."""
    height, width, _ = picture.shape
    tall, wide = (max(2, int(rng.uniform(0.06, 0.2) * min(height, width))) for _ in range(2))
    top, left = int(rng.integers(height - tall)), int(rng.integers(width - wide))
    x, y = _place(picture, rng)
    to_top, to_left = min(int(y), height - tall), min(int(x), width - wide)
    picture[to_top : to_top + tall, to_left : to_left + wide] = picture[top : top + tall, left : left + wide].copy()


_DRAWERS: tuple[Callable[[F32, np.random.Generator], None], ...] = (_line, _blob, _bump, _patch)
KINDS = ("none", "line", "blob", "bump", "patch")


def _place(picture: F32, rng: np.random.Generator) -> tuple[float, float]:
    height, width, _ = picture.shape
    return rng.uniform(0.08, 0.92) * width, rng.uniform(0.08, 0.92) * height


def _strength(rng: np.random.Generator) -> np.float32:
    return np.float32(rng.uniform(*_STRENGTH) * rng.choice((-1, 1)))


def _around(picture: F32, at: tuple[float, float]) -> tuple[F32, F32]:
    """Pixels' offsets from a place, x as [1, w] and y as [h, 1]."""
    height, width, _ = picture.shape
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(at[0])
    return x, np.arange(height, dtype=np.float32)[:, None] - np.float32(at[1])


def _distance(picture: F32, start: tuple[float, float], end: tuple[float, float]) -> F32:
    """Distance of every pixel to a segment, [h, w]."""
    x, y = _around(picture, start)
    run_x, run_y = np.float32(end[0] - start[0]), np.float32(end[1] - start[1])
    along = np.clip((x * run_x + y * run_y) / (run_x * run_x + run_y * run_y + np.float32(1e-6)), 0, 1)
    return np.asarray(np.hypot(x - along * run_x, y - along * run_y), np.float32)
