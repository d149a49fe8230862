"""What is known of the parts behind a comparison, and how much each of them stands for. Pure.

Truth is a frame's label, else what people decided about its live verdict. Each comes with the probability with which
such a frame got into the comparison, because OK frames are kept and audited by a sample: rates weight by its inverse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, sqrt
from typing import Any
from uuid import UUID

from schemas.records import Estimate, Outcome, ReworkOutcome, SampleSelected, Strategy
from streams.downstream.sampling.estimates import Audit, effective, escape_estimate, is_bad
from streams.inspection.decide import verdict_id
from streams.replay.decided import Decision, Key

Z = 1.959963984540054  # of a two-sided 95 % interval
NO_OK = (
    "no frame that passed live has both a picture and a known truth here: nobody can tell what would have been let pass"
)
NO_TRUTH = "nothing is known of any part of this range: neither labels nor decisions of people"


@dataclass(frozen=True, slots=True)
class Truth:
    """`probability` is None where nobody can tell it: then the frame counts in no rate."""

    bad: bool
    probability: float | None
    live: Outcome | None


@dataclass(frozen=True, slots=True)
class Truths:
    """By frame; `by` says where from: "labels" or "decisions of people"."""

    by: str
    of: Mapping[Key, Truth]
    unknown_probability: int = 0


@dataclass(frozen=True, slots=True)
class Rate:
    """An estimate, or why there is none."""

    estimate: Estimate
    why_not: str = ""

    def to_json(self) -> dict[str, Any]:
        e = self.estimate
        return {"value": e.value, "low": e.low, "high": e.high, "n": e.n, "why_not": self.why_not or None}


@dataclass(frozen=True, slots=True)
class Rates:
    """Escape: the share of bad parts that pass. Overkill: the share of good parts that are rejected (NG)."""

    escape: Rate
    overkill: Rate
    counts: Mapping[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {"escape": self.escape.to_json(), "overkill": self.overkill.to_json(), "counts": dict(self.counts)}


def by_labels(frames: Iterable[Mapping[str, Any]], labels: Mapping[Key, str], good: frozenset[str]) -> Truths:
    """Known truth; `frames` are rows of `coverage.FRAMES`, `good` the labels of good parts."""
    found: dict[Key, Truth] = {}
    for row in frames:
        key = (row["frame_id"], row["attempt"])
        if key in labels:
            found[key] = Truth(labels[key] not in good, row["inclusion_probability"], _outcome(row["outcome"]))
    return Truths("labels", found, sum(truth.probability is None for truth in found.values()))


def by_people(
    frames: Iterable[Mapping[str, Any]], outcomes: Iterable[ReworkOutcome], samples: Iterable[SampleSelected]
) -> Truths:
    """Decisions at rework stations. Passed frames count by their audit, rejected ones by the share decided."""
    said = effective(outcomes)
    audits = {s.verdict_id: s.inclusion_probability for s in samples if s.strategy is Strategy.PASS_AUDIT}
    rows = [(row, verdict_id(UUID(row["frame_id"]), row["attempt"])) for row in frames]
    rejected = Counter(row["outcome"] for row, _ in rows)
    decided = Counter(row["outcome"] for row, at in rows if at in said and is_bad(said[at]) is not None)
    found: dict[Key, Truth] = {}
    for row, at in rows:
        if at not in said or (bad := is_bad(said[at])) is None:
            continue
        outcome = _outcome(row["outcome"])
        probability = audits.get(at) if outcome is Outcome.OK else decided[outcome] / rejected[outcome]
        found[row["frame_id"], row["attempt"]] = Truth(bad, probability, outcome)
    return Truths("decisions of people", found, sum(truth.probability is None for truth in found.values()))


def rates(decisions: Mapping[Key, Decision], truths: Truths) -> Rates:
    """The rates of one run. None, with the reason, where no passed frame tells of escapes."""
    known = _known(decisions, truths)
    counts = dict(Counter(f"{'bad' if t.bad else 'good'} {d.outcome.value}" for d, t in known))
    if why := _refusal(known, truths):
        nothing = Rate(Estimate(), why)
        return Rates(nothing, nothing, counts)
    bad = [Audit(t.probability or 1.0, d.passes) for d, t in known if t.bad]
    good = [Audit(t.probability or 1.0, d.outcome is Outcome.NG) for d, t in known if not t.bad]
    return Rates(_rate(bad, "no bad part is known"), _rate(good, "no good part is known"), counts)


def difference(
    a: Mapping[Key, Decision], b: Mapping[Key, Decision], truths: Truths, bad: bool
) -> tuple[float, float, float] | None:
    """Escape (`bad`) or overkill of B less that of A on the same parts, with its 95 % interval; None of nothing.

    The interval is the linearised one of a weighted mean of paired differences (Cochran 1977, chapter 6).
    """
    weights, shifts = [], []
    for key in a.keys() & b.keys():
        truth = truths.of.get(key)
        if truth and truth.probability and truth.bad is bad:
            hits = [(d.passes if bad else d.outcome is Outcome.NG) for d in (a[key], b[key])]
            weights.append(1 / truth.probability)
            shifts.append(int(hits[1]) - int(hits[0]))
    if len(weights) < 2:
        return None
    total = fsum(weights)
    mean = fsum(w * s for w, s in zip(weights, shifts, strict=True)) / total
    spread = fsum((w * (s - mean)) ** 2 for w, s in zip(weights, shifts, strict=True))
    half = Z * sqrt(spread * len(weights) / (len(weights) - 1)) / total
    if spread == 0:  # nothing differs here: then so many parts only bound the difference (Clopper and Pearson 1934)
        half = 1 - 0.025 ** (1 / (total**2 / fsum(w * w for w in weights)))
    return mean, max(-1.0, mean - half), min(1.0, mean + half)


def refusal(decisions: Mapping[Key, Decision], truths: Truths) -> str:
    """Why rates of these decisions can't be estimated; empty where they can."""
    return _refusal(_known(decisions, truths), truths)


def _known(decisions: Mapping[Key, Decision], truths: Truths) -> list[tuple[Decision, Truth]]:
    return [(d, t) for key, d in decisions.items() if (t := truths.of.get(key)) and t.probability]


def _refusal(known: list[tuple[Decision, Truth]], truths: Truths) -> str:
    if not truths.of:
        return NO_TRUTH
    return "" if any(truth.live is Outcome.OK for _, truth in known) else NO_OK


def _rate(audits: list[Audit], why_not: str) -> Rate:
    return Rate(escape_estimate(audits)) if audits else Rate(Estimate(), why_not)


def _outcome(text: str | None) -> Outcome | None:
    return Outcome(text) if text else None
