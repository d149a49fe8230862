"""How well places fit what people marked: marks found, places on good pictures, masks. Pure; knows no network.

Place in the flow: `lineside locator evaluate`, and training's choice of `min_score`. A figure that isn't defined is
None with a reason, never 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluate import Rate, rate
from models.locating.outlines import drawn
from models.locating.place import Place
from models.measures import Figure

if TYPE_CHECKING:
    from models.dataset_rows import Box

OVERLAPS = (0.5, 0.3)
"""Least overlap (intersection over union) of a place's box with a mark's for the mark to count as found."""
NO_MARKS, NO_GOOD, NO_MASKS = "no defect is marked", "there is no good picture", "no found mark has an outline"
LEAST_SCORE, ANY_SCORE = 0.05, 0.5


@dataclass(frozen=True, slots=True)
class Looked:
    """One picture: what people marked in it, nothing in a good one, and what a locator found; `ms` is what it took."""

    marks: tuple[Box, ...]
    places: tuple[Place, ...]
    ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Located:
    """Figures of a locator over pictures.

    `found`: by overlap, the share of marks that a place of their label covers, with its exact interval (Clopper and
    Pearson 1934). `rightly` is the share of the places on marked pictures that cover a mark by half.
    `places_a_good_picture` is a mean, `good_with_places` a share. `mask_overlap`: the median over the marks of known
    outline that were found by the least of OVERLAPS. `ms`: the median of a picture, decoding included.
    """

    found: dict[float, Rate]
    rightly: Rate
    good_with_places: Rate
    places_a_good_picture: Figure
    mask_overlap: Figure
    masks: int
    ms: Figure
    pictures: int

    def to_json(self) -> dict[str, Any]:
        """For reports and for an artifact's metrics."""
        return {
            "pictures": self.pictures,
            "found": {str(overlap): _told(its, NO_MARKS) for overlap, its in self.found.items()},
            "places_that_cover_a_mark": _told(self.rightly, "there is no place on a marked picture"),
            "good_pictures_with_places": _told(self.good_with_places, NO_GOOD),
            "places_a_good_picture": self.places_a_good_picture.to_json(),
            "mask_overlap": self.mask_overlap.to_json() | {"masks": self.masks},
            "ms": self.ms.to_json(),
        }


def measured(looked: Sequence[Looked]) -> Located:
    """Figures over pictures."""
    marked, good = [its for its in looked if its.marks], [its for its in looked if not its.marks]
    pairs = {overlap: [pairs_of(its.marks, its.places, overlap) for its in marked] for overlap in OVERLAPS}
    total = sum(len(its.marks) for its in marked)
    masks = [
        mask_overlap(its.marks[mark], its.places[place])
        for its, chosen in zip(marked, pairs[min(OVERLAPS)], strict=True)
        for mark, place in chosen
        if its.marks[mark].outlines
    ]
    on_good = sum(len(its.places) for its in good)
    return Located(
        found={overlap: rate(sum(map(len, chosen)), total) for overlap, chosen in pairs.items()},
        rightly=rate(sum(map(len, pairs[max(OVERLAPS)])), sum(len(its.places) for its in marked)),
        good_with_places=rate(sum(bool(its.places) for its in good), len(good)),
        places_a_good_picture=Figure(on_good / len(good)) if good else Figure(None, NO_GOOD),
        mask_overlap=Figure(median(masks)) if masks else Figure(None, NO_MASKS),
        masks=len(masks),
        ms=Figure(median(its.ms for its in looked)) if looked else Figure(None, "there is no picture"),
        pictures=len(looked),
    )


def pairs_of(marks: Sequence[Box], places: Sequence[Place], least: float) -> list[tuple[int, int]]:
    """Which mark each place covers, as indices of both: the surest place first takes the mark it covers best.

    A mark is taken once, by a place of its own label, by at least the overlap `least`.
    """
    left, found = set(range(len(marks))), []
    for number in sorted(range(len(places)), key=lambda n: -places[n].score):
        place = places[number]
        fits = {mark: box_overlap(marks[mark], place) for mark in left if marks[mark].label == place.label}
        best = max(sorted(fits), key=lambda mark: fits[mark], default=None)
        if best is not None and fits[best] >= least:
            left.remove(best)
            found.append((best, number))
    return found


def box_overlap(mark: Box, place: Place) -> float:
    """Intersection over union of their boxes, 0 to 1."""
    across = min(mark.x + mark.width, place.x + place.width) - max(mark.x, place.x)
    down = min(mark.y + mark.height, place.y + place.height) - max(mark.y, place.y)
    if min(across, down) <= 0:
        return 0.0
    both = across * down
    return both / (mark.width * mark.height + place.width * place.height - both)


def mask_overlap(mark: Box, place: Place) -> float:
    """Intersection over union of a mark's outlines with a place's, in whole pixels, 0 to 1."""
    polygons = [*mark.outlines, *([place.outline] if place.outline else [])]
    corners = np.concatenate([np.asarray(polygon) for polygon in polygons])
    left, top = np.floor(corners.min(axis=0))
    width, height = (int(v) for v in np.ceil(corners.max(axis=0)) - (left, top))

    def moved(its: Sequence[tuple[tuple[float, float], ...]]) -> Any:
        return drawn([tuple((x - left, y - top) for x, y in polygon) for polygon in its], height, width).astype(bool)

    wanted, came = moved(mark.outlines), moved([place.outline] if place.outline else [])
    union = int((wanted | came).sum())
    return int((wanted & came).sum()) / union if union else 0.0


def best_min_score(looked: Sequence[Looked]) -> float:
    """The score from which places are shown: that of the best F1, places that cover a mark by 0.3 being right.

    ANY_SCORE where no place is. `looked` holds places down to LEAST_SCORE.
    """
    marks = sum(len(its.marks) for its in looked)
    scored: list[tuple[float, bool]] = []
    for its in looked:
        right = {place for _, place in pairs_of(its.marks, its.places, min(OVERLAPS))}
        scored += [(place.score, number in right) for number, place in enumerate(its.places)]
    best, chosen, right_so_far = 0.0, ANY_SCORE, 0
    for count, (score, is_right) in enumerate(sorted(scored, reverse=True), 1):
        right_so_far += is_right
        f1 = 2 * right_so_far / (count + marks)
        if f1 > best:
            best, chosen = f1, score
    return max(LEAST_SCORE, int(1000 * chosen) / 1000)


def _told(its: Rate, why: str) -> dict[str, float | int | str | None]:
    return {**its.to_json(), "why": None if its.total else why}
