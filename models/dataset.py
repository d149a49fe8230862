"""Labelled pictures for training and measuring: class order, splits by part, and the decoded cache.

Place in the flow: sources make `Example`s, training turns them into arrays here, by the one path of preprocessing.
Knows no network, and not where pictures come from.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from models.errors import DatasetError
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, Seen, load_views
from models.views import View, combined

if TYPE_CHECKING:
    from models.artifact import F32, U8
    from models.dataset_rows import Box
    from models.evaluate import I64

UNKNOWN = "unknown"
"""The one defect class of a model that was made of good parts alone: whatever is no good part."""
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.15  # of parts; the rest is the test split
VISIBLE = 0.5  # share of a defect that must lie in a view for the view to show it
NOT_SURE = -1  # the label of a view that shows too little of a defect, or of which nobody knows
MOST_GOOD_CROPS = 8  # of one picture, for training: good places are many and alike
_DECODE_THREADS = 2  # decoding lets go of the GIL, and training waits for all of it anyway


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled picture. All pictures of a part belong to one split; None leaves the choice to its part id.

    `known` is what else is known of it, such as its line: reports show figures by it, training knows nothing of it.
    `probability` of a defect is what experts say who don't agree, 0 to 1: labels may be as soft as they are. `boxes`
    are where its defects are, if anybody marked them: models that look at tiles learn from those that hold one.
    """

    image: EncodedImage
    label: str
    part_id: str
    split: Split | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    probability: float | None = None
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A split in memory: what the network sees, uint8 [m, h, w, 3], and indices into the class order, int64 [n].

    `soft`: what each picture may be, by experts or a teacher, float32 [n, classes] that add up to 1 each. Where the
    network looks at more than one view of a picture, `counts` has their number for each, int64 [n], and `views` what
    each view shows, int64 [m], NOT_SURE where that is not known; else m is n and both are None.
    """

    pictures: U8
    labels: I64
    soft: F32 | None = None
    counts: I64 | None = None
    views: I64 | None = None

    def combined(self, rows: F32, defects: Sequence[bool]) -> F32:
        """What is said of the pictures, [n, width], by what is said of what the network sees, [m, width]."""
        return rows if self.counts is None else combined(rows, self.counts.tolist(), defects)

    def rows_of(self, place: int) -> slice:
        """Where in `pictures` the views of one picture are."""
        if self.counts is None:
            return slice(place, place + 1)
        start = int(self.counts[:place].sum())
        return slice(start, start + int(self.counts[place]))

    def some(self, places: I64) -> Pictures:
        """Some of the pictures, with all their views."""
        if self.counts is None:
            return Pictures(self.pictures[places], self.labels[places])
        rows = np.concatenate([np.arange(len(self.pictures))[self.rows_of(int(place))] for place in places])
        views = None if self.views is None else self.views[rows]
        return Pictures(self.pictures[rows], self.labels[places], counts=self.counts[places], views=views)


def class_order(labels: Iterable[str], good: str) -> tuple[str, ...]:
    """The good class first, then defects in natural order (defect2 before defect10).

    Raises DatasetError unless there are good and bad pictures.
    """
    names = set(labels)
    if good not in names or len(names) < 2:
        came = ", ".join(sorted(names)) or "none"
        raise DatasetError(f"expected pictures labelled {good!r} and of at least one defect; came labels: {came}")
    return ordered(names, good)


def ordered(names: Iterable[str], good: str) -> tuple[str, ...]:
    """The good class first, then the others in natural order: 1, 2, 10."""
    return (good, *sorted(set(names) - {good}, key=_natural))


def split_of(part_id: str) -> Split:
    """The split of a part by its id alone: it stays where it is when the data set grows."""
    place = int.from_bytes(hashlib.sha256(part_id.encode()).digest()[:8], "big") / 2**64
    if place < TRAIN_SHARE:
        return "train"
    return "validation" if place < TRAIN_SHARE + VALIDATION_SHARE else "test"


def by_split(examples: Sequence[Example], classes: Sequence[str]) -> dict[Split, list[Example]]:
    """The examples of each split.

    Raises DatasetError for a part in two splits, a class that is never trained, or a split without good or bad parts.
    """
    splits: dict[Split, list[Example]] = {name: [] for name in SPLITS}
    homes: dict[str, set[Split]] = defaultdict(set)
    for example in examples:
        split = example.split or split_of(example.part_id)
        splits[split].append(example)
        homes[example.part_id].add(split)
    if torn := next((part for part, found in homes.items() if len(found) > 1), None):
        raise DatasetError(f"part {torn} is in the splits {', '.join(sorted(homes[torn]))}; a part belongs to one")
    trained = {example.label for example in splits["train"]}
    if missing := [name for name in classes if name not in trained]:
        raise DatasetError(f"the train split has no picture of {', '.join(missing)}; give more, or set the splits")
    for name, members in splits.items():
        if len({example.label == classes[0] for example in members}) < 2:
            raise DatasetError(f"the {name} split needs good and bad parts; came {len(members)} pictures of one kind")
    return splits


def load(
    examples: Sequence[Example],
    classes: Sequence[str],
    spec: Preprocessing,
    on_loaded: Callable[[], None],
    to_train: bool = False,
) -> Pictures:
    """Decode and prepare once, into memory; `on_loaded` is called after each picture. `classes[0]` is the good one.

    `to_train`: each view becomes a picture of its own, but for what is not sure and all but a few good ones of each.
    Raises DatasetError naming the first picture that can't be decoded, or trained on for want of boxes.
    """
    index_of = {name: index for index, name in enumerate(classes)}

    def one(example: Example) -> tuple[U8, I64]:
        seen = _seen(example, spec)
        shown = shown_in(example, seen.views, index_of)
        if not to_train:
            return seen.pixels, shown
        if example.label != classes[0] and not (shown > 0).any():
            raise DatasetError(
                f"a model that looks at parts of a picture learns from marked defects; part {example.part_id} "
                f"({example.label}) has no box that one of them shows: give boxes (COCO), or take no tiles and regions"
            )
        kept = _to_train(shown)
        return seen.pixels[kept], shown[kept]

    labels = np.array([index_of[example.label] for example in examples], np.int64)
    with ThreadPoolExecutor(_DECODE_THREADS, "dataset") as pool:
        if spec.is_whole:
            pictures = np.empty((len(examples), spec.height, spec.width, 3), np.uint8)
            for index, seen in enumerate(pool.map(lambda example: _seen(example, spec), examples)):
                pictures[index] = seen.pixels[0]
                on_loaded()
            return Pictures(pictures, labels)
        parts = []
        for part in pool.map(one, examples):
            parts.append(part)
            on_loaded()
    rows, views = np.concatenate([p for p, _ in parts]), np.concatenate([v for _, v in parts])
    if to_train:
        return Pictures(rows, views)
    return Pictures(rows, labels, counts=np.array([len(v) for _, v in parts], np.int64), views=views)


def shown_in(example: Example, views: Sequence[View], index_of: Mapping[str, int]) -> I64:
    """What each view of a picture shows, by the picture's label and boxes: int64 [views], NOT_SURE where unknown."""
    if not index_of[example.label]:
        return np.zeros(len(views), np.int64)
    if not example.boxes:
        return np.full(len(views), NOT_SURE, np.int64)
    return np.array([_shown(view, example.boxes, index_of) for view in views], np.int64)


