"""The figures of one run: pure. `up.py` collects the events, `cli.py` shows the table or the JSON.

Losses are counted by Kafka's own offsets, not by what any part says it did: a frame is lost where its offset has
neither a verdict nor a dead letter.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from models.evaluate import Rate, rate
from schemas.records import DeadLetter, Outcome, VerdictIssued

DECIDED = (Outcome.OK, Outcome.NG)


@dataclass(slots=True)
class Run:
    """What was seen of one run while it went on."""

    first_offsets: Mapping[int, int]  # of `frames`, by partition, before the run
    verdicts: list[tuple[VerdictIssued, datetime]] = field(default_factory=list)  # with the append time
    dead_letters: list[DeadLetter] = field(default_factory=list)
    copies: int = 0
    covered: dict[int, set[int]] = field(default_factory=dict)  # offsets of `frames` with a verdict or dead letter

    def add_verdict(self, verdict: VerdictIssued, appended_at: datetime) -> None:
        if verdict.source_offset >= self.first_offsets.get(verdict.source_partition, 0):
            self.verdicts.append((verdict, appended_at))
            self.covered.setdefault(verdict.source_partition, set()).add(verdict.source_offset)

    def add_dead_letter(self, letter: DeadLetter) -> None:
        if letter.source_offset >= self.first_offsets.get(letter.source_partition, 0):
            self.dead_letters.append(letter)
            self.covered.setdefault(letter.source_partition, set()).add(letter.source_offset)

    @property
    def done(self) -> int:
        """Frames with a verdict or a dead letter."""
        return sum(map(len, self.covered.values()))

    def lost(self, ends: Mapping[int, int]) -> int:
        """Frames before the offsets `ends` that have neither."""
        expected = (range(self.first_offsets.get(p, 0), end) for p, end in ends.items())
        return sum(len(set(offsets) - self.covered.get(p, set())) for p, offsets in zip(ends, expected, strict=True))


@dataclass(frozen=True, slots=True)
class Quality:
    """Decisions against known labels; `unsure` and errors count as wrong in `accuracy`, and are no escapes."""

    labelled: int
    accuracy: Rate
    escape: Rate
    overkill: Rate
    unsure: Rate

    def to_json(self) -> dict[str, Any]:
        rates = {name: getattr(self, name).to_json() for name in ("accuracy", "escape", "overkill", "unsure")}
        return {"labelled": self.labelled, **rates}


def quality(verdicts: Iterable[VerdictIssued], good: str = "good") -> Quality:
    """Figures over the verdicts that carry a label; `good` is the label of a good part."""
    labelled = [v for v in verdicts if v.label is not None]
    bad_parts = [v for v in labelled if v.label != good]
    good_parts = [v for v in labelled if v.label == good]
    right = sum(v.outcome == (Outcome.OK if v.label == good else Outcome.NG) for v in labelled)
    return Quality(
        labelled=len(labelled),
        accuracy=rate(right, len(labelled)),
        escape=rate(sum(v.outcome == Outcome.OK for v in bad_parts), len(bad_parts)),
        overkill=rate(sum(v.outcome == Outcome.NG for v in good_parts), len(good_parts)),
        unsure=rate(sum(v.outcome == Outcome.UNSURE for v in labelled), len(labelled)),
    )


def latency_ms(verdict: VerdictIssued, appended_at: datetime) -> float:
    """Trigger to verdict on the topic, by the gateway's monotonic clock and the broker's: no two are compared."""
    return (verdict.gateway_ms or 0) + (appended_at - verdict.source_timestamp).total_seconds() * 1000


def quantile(values: Sequence[float], share: float) -> float | None:
    """Nearest-rank quantile; None of nothing."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures that `lineside up` ends with. Times are milliseconds, rates per second."""

    source: str
    frames: int
    verdicts: int
    lost: int
    duplicates: int
    dead_letters: int
    outcomes: Mapping[str, int]
    quality: Quality
    held_out_only: bool
    latency_ms: Mapping[str, float | None]
    images_per_s: float | None
    engine: str
    model_id: str
    batches: Mapping[int, int]

    def to_json(self) -> dict[str, Any]:
        values = {name: getattr(self, name) for name in self.__slots__}
        return values | {"quality": self.quality.to_json(), "batches": {str(k): v for k, v in self.batches.items()}}


def report(source: str, run: Run, ends: Mapping[int, int], held_out: Callable[[VerdictIssued], bool] | None) -> Report:
    """The report of a finished run; `held_out` tells the frames that the model was not trained on (None: all)."""
    verdicts = [v for v, _ in run.verdicts]
    latencies = [latency_ms(v, at) for v, at in run.verdicts]
    engines = Counter(f"{v.device} {v.precision.lower()}" for v in verdicts if v.device)
    return Report(
        source=source,
        frames=sum(max(0, end - run.first_offsets.get(p, 0)) for p, end in ends.items()),
        verdicts=len({v.verdict_id for v in verdicts}),
        lost=run.lost(ends),
        duplicates=run.copies,
        dead_letters=len(run.dead_letters),
        outcomes=dict(sorted(Counter(str(v.outcome) for v in verdicts).items())),
        quality=quality(v for v in verdicts if held_out is None or held_out(v)),
        held_out_only=held_out is not None,
        latency_ms={f"p{round(q * 100)}": quantile(latencies, q) for q in (0.5, 0.95, 0.99)},
        images_per_s=_images_per_s([at for _, at in run.verdicts]),
        engine=", ".join(engines) or "none",
        model_id=", ".join(sorted({v.model_id for v in verdicts if v.model_id})),
        batches=_batches(verdicts),
    )


def _images_per_s(appended: Sequence[datetime]) -> float | None:
    """Verdicts a second between the first and the last; None where fewer than two came."""
    span_s = (max(appended) - min(appended)).total_seconds() if appended else 0.0
    return (len(appended) - 1) / span_s if span_s > 0 else None


def _batches(verdicts: Iterable[VerdictIssued]) -> dict[int, int]:
    """Number of batches by size: a batch of n frames left n verdicts."""
    frames = Counter(v.batch_size for v in verdicts if v.batch_size)
    return {size: round(count / size) for size, count in sorted(frames.items())}
