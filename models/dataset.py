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
from models.preprocess import EncodedImage, Preprocessing, RejectedImageError, load_input

if TYPE_CHECKING:
    from models.artifact import F32, U8
    from models.evaluate import I64

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
    `probability` of a defect is what experts say who don't agree, 0 to 1: labels may be as soft as they are.
    """

    image: EncodedImage
    label: str
    part_id: str
    split: Split | None = None
    known: Mapping[str, str] = field(default_factory=dict)
    probability: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pictures:
    """A split in memory: prepared pictures, uint8 [n, h, w, 3], and indices into the class order, int64 [n].

    `soft`: what each picture may be, by experts or a teacher, float32 [n, classes] that add up to 1 each.
    """

    pictures: U8
    labels: I64
    soft: F32 | None = None


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
    examples: Sequence[Example], classes: Sequence[str], spec: Preprocessing, on_loaded: Callable[[], None]
) -> Pictures:
    """Decode and prepare once, into memory; `on_loaded` is called after each picture.

    Raises DatasetError naming the first picture that can't be decoded.
    """

    def one(example: Example) -> U8:
        try:
            return load_input(example.image, spec)
        except RejectedImageError as error:
            raise DatasetError(
                f"the picture of part {example.part_id} ({example.label}) is unusable: {error}"
            ) from error

    pictures = np.empty((len(examples), spec.height, spec.width, 3), np.uint8)
    with ThreadPoolExecutor(_DECODE_THREADS, "dataset") as pool:
        for index, prepared in enumerate(pool.map(one, examples)):
            pictures[index] = prepared
            on_loaded()
    index_of = {name: index for index, name in enumerate(classes)}
    return Pictures(pictures, np.array([index_of[example.label] for example in examples], np.int64))


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
