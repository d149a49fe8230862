"""Marked pictures as a training shows them: at the network's size, mirrored and in other light now and then.

Place in the flow: between a data set's examples and `fit.py`. Randomness is an argument. Knows no network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from models.augment import Symmetry
from models.errors import DatasetError
from models.locating.losses import Marks
from models.locating.network import scaled
from models.locating.outlines import drawn
from models.preprocess import RejectedImageError, decode

if TYPE_CHECKING:
    from models.dataset import Example
    from models.dataset_rows import Box

U8 = np.ndarray[Any, np.dtype[np.uint8]]
MOST_KEPT_BYTES = 4 << 30  # of prepared pictures in memory; what goes beyond is decoded each time
_LEAST_SIDE = 2.0  # pixels of the network's input that a box takes at least
_DRAWN = 1.0  # score of a box that a person drew


def boxes_of(example: Example, classes: Sequence[str]) -> tuple[Box, ...]:
    """What people marked in a picture: neither what a model found there, nor labels of no class."""
    return tuple(box for box in example.boxes if box.score >= _DRAWN and box.label in classes)


class MarkedPictures:
    """Examples as pictures and marks by their place; all that fits is decoded once and kept."""

    def __init__(
        self,
        examples: Sequence[Example],
        classes: Sequence[str],
        sides: tuple[int, int],
        on_decoded: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_decoded` is called after each picture. DatasetError naming the first that can't be decoded."""
        self._examples, self._sides, self._kept_bytes = examples, sides, 0
        self._number = {name: number for number, name in enumerate(classes, 1)}
        self._boxes = [boxes_of(example, classes) for example in examples]
        self._sizes = list[tuple[int, int]]()
        self._kept = dict[int, U8]()
        for place in range(len(examples)):
            self._keep(place)
            on_decoded()

    def __len__(self) -> int:
        return len(self._examples)

    def picture(self, place: int) -> U8:
        """At the network's size, uint8 [h, w, 3]; whoever changes it changes what others see."""
        return self._kept[place] if place in self._kept else scaled(self._decoded(place), self._sides)

    @property
    def marked(self) -> list[int]:
        """Places of the pictures in which people marked a defect."""
        return [place for place, boxes in enumerate(self._boxes) if boxes]

    def marks(self, place: int) -> Marks:
        """What is marked, at the network's size."""
        height, width = self.picture(place).shape[:2]
        across, down = width / self._sizes[place][0], height / self._sizes[place][1]
        boxes, masks = [], np.zeros((len(self._boxes[place]), height, width), np.uint8)
        for row, box in enumerate(self._boxes[place]):
            boxes.append(_wide_enough(box.x * across, box.y * down, box.width * across, box.height * down))
            outlines = [tuple((x * across, y * down) for x, y in polygon) for polygon in box.outlines]
            masks[row] = drawn(outlines, height, width)
        return Marks(
            torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            torch.tensor([self._number[box.label] for box in self._boxes[place]], dtype=torch.int64),
            torch.from_numpy(masks),
            torch.from_numpy(masks.any(axis=(1, 2))),
        )

    def _keep(self, place: int) -> None:
        pixels = self._decoded(place)
        self._sizes.append((pixels.shape[1], pixels.shape[0]))
        small = scaled(pixels, self._sides)
        if self._kept_bytes + small.nbytes <= MOST_KEPT_BYTES:
            self._kept[place], self._kept_bytes = small, self._kept_bytes + small.nbytes

    def _decoded(self, place: int) -> U8:
        example = self._examples[place]
        try:
            return decode(example.image)
        except RejectedImageError as error:
            raise DatasetError(
                f"the picture of part {example.part_id} ({example.label}) is unusable: {error}"
            ) from error


def changed(
    picture: U8, marks: Marks, symmetries: Sequence[Symmetry], jitter: float, generator: torch.Generator
) -> tuple[Tensor, Marks]:
    """A picture, uint8 [h, w, 3], as it might also have lain and been lit, and its marks with it.

    `jitter`: the share by which contrast changes at most; brightness changes by up to that share of full scale.
    """
    shown, boxes, masks = torch.from_numpy(picture), marks.boxes, marks.masks
    coins = torch.rand(3, generator=generator)
    if "mirror" in symmetries and coins[0] < 0.5:
        width = shown.shape[1]
        shown, masks = shown.flip(1), masks.flip(2)
        boxes = torch.stack((width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]), dim=1)
    if "flip" in symmetries and coins[1] < 0.5:
        height = shown.shape[0]
        shown, masks = shown.flip(0), masks.flip(1)
        boxes = torch.stack((boxes[:, 0], height - boxes[:, 3], boxes[:, 2], height - boxes[:, 1]), dim=1)
    if "turn" in symmetries and coins[2] < 0.5:  # left becomes bottom
        width = shown.shape[1]
        shown, masks = shown.rot90(1, (0, 1)), masks.rot90(1, (1, 2))
        boxes = torch.stack((boxes[:, 1], width - boxes[:, 2], boxes[:, 3], width - boxes[:, 0]), dim=1)
    return _relit(shown, jitter, generator), Marks(boxes, marks.labels, masks, marks.outlined)


def _relit(picture: Tensor, jitter: float, generator: torch.Generator) -> Tensor:
    if not jitter:
        return picture
    gain, offset = (jitter * (2 * torch.rand(2, generator=generator) - 1)).tolist()
    values = picture.float()
    mean = values.mean()
    lit: Tensor = (values - mean) * (1 + gain) + mean + 255 * offset
    return lit.clamp(0, 255).round().to(torch.uint8)


def _wide_enough(x: float, y: float, width: float, height: float) -> tuple[float, float, float, float]:
    """Left, top, right, bottom, of at least _LEAST_SIDE each way."""
    wider, higher = max(0.0, _LEAST_SIDE - width) / 2, max(0.0, _LEAST_SIDE - height) / 2
    return x - wider, y - higher, x + width + wider, y + height + higher
