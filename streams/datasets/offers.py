"""Labelled pictures that somebody has, as they are offered to a data set: a folder with its labels, or the ELPV cells.

Place in the flow: `lineside dataset build --source …` reads them here and `building.py` makes a data set of them. Knows
no data set and no Kafka.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from models.dataset import Split
from streams.capture.coco import CocoLabels, Drawn
from streams.capture.elpv import cells
from streams.capture.folder import FolderSource
from streams.errors import CallerError

SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Offered:
    """One encoded picture and what is known of it; None is not known. Fields are those of a manifest's `Item`."""

    name: str
    data: bytes
    label: str | None
    part_id: str | None = None
    lot_id: str | None = None
    captured_at: datetime | None = None
    line: str | None = None
    station: str | None = None
    plant: str | None = None
    camera: str | None = None
    sku: str | None = None
    pass_no: int = 1
    split: Split | None = None
    probability: float | None = None
    boxes: tuple[Drawn, ...] = ()


async def folder_offers(source: FolderSource) -> AsyncIterator[Offered]:
    """The pictures of a folder in the order of their names. CallerError for what its table says and can't be."""
    labels, pattern = source.options.labels, source.options.pattern
    async for shot in source:
        path = PurePosixPath(shot.attributes["file"])
        named = (pattern.match(path) if pattern else None) or {}
        told = {**labels.told(path), **named}
        yield Offered(
            name=path.as_posix(),
            data=shot.data,
            label=shot.label,
            part_id=shot.part_id,
            lot_id=shot.lot_id,
            captured_at=_time(path, told.get("captured_at")),
            **{name: told.get(name) for name in ("plant", "line", "station", "camera", "sku")},
            pass_no=shot.pass_no,
            split=_split(path, told.get("split")),
            probability=_probability(path, told.get("probability")),
            boxes=labels.boxes(path) if isinstance(labels, CocoLabels) else (),
        )


def in_turn(offers: AsyncIterator[Offered]) -> Iterator[Offered]:
    """The same for who doesn't wait: one after the other, by an event loop of its own that Ctrl-C ends."""
    with asyncio.Runner() as runner:
        while (offered := runner.run(anext(offers, None))) is not None:
            yield offered


def elpv_offers() -> Iterator[Offered]:
    """The 2,624 solar cells: the kind of module is the SKU, experts' probability is kept, tests are the protocol's.

    Every eighth of the others is for validation.
    """
    trained = 0
    for cell in cells():
        trained += cell.split == "train"
        split: Split = "validation" if cell.split == "train" and trained % 8 == 0 else cell.split
        yield Offered(
            name=cell.file.name,
            data=cell.read(),
            label=cell.label,
            part_id=cell.name,
            sku=cell.kind,
            split=split,
            probability=cell.probability,
        )


def _split(path: PurePosixPath, text: str | None) -> Split | None:
    if text is None:
        return None
    if text.strip().lower() not in SPLIT_NAMES:
        raise CallerError(f"{path} has the split {text!r:.40}; splits are train, validation and test")
    return SPLIT_NAMES[text.strip().lower()]


def _probability(path: PurePosixPath, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise CallerError(f"{path} has the probability {text!r:.40}; expected a number from 0 to 1")
    return value


def _time(path: PurePosixPath, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise CallerError(
            f"{path} was captured at {text!r:.40}; expected a time such as 2026-03-01T14:05Z or a day"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
