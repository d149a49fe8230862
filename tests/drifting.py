"""Figures and verdicts of a camera, for tests of drift: real ones of drawn parts, measured once, drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from models.figures import figures_of
from schemas.records import Outcome, PictureFigures, VerdictIssued
from streams.capture.surface import Part, draw
from streams.downstream.drift.figures import PICTURE
from streams.downstream.drift.watch import State, Watch
from tests.contracts.samples import verdict

SKU = "plate-12"
AT = datetime(2026, 3, 2, 6, tzinfo=UTC)
MARGIN = 20  # pixels around what the camera sees
PARTS = 150
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def seen(pixels: Pixels, right: int = 0, down: int = 0) -> Pixels:
    """What a camera sees that was moved by so many pixels."""
    height, width, _ = pixels.shape
    return np.ascontiguousarray(pixels[MARGIN + down : height - MARGIN + down, MARGIN + right : width - MARGIN + right])


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(seen(pixels)).filter(ImageFilter.GaussianBlur(1)))


def darkened(pixels: Pixels) -> Pixels:
    return (seen(pixels) * 0.85).astype(np.uint8)


def moved(pixels: Pixels) -> Pixels:
    return seen(pixels, 12, 12)


@cache
def _drawn(first: int, count: int) -> list[Pixels]:
    return [draw(Part(SKU, first + number)) for number in range(count)]


@cache
def measured(look: Callable[[Pixels], Pixels] = seen, first: int = 0) -> np.ndarray:
    """Of PARTS good parts, [PARTS, 6]."""
    return np.array([astuple(figures_of(look(pixels))) for pixels in _drawn(first, PARTS)])


def frames(rng: np.random.Generator, count: int, look: Callable[[Pixels], Pixels] = seen, first: int = 0) -> np.ndarray:
    """As if taken anew: a little noise on the figures, so that no two are equal."""
    known = measured(look, first)
    return known[rng.integers(len(known), size=count)] + rng.normal(0, 0.2, (count, 6)) * known.std(axis=0)


def shot(number: int, row: Iterable[float] | None = None, **changes: Any) -> VerdictIssued:
    """The verdict of the frame `number`, one a second, by the figures of its picture."""
    picture = None if row is None else PictureFigures(**dict(zip(PICTURE, map(float, row), strict=True)))
    fields: dict[str, Any] = {
        "plant": "p1",
        "line": "l1",
        "station": "s1",
        "camera": "c1",
        "sku": SKU,
        "outcome": Outcome.OK,
        "findings": (),
        "scores": {},
        "novelty": None,
        "label": None,
        "image_sha256": f"{number:016x}" * 4,
        "source_offset": number,
        "source_timestamp": AT + timedelta(seconds=number),
        "picture": picture,
    }
    return verdict(number, **fields | changes)


def feed(watch: Watch, first: int, rows: Iterable[Iterable[float]], **changes: Any) -> list[tuple[int, State]]:
    """The states that come out, each with the number of its frame counted from 1."""
    found = []
    for number, row in enumerate(rows):
        at = AT + timedelta(seconds=first + number)
        notices = watch.take(shot(first + number, row, **changes), at)
        found += [(number + 1, notice) for notice in notices if isinstance(notice, State)]
    return found
