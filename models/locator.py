"""Where in a picture the defects are: the second stage, which looks at rejected pictures alone and never decides.

Place in the flow: off the verdict's path; whoever shows a defect to people asks it. `load_locator` gives a `Locator`
that has passed every check, golden pictures included. Knows no topic, no verdict and no page.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from models.errors import ModelRefusedError
from models.locating.artifact import LocatorArtifact, load_locator_artifact
from models.locating.artifact import save_locator_artifact as save_locator
from models.locating.network import F32, U8, Found, best_device, look, network_of, scaled
from models.locating.outlines import outline
from models.locating.place import MAX_PLACES, Place
from models.preprocess import EncodedImage, decode

__all__ = ["MAX_PLACES", "Locator", "Place", "load_locator", "save_locator"]

_LOOKED_AT = 20  # among which a golden place must be: places of nearly equal scores may change their order


class Locator:
    """A Mask R-CNN that is ready to look. Not for several threads at once: give each its own, or a lock.

    On a GPU if there is one; in float32, so that the same picture always has the same places on one machine.
    """

    def __init__(self, artifact: LocatorArtifact) -> None:
        self._artifact = artifact
        self._network = network_of(artifact.arch, len(artifact.classes), artifact.anchor_side, artifact.weights)
        self._network.to(best_device())

    @property
    def model_id(self) -> str:
        """The artifact's."""
        return self._artifact.model_id

    @property
    def sha256(self) -> str:
        """Of its `locator.json`, and so of all its files; empty unless it was saved."""
        return self._artifact.sha256

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the defects that it knows."""
        return self._artifact.classes

    @property
    def min_score(self) -> float:
        """The least score of a place."""
        return self._artifact.min_score

    def places(self, image: EncodedImage) -> tuple[Place, ...]:
        """What it found, the most certain first: at most MAX_PLACES, each at or above the artifact's `min_score`.

        Raises RejectedImageError for a picture that `models.preprocess.decode` rejects.
        """
        return self.places_in(decode(image))

    def places_in(self, pixels: U8, min_score: float | None = None) -> tuple[Place, ...]:
        """The same of an upright picture, uint8 [H, W, 3]; `min_score` in place of the artifact's."""
        small = scaled(pixels, self._artifact.sides)
        found = look(self._network, small, self.min_score if min_score is None else min_score, MAX_PLACES)
        height, width = pixels.shape[:2]
        boxes = found.boxes * np.tile((width / small.shape[1], height / small.shape[0]), 2)
        rows = zip(boxes, found.labels, found.scores, found.masks, strict=True)
        return tuple(self._place(box, int(label), float(score), mask) for box, label, score, mask in rows)

    def check(self) -> None:
        """Look at the golden pictures; ModelRefusedError where the places are others than training saw."""
        for number, golden in enumerate(self._artifact.golden):
            seen = look(self._network, golden.picture, 0.0, _LOOKED_AT)
            for row in range(len(golden.found.scores)):
                if not self._is_there(golden.found, row, seen):
                    label = self.classes[golden.found.labels[row] - 1]
                    raise ModelRefusedError(
                        f"golden picture {number}: training saw a {label} of score {golden.found.scores[row]:.3f} at "
                        f"{golden.found.boxes[row].round(1).tolist()} that this network doesn't find there; weights or "
                        "classes are others than those that were trained, or this machine reckons wrong"
                    )

    def _place(self, box: F32, label: int, score: float, mask: F32) -> Place:
        x, y, width, height = float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])
        return Place(self.classes[label - 1], score, x, y, width, height, outline(mask, x, y, width, height))

    def _is_there(self, wanted: Found, row: int, seen: Found) -> bool:
        limit = self._artifact.tolerance
        near = (
            (seen.labels == wanted.labels[row])
            & (np.abs(seen.scores - wanted.scores[row]) <= limit.score)
            & (np.abs(seen.boxes - wanted.boxes[row]).max(axis=1, initial=0) <= limit.pixels)
            & (np.abs(seen.masks - wanted.masks[row]).mean(axis=(1, 2)) <= limit.mask)
        )
        return bool(near.any())


def load_locator(directory: Path) -> Locator:
    """A locator of a directory as `lineside locator train` makes it, checked.

    Raises ModelError where there is none, ModelRefusedError, naming the check, where it fails one.
    """
    locator = Locator(load_locator_artifact(directory))
    locator.check()
    return locator
