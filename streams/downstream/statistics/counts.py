"""What the frames, and what the parts, of one window come to. Pure.

The two halves of a LineWindow, each filled by the fold of its own topic. Knows no window's time and no topic.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from schemas.records import Outcome, Reason, VerdictIssued
from streams.downstream.statistics import latency


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
            self.labels[max(verdict.findings, key=lambda finding: finding.score).label] += 1
        self.deadline_missed += not verdict.deadline_met
        if verdict.model_id is not None:
            self.models[verdict.model_id] += 1
        if verdict.recipe_version is not None:
            self.recipes[f"{verdict.sku}@{verdict.recipe_version}"] += 1
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
