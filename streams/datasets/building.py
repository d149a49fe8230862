"""From offered pictures to a data set: what is one picture, what contradicts itself, and which split each belongs to.

Place in the flow: between `offers.py` and `models/labelled_set.py`. Pictures go to a scratch folder one by one, so that
memory doesn't grow with them. Pixels decide what is the same picture, whatever file they came in. Knows no source.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from models import labelled_set
from models.dataset_rows import SOURCE, Box, Conflict, Item, Polygon
from models.likeness import near_hash, pixel_sha256
from models.preprocess import EncodedImage, RejectedImageError, decode
from streams.capture.pictures import extension_of, read_header
from streams.datasets.offers import Offered

log = logging.getLogger(__name__)
DIFFERENT_LABELS = "equal pixels have different labels"
_ABOUT = ("lot_id", "captured_at", "plant", "line", "station", "camera", "sku", "pass_no", "probability")
_ABOUT_CONFLICT = ("plant", "line", "station", "sku")


@dataclass(frozen=True, slots=True)
class _Kept:
    """A readable picture; its bytes are in the scratch folder. `offered.data` is let go."""

    offered: Offered
    label: str
    sha256: str
    pixel_sha256: str
    near_hash: str
    extension: str
    width: int
    height: int


@dataclass
class Collection:
    """Takes pictures in, one after the other; `left_out` counts those that can't be used, by why."""

    scratch: Path
    left_out: Counter[str] = field(default_factory=Counter)
    _kept: list[_Kept] = field(default_factory=list)

    def take(self, offered: Offered) -> None:
        """One picture more. DatasetError where the scratch folder takes none."""
        if offered.label is None:
            self._leave_out(offered, "no label")
        elif not labelled_set.is_class(offered.label):
            self._leave_out(offered, "label can't be a class")
        else:
            try:
                pixels = decode(EncodedImage(offered.data, "UNKNOWN"))
            except RejectedImageError as error:
                self._leave_out(offered, f"unreadable: {error.reason}")
                return
            kept = _Kept(
                offered=_without_data(offered),
                label=offered.label,
                sha256=labelled_set.keep(self.scratch, offered.data),
                pixel_sha256=pixel_sha256(pixels),
                near_hash=f"{near_hash(pixels):016x}",
                extension=extension_of(read_header(offered.data, offered.name).encoding),
                width=pixels.shape[1],
                height=pixels.shape[0],
            )
            self._kept.append(kept)

    def rows(self) -> tuple[list[Item], list[Conflict]]:
        """The rows of a data set. Of equal pixels with one label the first by name stays, others are left out."""
        same: dict[str, list[_Kept]] = defaultdict(list)
        for kept in sorted(self._kept, key=lambda kept: kept.offered.name):
            same[kept.pixel_sha256].append(kept)
        items, conflicts = list[Item](), list[Conflict]()
        for group in same.values():
            labels = tuple(sorted({kept.label for kept in group}))
            if len(labels) > 1:
                conflicts += [_conflict(kept, labels) for kept in _files(group)]
            else:
                self.left_out["equal pixels"] += len(group) - 1
                items.append(_item(group[0]))
        self.left_out = +self.left_out
        return items, conflicts

    def _leave_out(self, offered: Offered, why: str) -> None:
        self.left_out[why] += 1
        log.warning("%s is left out: %s", offered.name, why)


def _files(group: Iterable[_Kept]) -> Iterable[_Kept]:
    """One of each file: the same bytes under two names are one picture of the second look."""
    return {kept.sha256: kept for kept in group}.values()


def _without_data(offered: Offered) -> Offered:
    return Offered(**{name: getattr(offered, name) for name in Offered.__slots__} | {"data": b""})


def _item(kept: _Kept) -> Item:
    offered = kept.offered
    day = offered.captured_at.date().isoformat() if offered.captured_at else None
    home, split = labelled_set.home_of(offered.part_id, kept.pixel_sha256, offered.lot_id, day)
    return Item(
        file=labelled_set.image_place(kept.label, kept.sha256, kept.extension),
        sha256=kept.sha256,
        pixel_sha256=kept.pixel_sha256,
        width=kept.width,
        height=kept.height,
        label=kept.label,
        split=offered.split or split,
        part_id=home,
        label_from=SOURCE,
        near_hash=kept.near_hash,
        boxes=_boxes(kept),
        source_file=offered.name,
        **{name: getattr(offered, name) for name in _ABOUT},
    )


def _conflict(kept: _Kept, labels: tuple[str, ...]) -> Conflict:
    return Conflict(
        file=labelled_set.second_look_place(kept.sha256, kept.extension),
        sha256=kept.sha256,
        pixel_sha256=kept.pixel_sha256,
        why=DIFFERENT_LABELS,
        labels=labels,
        part_id=kept.offered.part_id or kept.pixel_sha256,
        source_file=kept.offered.name,
        **{name: getattr(kept.offered, name) for name in _ABOUT_CONFLICT},
    )


def _boxes(kept: _Kept) -> tuple[Box, ...]:
    """The part of each box that lies in the picture, its outlines' corners drawn into it."""
    found = []
    for drawn in kept.offered.boxes:
        left, top, width, height = drawn.box
        right, bottom = min(kept.width, left + width), min(kept.height, top + height)
        left, top = max(0, left), max(0, top)
        if left < right and top < bottom:
            outlines = tuple(_within(polygon, kept.width, kept.height) for polygon in drawn.outlines)
            found.append(Box(drawn.label, 1.0, left, top, right - left, bottom - top, outlines))
    return tuple(found)


def _within(polygon: Polygon, width: int, height: int) -> Polygon:
    return tuple((min(max(x, 0.0), float(width)), min(max(y, 0.0), float(height))) for x, y in polygon)
