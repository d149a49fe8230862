"""What the frames, and what the parts, of one window come to. Pure.

The two halves of a LineWindow, each filled by the fold of its own topic. Knows no window's time and no topic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemas.records import Outcome, Reason, VerdictIssued
from streams.downstream.statistics import latency

TEXT_MAX_CHARS = 200
MOST_NAMES = 64
"""Of labels, models and recipes in one window; those that come later count as OTHERS."""
OTHERS = "(others)"


@dataclass(slots=True)
class FrameCounts:
    """What the frames of one window come to; the names are those of LineWindow."""

    through_offset: int = -1
    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    deadline_missed: int = 0
    late_frames: int = 0
    missing_triggers: int = 0
    repeated_triggers: int = 0
    models: Counter[str] = field(default_factory=Counter)
    recipes: Counter[str] = field(default_factory=Counter)
    latency_counts: list[int] = field(default_factory=lambda: [0] * latency.BUCKETS)

    def add(self, verdict: VerdictIssued, latency_ms: float) -> None:
        self.frames += 1
        self.outcomes[verdict.outcome.value] += 1
        if verdict.reason is not Reason.SCORE:
            self.reasons[verdict.reason.value] += 1
        if verdict.outcome is Outcome.NG and verdict.findings:
            _count(self.labels, max(verdict.findings, key=lambda finding: finding.score).label)
        self.deadline_missed += not verdict.deadline_met
        if verdict.model_id is not None:
            _count(self.models, verdict.model_id)
        if verdict.recipe_version is not None:
            _count(self.recipes, f"{verdict.sku[:TEXT_MAX_CHARS]}@{verdict.recipe_version}")
        self.latency_counts[latency.bucket(latency_ms)] += 1

    def fields(self) -> dict[str, Any]:
        """The fields of a LineWindow that frames decide."""
        p50, p95, p99 = (latency.quantile_ms(self.latency_counts, share) for share in (0.5, 0.95, 0.99))
        return {
            "through_offset": self.through_offset,
            "frames": self.frames,
            "outcomes": dict(self.outcomes),
            "reasons": dict(self.reasons),
            "labels": dict(self.labels),
            "deadline_missed": self.deadline_missed,
            "late_frames": self.late_frames,
            "missing_triggers": self.missing_triggers,
            "repeated_triggers": self.repeated_triggers,
            "models": dict(self.models),
            "recipes": dict(self.recipes),
            "latency_counts": tuple(self.latency_counts),
            "latency_p50_ms": p50,
            "latency_p95_ms": p95,
            "latency_p99_ms": p99,
        }


@dataclass(slots=True)
class PartCounts:
    """What the parts of one window come to; the names are those of LineWindow."""

    through_offset: int = -1
    parts: Counter[str] = field(default_factory=Counter)
    reworked: Counter[str] = field(default_factory=Counter)
    late_parts: int = 0

    def fields(self) -> dict[str, Any]:
        """The fields of a LineWindow that parts decide."""
        return {
            "through_part_offset": self.through_offset,
            "parts": dict(self.parts),
            "reworked": dict(self.reworked),
            "late_parts": self.late_parts,
        }


def _count(counter: Counter[str], name: str) -> None:
    """Names come from outside: a window must stay small enough to be sent."""
    name = name[: 2 * TEXT_MAX_CHARS]
    counter[name if name in counter or len(counter) < MOST_NAMES else OTHERS] += 1
