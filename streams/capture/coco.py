"""Labels and boxes from COCO's detection format, as labelling tools write it. Pure but for reading the file.

An image without annotation shows a good part. One with annotations shows the defect of their category; where they have
several, that of the largest area together. An annotation's `segmentation` is kept as polygons, whether it came as such
or run-length encoded. Knows nothing of pictures or events.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from models.dataset_rows import Polygon
from streams.capture.coco_masks import outlines_in
from streams.errors import CallerError


@dataclass(frozen=True, slots=True)
class Drawn:
    """A box that somebody drew, in pixels: left, top, width, height; and the polygons of its mask, if they drew one."""

    label: str
    box: tuple[int, int, int, int]
    outlines: tuple[Polygon, ...] = ()


class CocoLabels:
    """See the module. Files are found by `file_name`, a path relative to the source's folder or a bare name."""

    def __init__(self, file: Path, good: str) -> None:
        """`good`: the label of images without annotation. CallerError for a file that is not in that format."""
        self._good = good
        self._drawn: dict[str, list[Drawn]] = {}
        try:
            self._read(json.loads(file.read_text(encoding="utf-8")))
        except OSError as error:
            raise CallerError(f"the labels {file} can't be read: {error.strerror}") from error
        except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as error:
            raise CallerError(
                f"{file} is not in COCO's format: expected images with id and file_name, annotations with image_id, "
                f"category_id and bbox, categories with id and name; came {type(error).__name__}: {error}"
            ) from error

    def _read(self, document: Any) -> None:
        names = {category["id"]: str(category["name"]) for category in document["categories"]}
        files: dict[Any, str] = {}
        for image in document["images"]:
            files[image["id"]] = name = PurePosixPath(image["file_name"]).as_posix()
            if name in self._drawn:
                raise ValueError(f"two images are called {name!r:.80}")
            self._drawn[name] = []
        for annotation in document["annotations"]:
            left, top, width, height = (float(side) for side in annotation["bbox"])
            if not all(map(math.isfinite, (left, top, width, height))):
                raise ValueError(
                    f"the box {annotation['bbox']!r:.80} of annotation {annotation.get('id')} isn't finite"
                )
            box = (round(left), round(top), max(1, round(width)), max(1, round(height)))
            outlines = outlines_in(annotation.get("segmentation"))
            self._drawn[files[annotation["image_id"]]].append(Drawn(names[annotation["category_id"]], box, outlines))

    def of(self, path: PurePosixPath) -> str | None:
        """The label of an image; None of one that the file doesn't name."""
        drawn = self._of(path)
        if drawn is None:
            return None
        areas: dict[str, int] = defaultdict(int)
        for mark in drawn:
            areas[mark.label] += mark.box[2] * mark.box[3]
        return max(sorted(areas), key=lambda label: areas[label]) if areas else self._good

    def told(self, path: PurePosixPath) -> Mapping[str, str]:
        """Nothing more."""
        return {}

    def boxes(self, path: PurePosixPath) -> tuple[Drawn, ...]:
        """All that was drawn on an image."""
        return tuple(self._of(path) or ())

    def _of(self, path: PurePosixPath) -> list[Drawn] | None:
        found = self._drawn.get(path.as_posix())
        return self._drawn.get(path.name) if found is None else found
