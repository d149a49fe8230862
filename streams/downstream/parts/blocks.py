"""Parts in a row that were not inspected, as one block: what people look at instead of hundreds of parts. Pure.

Used by the rework station and the dashboard on decisions as they come from `parts`. Knows nothing of alarms.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.records import PartDecided, PartOutcome, PartReason


@dataclass(frozen=True, slots=True)
class Block:
    """Uninspected parts of one station with no inspected one between them. `count` is parts."""

    plant: str
    line: str
    station: str
    first: PartDecided
    last: PartDecided
    count: int
    reasons: Mapping[PartReason, int]

    @property
    def started_at(self) -> datetime:
        """Trigger of the first part, by the broker's clock."""
        return self.first.first_at

    @property
    def ended_at(self) -> datetime:
        """Trigger of the last part, by the broker's clock."""
        return self.last.first_at

    @property
    def summary(self) -> str:
        """For logs: `312 parts not inspected at p/l/s, 06:00:01 to 06:04:12 UTC (MISSING_VIEW 312)`."""
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(self.reasons.items(), key=lambda item: -item[1]))
        parts = "1 part" if self.count == 1 else f"{self.count} parts"
        return (
            f"{parts} not inspected at {self.plant}/{self.line}/{self.station}, "
            f"{self.started_at:%H:%M:%S} to {self.ended_at:%H:%M:%S} UTC ({reasons})"
        )


def blocks(parts: Iterable[PartDecided], gap_s: float = 60) -> list[Block]:
    """The blocks among decisions in log order, by their beginning.

    A block ends with an inspected part of its station, or where more than `gap_s` seconds lie between two triggers.
    """
    runs: list[list[PartDecided]] = []
    open_runs: dict[tuple[str, str, str], list[PartDecided]] = {}
    for part in parts:
        station = (part.plant, part.line, part.station)
        run = open_runs.get(station)
        if part.outcome is not PartOutcome.NOT_INSPECTED:
            open_runs.pop(station, None)
        elif run and part.first_at - run[-1].first_at <= timedelta(seconds=gap_s):
            run.append(part)
        else:
            open_runs[station] = [part]
            runs.append(open_runs[station])
    return sorted(map(_block, runs), key=lambda block: block.started_at)


def _block(run: list[PartDecided]) -> Block:
    first = run[0]
    reasons = Counter(part.reason for part in run)
    return Block(first.plant, first.line, first.station, first, run[-1], len(run), reasons)
