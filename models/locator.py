"""Where in a picture the defects are: the second stage, which looks at rejected pictures alone and never decides.

Place in the flow: off the verdict's path; whoever shows a defect to people asks it. `load_locator` gives a `Locator`
that has passed every check, golden pictures included. Knows no topic, no verdict and no page.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from models.preprocess import EncodedImage

MAX_PLACES = 100  # of one picture


@dataclass(frozen=True, slots=True)
class Place:
    """Where a defect is, in pixels of the upright picture, within it; `score` 0 to 1.

    `outline` is the polygon of its mask, its corners in turn and the first not repeated; empty where there is none.
    """

    label: str
    score: float
    x: float
    y: float
    width: float
    height: float
    outline: tuple[tuple[float, float], ...] = ()


class Locator:
    """A Mask R-CNN that is ready to look. Not for several threads at once: give each its own, or a lock."""

    @property
    def model_id(self) -> str:
        """The artifact's."""
        raise NotImplementedError

    @property
    def sha256(self) -> str:
        """Of its `locator.json`, and so of all its files."""
        raise NotImplementedError

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels of the defects that it knows."""
        raise NotImplementedError

    def places(self, image: EncodedImage) -> tuple[Place, ...]:
        """What it found, the most certain first: at most MAX_PLACES, each at or above the artifact's `min_score`.

        Raises RejectedImageError for a picture that `models.preprocess.decode` rejects.
        """
        raise NotImplementedError


def load_locator(directory: Path) -> Locator:
    """A locator of a directory as `lineside locator train` makes it, checked.

    Raises ModelError where there is none, ModelRefusedError, naming the check, where it fails one.
    """
    raise NotImplementedError
