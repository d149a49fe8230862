"""Labelled pictures for training and measuring: class order, splits by part, and the decoded cache.

Place in the flow: sources make `Example`s, training turns them into arrays here, by the one path of preprocessing.
Knows no network, and not where pictures come from.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np

from models.errors import DatasetError
from models.marks import all_shown_in, shown_in, to_learn_from
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, Seen, load_views
from models.views import combined

if TYPE_CHECKING:
    from models.artifact import F32, U8
    from models.dataset_rows import Box
    from models.evaluate import I64, Bools, Truths
    from models.heads import Head

UNKNOWN = "unknown"
"""The one defect class of a model that was made of good parts alone: whatever is no good part."""
Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TRAIN_SHARE, VALIDATION_SHARE = 0.7, 0.15  # of parts; the rest is the test split
_DECODE_THREADS = 2  # decoding lets go of the GIL, and training waits for all of it anyway


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled picture. All pictures of a part belong to one split; None leaves the choice to its part id.

    `known` is what else is known of it, such as its line: reports show figures by it, training knows nothing of it.
    `probability` of a defect is what experts say who don't agree, 0 to 1: labels may be as soft as they are. `boxes`
    are where its defects are, if anybody marked them: models that look at tiles learn from those that hold one. `also`:
    labels of a bad picture beside its own, for models that may say several.
    """

    image: EncodedImage
    label: str
    part_id: str
    split: Split | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    probability: float | None = None
    boxes: tuple[Box, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """All that it shows, its own label first."""
        return (self.label, *self.also)


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A split in memory: what the network sees, uint8 [m, h, w, 3], and indices into the class order, int64 [n].

    `soft`: what to learn in place of labels, float32 [n, classes]: what each picture may be, by experts or a teacher,
    or all that it shows (`losses.several`). Where the network looks at more than one view of a picture, `counts` has
    their number for each, int64 [n], and `views` what each view shows, int64 [m], NOT_SURE where that is not known;
    else m is n and both are None. `every`: all labels of each picture, bool [n, classes], the good class the first;
    `every_view`: all that each view shows, float32 [m, classes], NaN where that is not known.
    """

    pictures: U8
    labels: I64
    soft: F32 | None = None
    counts: I64 | None = None
    views: I64 | None = None
    every: Bools | None = None
    every_view: F32 | None = None

    @property
    def shown(self) -> F32:
        """All that the network is shown, by picture or view: 1, 0, or NaN where nobody knows; float32 [m, classes]."""
        if self.every_view is not None:
            return self.every_view
        if self.every is None:
            raise ValueError("nobody has said all that these pictures show")
        return self.every.astype(np.float32)

    def truths(self, head: Head) -> Truths:
        """What a model with this head is measured by: the pictures' classes, or all labels of each."""
        return self.labels if head == "softmax" or self.every is None else self.every

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
        every = None if self.every is None else self.every[places]
        if self.counts is None:
            return Pictures(self.pictures[places], self.labels[places], every=every)
        rows = np.concatenate([np.arange(len(self.pictures))[self.rows_of(int(place))] for place in places])
        views, every_view = (None if of is None else of[rows] for of in (self.views, self.every_view))
        pictures, labels, counts = self.pictures[rows], self.labels[places], self.counts[places]
        return Pictures(pictures, labels, counts=counts, views=views, every=every, every_view=every_view)


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


def in_known_order(names: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """The names that are known already in their known order, then the new ones as they come."""
    names = tuple(names)
    return tuple(dict.fromkeys((*(name for name in known if name in names), *names)))


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
    trained = {label for example in splits["train"] for label in example.labels}
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
    """Decode and prepare once, into memory; `on_loaded` is called after each picture.

    `to_train`, where `classes[0]` must be the good one: each view becomes a picture of its own, but for what is not
    sure and all but a few good tiles of each picture. Raises DatasetError naming the first picture that can't be
    decoded, or learned from for want of boxes.
    """
    index_of = {name: index for index, name in enumerate(classes)}
    labels = np.array([index_of[example.label] for example in examples], np.int64)
    every = _every(examples, index_of)

    def one(number: int, example: Example) -> tuple[U8, I64, F32]:
        seen = _seen(example, spec)
        shown = shown_in(seen.views, index_of[example.label], example.boxes, index_of)
        all_shown = all_shown_in(seen.views, example.labels, example.boxes, index_of)
        if not to_train or spec.is_whole:
            return seen.pixels, shown, all_shown
        kept = to_learn_from(seen.views, shown, number)
        if example.label != classes[0] and not shown[kept].any():
            raise DatasetError(
                f"a model that looks at parts of a picture learns from marked defects; part {example.part_id} "
                f"({example.label}) has no box that one of them shows: give boxes (COCO), or take no tiles and regions"
            )
        return seen.pixels[kept], shown[kept], all_shown[kept]

    with ThreadPoolExecutor(_DECODE_THREADS, "dataset") as pool:
        parts = _counted(pool.map(one, range(len(examples)), examples), on_loaded)
        if spec.is_whole:
            pictures = np.empty((len(examples), spec.height, spec.width, 3), np.uint8)
            for index, (pixels, *_) in enumerate(parts):
                pictures[index] = pixels[0]
            return Pictures(pictures, labels, every=every)
        pixels_of, shown_of, all_of = zip(*parts, strict=True)
    rows, views, every_view = np.concatenate(pixels_of), np.concatenate(shown_of), np.concatenate(all_of)
    if to_train:
        return Pictures(rows, views, every_view=every_view)
    counts = np.array([len(shown) for shown in shown_of], np.int64)
    return Pictures(rows, labels, counts=counts, views=views, every=every, every_view=every_view)


def _every(examples: Sequence[Example], index_of: Mapping[str, int]) -> Bools:
    """All labels of each picture that are classes, bool [n, classes]; the first class is that of no other."""
    found = np.zeros((len(examples), len(index_of)), np.bool_)
    for row, example in zip(found, examples, strict=True):
        row[[index_of[label] for label in example.labels if label in index_of]] = True
    found[:, 0] = ~found[:, 1:].any(axis=1)
    return found


Part = TypeVar("Part")


def _counted(parts: Iterable[Part], on_each: Callable[[], None]) -> Iterator[Part]:
    for part in parts:
        yield part
        on_each()


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
