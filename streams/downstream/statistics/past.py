"""The last day of one station in a few numbers a window: for control charts and trailing estimates. Pure.

Kept beside the book of a partition, from published revisions. Knows no topic and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from schemas.records import LineWindow, Outcome, PartOutcome
from streams.downstream.statistics.control_chart import Sample

HORIZON = timedelta(hours=24)
"""How far estimates look back."""
REJECTED = (Outcome.NG, Outcome.UNSURE)
"""Frames that go to a person."""


@dataclass(frozen=True, slots=True)
class PastWindow:
    """One window. `parts` are inspected parts of pass 1, `bad_parts` those of them that are not OK."""

    final: bool
    frames: int
    rejects: int
    sample: Sample


@dataclass(slots=True)
class StationPast:
    """By window number; what has long fallen out of the HORIZON is forgotten."""

    width_ms: int
    windows: dict[int, PastWindow] = field(default_factory=dict)

    @property
    def numbers(self) -> list[int]:
        return sorted(self.windows)

    def add(self, number: int, window: LineWindow) -> None:
        """The newest revision of a window."""
        self.windows[number] = PastWindow(
            final=window.final,
            frames=window.frames,
            rejects=sum(window.outcomes.get(outcome, 0) for outcome in REJECTED),
            sample=part_sample(window),
        )
        if len(self.windows) > 2 * self._most:
            newest = max(self.windows)
            self.windows = {n: past for n, past in self.windows.items() if n > newest - self._most}

    def frames_and_rejects(self, before_number: int) -> tuple[int, int]:
        """Frames, and frames that went to a person, in the known windows of the HORIZON below this number."""
        since = before_number - self._most
        known = [past for number, past in self.windows.items() if since <= number < before_number]
        return sum(past.frames for past in known), sum(past.rejects for past in known)

    @property
    def _most(self) -> int:
        return HORIZON // timedelta(milliseconds=self.width_ms)


def part_sample(window: LineWindow) -> Sample:
    """A window's point on a control chart: inspected parts of pass 1, and those of them that are not OK.

    Parts that were not inspected are left out: a stop of the line is not a change of its quality.
    """
    inspected = sum(n for outcome, n in window.parts.items() if outcome != PartOutcome.NOT_INSPECTED)
    return Sample(window.window_start, inspected, inspected - window.parts.get(PartOutcome.OK, 0))
