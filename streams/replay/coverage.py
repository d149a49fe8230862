"""What a replay can see: its frames by line, live outcome, and where their pictures are. Pure.

`FRAMES` is the table that a run keeps of its frames, one row each, made from live verdicts and the archive.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa

FRAMES = pa.schema(
    [
        ("frame_id", pa.string()),
        ("attempt", pa.int64()),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
        ("appended_at", pa.timestamp("ms", tz="UTC")),
        ("plant", pa.string()),
        ("line", pa.string()),
        ("station", pa.string()),
        ("sku", pa.string()),
        ("part_id", pa.string()),
        ("outcome", pa.string()),
        ("picture", pa.string()),
        ("inclusion_probability", pa.float64()),
    ]
)


class PictureIs(StrEnum):
    """Where a frame's picture is."""

    TOPIC = "TOPIC"  # the frame still lies in its topic
    STORE = "STORE"  # the archive kept it
    NOT_KEPT = "NOT_KEPT"  # the frame is archived, its picture was not chosen
    MISSING = "MISSING"  # the archive names it, the frame store has it no more
    EXPIRED = "EXPIRED"  # a verdict is all that is left of the frame


WORDS: Mapping[PictureIs, str] = {
    PictureIs.TOPIC: "in the topic",
    PictureIs.STORE: "kept",
    PictureIs.NOT_KEPT: "not kept",
    PictureIs.MISSING: "missing in the store",
    PictureIs.EXPIRED: "frame expired",
}


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """Frames of one line and live outcome (None: not inspected) by where their pictures are."""

    plant: str
    line: str
    outcome: str | None
    pictures: Mapping[PictureIs, int]

    @property
    def frames(self) -> int:
        return sum(self.pictures.values())

    def to_json(self) -> dict[str, Any]:
        places = {place.value: self.pictures.get(place, 0) for place in PictureIs}
        return {"plant": self.plant, "line": self.line, "outcome": self.outcome, "frames": self.frames, **places}


def coverage(frames: pa.Table) -> list[CoverageRow]:
    """Rows by plant, line and outcome."""
    columns = (frames.column(name).to_pylist() for name in ("plant", "line", "outcome", "picture"))
    counts: dict[tuple[str, str, str | None], Counter[PictureIs]] = {}
    for plant, line, outcome, picture in zip(*columns, strict=True):
        counts.setdefault((plant, line, outcome), Counter())[PictureIs(picture)] += 1
    order = sorted(counts, key=lambda key: (key[0], key[1], key[2] or ""))
    return [CoverageRow(*key, counts[key]) for key in order]


def readable(frames: pa.Table) -> int:
    """Frames whose event is still to be had, with or without its picture."""
    return sum(place != PictureIs.EXPIRED for place in frames.column("picture").to_pylist())
