"""How far people agree: first decisions against blind reviews of the same verdicts. Pure.

Cohen's kappa ("A coefficient of agreement for nominal scales", 1960) with the standard error of Fleiss, Cohen and
Everitt ("Large sample standard errors of kappa and weighted kappa", 1969), and Fleiss' kappa ("Measuring nominal
scale agreement among many raters", 1971), which does not ask that the same two people judged all. A kappa is None
where it is not defined: without ratings, or where all ratings are the same, so that chance alone explains
everything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from schemas.records import Outcome, ReworkFinding, ReworkOutcome
from streams.downstream.rework.review import FIRST, SECOND
from streams.downstream.sampling.estimates import effective

Z_95 = 1.959964
Rating = Hashable
Pair = tuple[Rating, Rating]
_RATINGS = (ReworkFinding.CONFIRMED, ReworkFinding.FALSE_REJECT, ReworkFinding.INCONCLUSIVE)
_NO_DEFECT = ""


@dataclass(frozen=True, slots=True)
class Kappa:
    """Agreement beyond chance, 1 at best and 0 by chance, with its 95 % interval, from `n` doubly judged items."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Both coefficients on what people found, and on which defect. `reviewed` is verdicts with both looks."""

    reviewed: int
    finding: Kappa | None
    label: Kappa | None
    finding_fleiss: float | None
    label_fleiss: float | None


def agreement(outcomes: Iterable[ReworkOutcome]) -> Agreement:
    """The agreement of effective first decisions with blind reviews; `outcomes` in the order of the log.

    A part that was not found is no rating. Labels are compared where both people said which defect there is, or none.
    """
    known = list(outcomes)
    first, second = effective(known, FIRST), effective(known, SECOND)
    both = [(first[v], second[v]) for v in first if v in second]
    findings = [(a.finding, b.finding) for a, b in both if a.finding in _RATINGS and b.finding in _RATINGS]
    labels = [(_label(a), _label(b)) for a, b in both]
    labels = [pair for pair in labels if None not in pair]
    return Agreement(
        len(both),
        cohen_kappa(findings),
        cohen_kappa(labels),
        fleiss_kappa(_counts(findings)),
        fleiss_kappa(_counts(labels)),
    )


def cohen_kappa(pairs: Sequence[Pair]) -> Kappa | None:
    """The agreement of two raters on the same items, a pair an item."""
    n = len(pairs)
    rows, columns = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    if not n or (by_chance := sum(rows[c] * columns[c] for c in rows) / n**2) == 1:
        return None
    agreed = sum(a == b for a, b in pairs) / n
    kappa = (agreed - by_chance) / (1 - by_chance)
    diagonal = sum((1 - by_chance - (rows[a] + columns[a]) / n * (1 - agreed)) ** 2 for a, b in pairs if a == b) / n
    beside = sum(((columns[a] + rows[b]) / n) ** 2 for a, b in pairs if a != b) / n
    spread = diagonal + (1 - agreed) ** 2 * beside - (agreed * by_chance - 2 * by_chance + agreed) ** 2
    half = Z_95 * sqrt(max(0.0, spread) / n) / (1 - by_chance) ** 2
    return Kappa(kappa, max(-1.0, kappa - half), min(1.0, kappa + half), n)


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float | None:
    """The agreement of any raters: for each item, how many put it in each category; the same number rate every item.

    Raises ValueError where they don't, or where an item has fewer than two ratings.
    """
    if not counts:
        return None
    raters = sum(counts[0])
    if raters < 2 or any(sum(item) != raters for item in counts):
        raise ValueError(
            f"every item needs the same number of ratings, at least 2; came {sorted(set(map(sum, counts)))}"
        )
    shares: list[float] = [sum(category) / (len(counts) * raters) for category in zip(*counts, strict=True)]
    by_chance = sum(share * share for share in shares)
    if by_chance == 1:
        return None
    agreed: float = sum(n * (n - 1) for item in counts for n in item) / (len(counts) * raters * (raters - 1))
    return (agreed - by_chance) / (1 - by_chance)


def _counts(pairs: Sequence[Pair]) -> list[list[int]]:
    categories = list(dict.fromkeys(rating for pair in pairs for rating in pair))
    return [[pair.count(category) for category in categories] for pair in pairs]


def _label(outcome: ReworkOutcome) -> str | None:
    """Which defect a person saw, "" for none; None where the outcome doesn't say."""
    match outcome.finding:
        case ReworkFinding.FALSE_REJECT:
            return _NO_DEFECT
        case ReworkFinding.CONFIRMED:
            model_saw_a_defect = outcome.verdict_outcome in (Outcome.NG, Outcome.UNSURE)
            return outcome.corrected_label or (outcome.predicted_label if model_saw_a_defect else None)
    return None