def _shown(view: View, boxes: Sequence[Box], index_of: Mapping[str, int]) -> int:
    visible = [(_visible(view, box), index_of.get(box.label, NOT_SURE)) for box in boxes]
    share, label = max(visible)
    if share >= VISIBLE:
        return label
    return NOT_SURE if share > 0 else 0


def _visible(view: View, box: Box) -> float:
    """How much of a box a view shows, 0 to 1, along both sides: a long scratch fills a view that it crosses."""
    across = min(view.x + view.width, box.x + box.width) - max(view.x, box.x)
    down = min(view.y + view.height, box.y + box.height) - max(view.y, box.y)
    if min(across, down) <= 0:
        return 0.0
    return across / min(view.width, box.width) * down / min(view.height, box.height)


def _to_train(shown: I64) -> I64:
    """Places of the views to train on: all defects, and good ones evenly over the picture."""
    good = np.flatnonzero(shown == 0)
    some = good[np.linspace(0, len(good) - 1, min(len(good), MOST_GOOD_CROPS)).astype(np.int64)] if len(good) else good
    return np.sort(np.concatenate((np.flatnonzero(shown > 0), some)))


def _seen(example: Example, spec: Preprocessing) -> Seen:
    try:
        return load_views(example.image, spec)
    except RejectedImageError as error:
        raise DatasetError(f"the picture of part {example.part_id} ({example.label}) is unusable: {error}") from error


def softened(examples: Sequence[Example], pictures: Pictures, classes: int) -> Pictures:
    """The same pictures with what experts say in place of hard labels, where they say it. Class 0 is the good one.

    A defect's probability goes to the picture's own defect; of one that is called good all the same, to all evenly.
    """
    soft = np.eye(classes, dtype=np.float32)[pictures.labels]
    for row, example, label in zip(soft, examples, pictures.labels, strict=True):
        if example.probability is not None:
            row[:] = 0
            row[0] = 1 - example.probability
            row[label if label else slice(1, None)] = example.probability / (1 if label else classes - 1)
    return Pictures(pictures.pictures, pictures.labels, soft)


def spread(labels: Sequence[str], most: int) -> list[int]:
    """Places of at most `most` pictures, of every class as evenly as there are, each class's evenly over the list."""
    places: dict[str, list[int]] = defaultdict(list)
    for place, label in enumerate(labels):
        places[label].append(place)
    left, chosen = most, []
    for number, found in enumerate(sorted(places.values(), key=len)):
        share = min(len(found), left // (len(places) - number))
        chosen += [found[place * len(found) // share] for place in range(share)]
        left -= share
    return sorted(chosen)


def _natural(name: str) -> list[Any]:
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"(\d+)", name) if part]
