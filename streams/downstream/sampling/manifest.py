"""From labelled entries to the rows of a data set. Pure.

Events are from outside: labels never make paths unless they can be a class, boxes are cut to their picture, and numbers
that are no numbers are left out.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from models import labelled_set
from models.dataset_rows import Box, Conflict, Item
from schemas.records import Finding
from streams.downstream.sampling import labelling
from streams.downstream.sampling.labelling import Entry
from streams.downstream.sampling.strategies import one_line

log = logging.getLogger(__name__)
_OF_STATION = ("plant", "line", "station", "sku", "inspected_at")
_OF_SAMPLE = (
    *("camera", "pass_no", "why", "predicted_label", "model_id", "recipe_version", "near_hash", "selected_at"),
)


@dataclass(frozen=True, slots=True)
class Picture:
    """What is known of a sample's picture; its upright size in pixels."""

    sha256: str
    pixel_sha256: str
    extension: str
    width: int
    height: int


def items_of(
    entries: Iterable[Entry],
    pictures: Mapping[UUID, Picture],
    findings: Mapping[UUID, tuple[Finding, ...]],
    left_out: Counter[str],
) -> Iterable[Item]:
    """The rows of entries with one label; those whose label can be no class are counted in `left_out`."""
    for entry in entries:
        (label,) = entry.labels
        if labelled_set.is_class(label):
            picture = pictures[entry.sample.sample_id]
            yield _item(entry, label, picture, _boxes(findings.get(entry.sample.verdict_id, ()), picture))
        else:
            left_out["label can't be a class"] += 1
            log.warning(
                "sample %s is left out: its label %r can't be a class: 1 to 64 letters, digits, dots, dashes and "
                "underscores are; correct it at the rework station",
                entry.sample.sample_id,
                one_line(label),
            )


def _item(entry: Entry, label: str, picture: Picture, boxes: tuple[Box, ...]) -> Item:
    sample, say = entry.sample, next(say for say in entry.says if say.label == label)
    part_id, split = labelled_set.home_of(sample.part_id, picture.sha256)
    confirmed = "confirmed" if say.outcome.corrected_label in (None, say.outcome.predicted_label) else "corrected"
    return Item(
        file=labelled_set.image_place(label, picture.sha256, picture.extension),
        sha256=picture.sha256,
        pixel_sha256=picture.pixel_sha256,
        width=picture.width,
        height=picture.height,
        label=label,
        split=split,
        part_id=part_id,
        label_from=confirmed if say.bad else "found good",
        outcome_id=str(say.outcome.outcome_id),
        labelled_at=say.outcome.decided_at,
        reviews=len(entry.says),
        sample_id=str(sample.sample_id),
        verdict_id=str(sample.verdict_id),
        frame_id=str(sample.frame_id),
        strategy=sample.strategy.value,
        inclusion_probability=_finite(sample.inclusion_probability) or 0.0,
        score=_finite(sample.score),
        boxes=boxes,
        **{name: getattr(sample, name) for name in (*_OF_STATION, *_OF_SAMPLE)},
    )


def conflict_of(conflict: labelling.Conflict, picture: Picture) -> Conflict:
    """The row of a picture in conflict."""
    sample = conflict.entry.sample
    return Conflict(
        file=labelled_set.second_look_place(picture.sha256, picture.extension),
        sha256=picture.sha256,
        pixel_sha256=picture.pixel_sha256,
        why=conflict.why,
        labels=conflict.labels,
        outcome_ids=tuple(str(say.outcome.outcome_id) for say in conflict.entry.says),
        sample_id=str(sample.sample_id),
        verdict_id=str(sample.verdict_id),
        part_id=sample.part_id or picture.sha256,
        **{name: getattr(sample, name) for name in _OF_STATION},
    )


def _boxes(findings: Sequence[Finding], picture: Picture) -> tuple[Box, ...]:
    """The part of each box that lies in the picture; what doesn't, or has no finite score, is left out."""
    boxes = []
    for finding in findings:
        if finding.box is None or _finite(finding.score) is None:
            continue
        left, top = max(0, finding.box.x), max(0, finding.box.y)
        right = min(picture.width, finding.box.x + finding.box.width)
        bottom = min(picture.height, finding.box.y + finding.box.height)
        if left < right and top < bottom:
            boxes.append(Box(finding.label, finding.score, left, top, right - left, bottom - top))
    return tuple(boxes)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
