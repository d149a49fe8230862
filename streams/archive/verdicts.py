"""What became of the frames of a period: their live outcomes, and whether they were only collected, one byte a frame.
Pure.

The first verdict of a frame in log order is the one that counts.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from schemas.records import Outcome, VerdictIssued
from streams.inspection.decide import is_collected

_CODES = {outcome: number for number, outcome in enumerate(Outcome)}
_OUTCOMES = tuple(Outcome)
NONE = 255
COLLECTED = 128  # added to an outcome's code


class LiveOutcomes:
    """Outcomes of the frames at offsets `low` to `high` (exclusive) by partition, of one frames topic (full name)."""

    def __init__(self, frames_topic: str, stretches: Mapping[int, tuple[int, int]]) -> None:
        self._topic = frames_topic
        self._stretches = stretches
        self._codes = {p: np.full(high - low, NONE, np.uint8) for p, (low, high) in stretches.items()}
        self._open = {p for p, (low, high) in stretches.items() if low < high}

    @property
    def complete(self) -> bool:
        """Whether no further verdict can be about these frames: every partition's are past them."""
        return not self._open

    def add(self, partition: int, verdict: VerdictIssued) -> None:
        """A verdict, in the order of its partition's log."""
        if verdict.simulated or verdict.source_topic != self._topic or verdict.source_partition != partition:
            return
        low, high = self._stretches.get(partition, (0, 0))
        if verdict.source_offset >= high:
            self._open.discard(partition)
        elif verdict.source_offset >= low:
            codes = self._codes[partition]
            if codes[verdict.source_offset - low] == NONE:
                codes[verdict.source_offset - low] = _CODES[verdict.outcome] | COLLECTED * is_collected(verdict)

    def outcome(self, partition: int, offset: int) -> Outcome | None:
        """None for a frame without a verdict."""
        code = self._code(partition, offset)
        return None if code == NONE else _OUTCOMES[code & ~COLLECTED]

    def collected(self, partition: int, offset: int) -> bool:
        """Whether nobody was to decide about the frame."""
        code = self._code(partition, offset)
        return code != NONE and bool(code & COLLECTED)

    def _code(self, partition: int, offset: int) -> int:
        return int(self._codes[partition][offset - self._stretches[partition][0]])
