"""What each view of a picture shows, by the boxes that people drew: what a model of tiles learns from. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.artifact import F32
    from models.dataset_rows import Box
    from models.evaluate import I64, Bools
    from models.views import View

NOT_SURE = -1
"""The label of a view that shows too little of a defect, or of which nobody knows."""
VISIBLE = 0.5  # share of a defect that must lie in a view for the view to show it
LARGE = 1 / 24  # share of a view's sides that a defect must take for an overview to show it
_LITTLE = 1e-6  # a share that is more than nothing and teaches nothing
MOST_GOOD = 4  # tiles of one picture that teach what is good: good places are many and alike


def shown_in(views: Sequence[View], label: int, boxes: Sequence[Box], index_of: Mapping[str, int]) -> I64:
    """What each view shows, int64 [views], of a picture of the class `label`, 0 for good; NOT_SURE where unknown.

    A view shows a defect of which it holds at least half, or more than any other view does; but what is small in a view
    that holds others is shown by those alone.
    """
    if not label or not boxes:
        return np.full(len(views), NOT_SURE if label else 0, np.int64)
    shares, shows = _shares(views, boxes)
    best = np.where(shows, shares, -1).argmax(axis=1)
    labels = np.array([index_of.get(box.label, NOT_SURE) for box in boxes], np.int64)[best]
    return np.where(shows.any(axis=1), labels, np.where((shares > 0).any(axis=1), NOT_SURE, 0)).astype(np.int64)


def all_shown_in(
    views: Sequence[View], labels: Sequence[str], boxes: Sequence[Box], index_of: Mapping[str, int]
) -> F32:
    """All that each view shows of a picture with these labels: float32 [views, classes] of 1, 0, and NaN where unknown.

    A defect that nobody has marked may be anywhere; what is marked and is none of the labels (a model said so, and
    nobody else) is not known where the mark is. The first class is that of no defect.
    """
    found = np.zeros((len(views), len(index_of)), np.float32)
    is_bad = index_of.get(labels[0]) != 0
    for label in {*labels, *(box.label for box in boxes)} if is_bad else ():
        if index := index_of.get(label):
            its = [box for box in boxes if box.label == label]
            shares, shows = _shares(views, its) if its else (np.ones((len(views), 1)), np.False_)
            sure = np.any(shows, axis=-1) & (label in labels)
            found[:, index] = np.where(sure, 1, np.where((shares > 0).any(axis=1), np.nan, 0))
    found[:, 0] = np.where((found[:, 1:] == 1).any(axis=1), 0, 1 - found[:, 1:].max(axis=1, initial=0))
    return found


def to_learn_from(views: Sequence[View], shown: I64, number: int) -> I64:
    """Places of the views to train on: all defects, good overviews, and good tiles spread over the picture.

    `number` is the picture's: from one to the next all tiles take their turn.
    """
    overviews = _areas(views) > _areas(views).min()
    good = np.flatnonzero((shown == 0) & ~overviews)
    turns = (number + np.arange(MOST_GOOD) * len(good) // MOST_GOOD) % max(1, len(good))
    some = good[np.unique(turns)] if len(good) else good
    return np.sort(np.concatenate((np.flatnonzero((shown > 0) | ((shown == 0) & overviews)), some)))


def _areas(views: Sequence[View]) -> I64:
    return np.array([view.width * view.height for view in views], np.int64)


def _shares(views: Sequence[View], boxes: Sequence[Box]) -> tuple[np.ndarray, Bools]:
    """How much of each box a view holds, next to nothing of one too small for it; and whether it shows it; both
    [views, boxes].
    """
    shares = np.array([[_visible(view, box) for box in boxes] for view in views])
    shares = np.where(_is_large(views, boxes), shares, np.minimum(shares, _LITTLE))
    return shares, (shares > _LITTLE) & (shares >= np.minimum(VISIBLE, shares.max(axis=0)))


def _is_large(views: Sequence[View], boxes: Sequence[Box]) -> np.ndarray:
    """Whether a box is large enough for a view, bool [views, boxes]: for one that holds no other view it always is."""
    areas = _areas(views)
    return np.array(
        [
            [
                area <= areas.min() or (box.width >= LARGE * view.width and box.height >= LARGE * view.height)
                for box in boxes
            ]
            for view, area in zip(views, areas, strict=True)
        ]
    )


def _visible(view: View, box: Box) -> float:
    """How much of a box a view shows, 0 to 1, along both sides: a long scratch fills a view that it crosses."""
    across = min(view.x + view.width, box.x + box.width) - max(view.x, box.x)
    down = min(view.y + view.height, box.y + box.height) - max(view.y, box.y)
    if min(across, down) <= 0:
        return 0.0
    return across / min(view.width, box.width) * down / min(view.height, box.height)
