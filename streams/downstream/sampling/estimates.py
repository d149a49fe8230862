"""What people's looks say about a line: escapes from pass audits, overkill from decided rejects. Pure.

Used by statistics, the dashboard and the sampler. Intervals are exact ones for a share (Clopper and Pearson 1934); with
unequal inclusion probabilities the number of looks is replaced by the effective one (Korn and Graubard 1998,
"Confidence intervals for proportions with small expected number of positive counts estimated from survey data").
Knows no topic and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import fsum
from uuid import UUID

from schemas.records import Estimate, ReworkFinding, ReworkOutcome

CONFIDENCE = 0.95
_BAD = {ReworkFinding.CONFIRMED: True, ReworkFinding.FALSE_REJECT: False}


@dataclass(frozen=True, slots=True)
class Audit:
    """One passed frame that was chosen at random and looked at. `inclusion_probability` is above 0, at most 1."""

    inclusion_probability: float
    bad: bool


def is_bad(outcome: ReworkOutcome) -> bool | None:
    """Whether the part is bad by this decision; None where the decision doesn't say."""
    return _BAD.get(outcome.finding)


def succeeds(head: ReworkOutcome | None, outcome: ReworkOutcome) -> bool:
    """Whether an outcome becomes the decision of its verdict and review, whose present one is `head`.

    The first does, and one that names the present head. Of two people who decide at once, the first in the log wins.
    """
    return outcome.supersedes == (head.outcome_id if head else None)


def effective(outcomes: Iterable[ReworkOutcome], review: int = 1) -> dict[UUID, ReworkOutcome]:
    """The decisions in force, by verdict_id; `outcomes` in the order of the log. Withdrawn ones are left out."""
    heads: dict[UUID, ReworkOutcome] = {}
    for outcome in outcomes:
        if outcome.review == review and succeeds(heads.get(outcome.verdict_id), outcome):
            heads[outcome.verdict_id] = outcome
    return {at: head for at, head in heads.items() if head.finding is not ReworkFinding.WITHDRAWN}


def escape_estimate(audits: Sequence[Audit]) -> Estimate:
    """The share of passed frames that are bad: Hajek's weighted mean with Korn and Graubard's interval.

    For equal probabilities that is the plain share with Clopper and Pearson's interval. Raises ValueError for an
    inclusion probability outside (0, 1].
    """
    if not audits:
        return Estimate()
    weights = [_weight(audit) for audit in audits]
    share = fsum(w for w, audit in zip(weights, audits, strict=True) if audit.bad) / fsum(weights)
    low, high = _interval(share, _effective_size(weights, [audit.bad for audit in audits], share))
    return Estimate(value=share, low=low, high=high, n=len(audits))


def overkill_estimate(confirmed: int, false_rejects: int, rejects: int, frames: int) -> Estimate:
    """Good frames rejected per frame inspected: the share of false among decided rejects, times rejects per frame.

    `confirmed` and `false_rejects` are decided ones of the `rejects` among `frames`.
    """
    decided = confirmed + false_rejects
    if not decided or not frames:
        return Estimate()
    share, scale = false_rejects / decided, rejects / frames
    low, high = _interval(share, decided)
    return Estimate(value=share * scale, low=low * scale, high=high * scale, n=decided)


def _weight(audit: Audit) -> float:
    if not 0 < audit.inclusion_probability <= 1:
        raise ValueError(f"an inclusion probability must be above 0 and at most 1; came {audit.inclusion_probability}")
    return 1 / audit.inclusion_probability


def _effective_size(weights: Sequence[float], bad: Sequence[bool], share: float) -> float:
    """Looks of a simple random sample with the same (linearised) variance, at most Kish's size by weights alone."""
    total = fsum(weights)
    kish = total**2 / fsum(w * w for w in weights)
    if len(set(bad)) == 1:
        return kish
    spread = fsum((w * (b - share)) ** 2 for w, b in zip(weights, bad, strict=True))
    return min(share * (1 - share) * total**2 / spread, kish)


def _interval(share: float, n: float) -> tuple[float, float]:
    """Clopper and Pearson's limits for a share of `n` looks, which need not be whole."""
    from scipy.stats import beta  # a second of start-up that whoever asks for no interval need not pay

    bad, tail = share * n, (1 - CONFIDENCE) / 2
    low = float(beta.ppf(tail, bad, n - bad + 1)) if share > 0 else 0.0
    high = float(beta.ppf(1 - tail, bad + 1, n - bad)) if share < 1 else 1.0
    return low, high
