"""Windows added up: what a shift, a line or a plant comes to. Pure; for the dashboard and for reports.

Counts are added, quantiles are made from added counts. Shares without a base are None, never 0 or 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from models.evaluate import Rate, rate
from schemas.records import LineWindow, PartOutcome
from streams.downstream.statistics import latency
from streams.downstream.statistics.book import key_of
from streams.downstream.statistics.windows import Key


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over windows; names and meanings are those of LineWindow."""

    windows: int
    frames: int
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    labels: Mapping[str, int]
    deadline_missed: int
    late_frames: int
    parts: Mapping[str, int]
    reworked: Mapping[str, int]
    late_parts: int
    missing_triggers: int
    repeated_triggers: int
    models: Mapping[str, int]
    recipes: Mapping[str, int]
    latency_counts: tuple[int, ...]

    def latency_ms(self, share: float) -> float | None:
        """A quantile of trigger to verdict, such as 0.95, in milliseconds."""
        return latency.quantile_ms(self.latency_counts, share)


def newest(revisions: Iterable[LineWindow]) -> dict[tuple[Key, int], LineWindow]:
    """The highest revision of every window, by station, number and width; of equal ones the later in the log."""
    found: dict[tuple[Key, int], LineWindow] = {}
    for window in revisions:
        at = (key_of(window), window.width_ms)
        if at not in found or found[at].revision <= window.revision:
            found[at] = window
    return found


def totals(windows: Iterable[LineWindow]) -> Totals:
    """The sum of windows of any stations; of several revisions of a window the highest counts."""
    chosen = list(newest(windows).values())
    return Totals(
        windows=len(chosen),
        frames=sum(w.frames for w in chosen),
        outcomes=_summed(w.outcomes for w in chosen),
        reasons=_summed(w.reasons for w in chosen),
        labels=_summed(w.labels for w in chosen),
        deadline_missed=sum(w.deadline_missed for w in chosen),
        late_frames=sum(w.late_frames for w in chosen),
        parts=_summed(w.parts for w in chosen),
        reworked=_summed(w.reworked for w in chosen),
        late_parts=sum(w.late_parts for w in chosen),
        missing_triggers=sum(w.missing_triggers for w in chosen),
        repeated_triggers=sum(w.repeated_triggers for w in chosen),
        models=_summed(w.models for w in chosen),
        recipes=_summed(w.recipes for w in chosen),
        latency_counts=latency.added(w.latency_counts for w in chosen),
    )


def first_pass_yield(parts: Mapping[str, int]) -> Rate:
    """The share of inspected parts of pass 1 that were OK, with its exact 95 % interval.

    `parts` is that field of a window or of totals. Parts that were not inspected are left out: they say nothing of
    quality, and are to be shown beside it.
    """
    inspected = sum(n for outcome, n in parts.items() if outcome != PartOutcome.NOT_INSPECTED)
    return rate(parts.get(PartOutcome.OK, 0), inspected)


def parts_per_minute(found: Totals, span_s: float) -> float | None:
    """Parts of all passes and outcomes a minute over `span_s` seconds; None of no time."""
    return 60 * (sum(found.parts.values()) + sum(found.reworked.values())) / span_s if span_s > 0 else None


def _summed(maps: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for counts in maps:
        total.update(counts)
    return dict(total)
