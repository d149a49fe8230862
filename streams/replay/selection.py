"""Which frames a replay is about. Pure: a selection is plain data, so that a run can be gone on with elsewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from schemas.records import FrameCaptured
from streams.errors import CallerError
from streams.inspection.decide import LIVE

RUN = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_OFFSETS = re.compile(r"([0-9]{1,5}):([0-9]{1,18})-([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Selection:
    """Frames by append time (`since` inclusive, `until` exclusive) and place; what is None or empty asks nothing.

    `offsets`: by partition of the frames topic, from a first to before a last. `part_ids` and `frame_ids` (text): any
    of them.
    """

    since: datetime | None = None
    until: datetime | None = None
    plant: str | None = None
    line: str | None = None
    station: str | None = None
    sku: str | None = None
    offsets: Mapping[int, tuple[int, int]] | None = None
    part_ids: frozenset[str] = frozenset()
    frame_ids: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise CallerError(f"--from must be before --to; came {self.since.isoformat()} and {self.until.isoformat()}")

    @property
    def is_sparse(self) -> bool:
        """Whether single frames are asked for, rather than stretches."""
        return bool(self.part_ids or self.frame_ids)

    @property
    def since_ms(self) -> int:
        return int(self.since.timestamp() * 1000) if self.since else 0

    @property
    def until_ms(self) -> int | None:
        return int(self.until.timestamp() * 1000) if self.until else None

    def takes_place(self, plant: str, line: str, station: str, sku: str) -> bool:
        """Whether frames of this station and SKU are asked for at all."""
        asked = ((self.plant, plant), (self.line, line), (self.station, station), (self.sku, sku))
        return all(want is None or want == came for want, came in asked)

    def takes_identity(self, frame_id: str, part_id: str | None) -> bool:
        return not self.is_sparse or frame_id in self.frame_ids or (part_id or "") in self.part_ids

    def takes_offset(self, partition: int, offset: int) -> bool:
        if self.offsets is None:
            return True
        low, high = self.offsets.get(partition, (0, 0))
        return low <= offset < high

    def takes(self, frame: FrameCaptured, partition: int, offset: int, at: datetime) -> bool:
        """Whether a frame at this place, appended at this time, is asked for."""
        return (
            self.takes_place(frame.plant, frame.line, frame.station, frame.sku)
            and self.takes_identity(str(frame.frame_id), frame.part_id)
            and self.takes_offset(partition, offset)
            and (self.since is None or at >= self.since)
            and (self.until is None or at < self.until)
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "plant": self.plant,
            "line": self.line,
            "station": self.station,
            "sku": self.sku,
            "offsets": None if self.offsets is None else {str(p): list(span) for p, span in self.offsets.items()},
            "part_ids": sorted(self.part_ids),
            "frame_ids": sorted(self.frame_ids),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Selection:
        """What `to_json` gave."""
        offsets = value["offsets"]
        return cls(
            since=value["since"] and datetime.fromisoformat(value["since"]).astimezone(UTC),
            until=value["until"] and datetime.fromisoformat(value["until"]).astimezone(UTC),
            offsets=None if offsets is None else {int(p): (low, high) for p, (low, high) in offsets.items()},
            part_ids=frozenset(value["part_ids"]),
            frame_ids=frozenset(value["frame_ids"]),
            **{name: value[name] for name in ("plant", "line", "station", "sku")},
        )


def parse_offsets(texts: list[str]) -> dict[int, tuple[int, int]] | None:
    """`PARTITION:FIRST-LAST`, last inclusive, as partition: (first, behind the last); None of nothing."""
    found: dict[int, tuple[int, int]] = {}
    for text in texts:
        if not (match := _OFFSETS.fullmatch(text)):
            raise CallerError(f"--offsets needs PARTITION:FIRST-LAST, such as 3:1000-1999; came {text!r:.80}")
        partition, first, last = map(int, match.groups())
        if last < first:
            raise CallerError(f"--offsets {text!r} ends before it begins")
        found[partition] = (first, last + 1)
    return found or None


def check_run(run: str) -> str:
    """The run's id; CallerError for one that is none, or that would be taken for live decisions."""
    if run == LIVE or run.startswith("shadow"):
        raise CallerError(
            f"a replay can't be the run {run!r}: that name stands for decisions about real parts, on topics that act"
            " on lines; a replay writes to replay.<run>.verdicts alone: choose another name with --run"
        )
    if not RUN.fullmatch(run):
        raise CallerError(f"--run takes 1 to 40 of a-z 0-9 and dashes, no dash first; came {run!r:.80}")
    return run


def default_run(model_id: str, now: datetime) -> str:
    """A name for a run: its model and the time."""
    name = re.sub(r"[^a-z0-9]+", "-", model_id.lower()).strip("-")[:24].strip("-") or "run"
    return check_run(f"{name.replace('shadow', 'run')}-{now.astimezone(UTC):%m%d-%H%M%S}")
