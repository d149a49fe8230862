"""What the views of one part say together: the outcome, the reason and the words for it. Pure.

Place in the flow: asked by the assembler when a part is decided. Any NG makes the part NG. Else a view that is missing,
late, unreadable or only collected makes it NOT_INSPECTED, whatever the others say; else any UNSURE makes it UNSURE.
Only a part whose views were all inspected and found OK is OK. Knows nothing of time, Kafka or how views come together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from schemas.records import Mode, Outcome, PartOutcome, PartReason, PartView, Reason, SequenceRange, VerdictIssued
from streams.inspection.decide import is_collected

MAX_LABELS = 32
LABEL_MAX_CHARS = 200
RANGES_SPELLED = 8  # longer lists of numbers end with "and more"
MODES = (Mode.UNKNOWN, Mode.COLLECT, Mode.ADVISE, Mode.ACT)  # from the least binding to the most


class Standing(IntEnum):
    """What a view lets its part be; a higher one outweighs a lower one."""

    OK = 0
    UNSURE = 1
    COLLECTED = 2
    LATE = 3
    ERROR = 4
    NG = 5


@dataclass(frozen=True, slots=True)
class View:
    """What is kept of a verdict until its part is decided."""

    shown: PartView
    attempt: int
    findings: tuple[tuple[float, str], ...]  # score and label
    mode: Mode
    recipe_version: int | None
    model_id: str | None

    @classmethod
    def of(cls, verdict: VerdictIssued, offset: int) -> View:
        """The view that a verdict at `offset` of its partition is about."""
        shown = PartView(
            verdict_id=verdict.verdict_id,
            verdict_offset=offset,
            camera=verdict.camera,
            view=verdict.view,
            trigger_seq=verdict.trigger_seq,
            outcome=verdict.outcome,
            reason=verdict.reason,
        )
        surest = sorted(
            (-f.score if math.isfinite(f.score) else 0.0, f.label[:LABEL_MAX_CHARS]) for f in verdict.findings
        )
        findings = tuple((-score, label) for score, label in surest[:MAX_LABELS])
        return cls(shown, verdict.attempt, findings, verdict.mode, verdict.recipe_version, verdict.model_id)

    @property
    def standing(self) -> Standing:
        """A late frame may be NG or UNSURE by its recipe, but an OK counts only where a score gave it."""
        outcome, reason = self.shown.outcome, self.shown.reason
        if outcome is Outcome.NG:
            return Standing.NG
        if outcome is Outcome.UNSURE:
            return Standing.UNSURE
        if outcome is Outcome.OK and reason is Reason.SCORE:
            return Standing.OK
        if is_collected(self.shown):
            return Standing.COLLECTED
        return Standing.LATE if reason is Reason.LATE else Standing.ERROR

    def outweighs(self, other: View) -> bool:
        """True where this one counts in place of another of the same number: a later attempt, else the worse one."""
        return (self.attempt, self.standing) > (other.attempt, other.standing)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was decided about a part and why."""

    outcome: PartOutcome
    reason: PartReason
    detail: str


def judged(views: Mapping[int, View], expected: int, contradictions: Iterable[str] = ()) -> Judgement:
    """The judgement from the views that came, by their numbers, of `expected`; a contradiction is never OK."""
    missing = missing_ranges(sorted(views), expected)
    numbers = {standing: [n for n in sorted(views) if views[n].standing is standing] for standing in Standing}
    remarks = [f"{_views(numbers[Standing.NG])} NG"] if numbers[Standing.NG] else []
    remarks += [f"{_views_of(missing)} of {expected} missing"] if missing else []
    remarks += [f"{_views(numbers[Standing.LATE])} late"] if numbers[Standing.LATE] else []
    remarks += [f"view {n} not inspected: {views[n].shown.reason}" for n in numbers[Standing.ERROR][:RANGES_SPELLED]]
    remarks += [f"{_views(numbers[Standing.COLLECTED])} only collected"] if numbers[Standing.COLLECTED] else []
    remarks += contradictions
    outcome, reason = _outcome(numbers, bool(missing), bool(tuple(contradictions)))
    return Judgement(outcome, reason, "; ".join(remarks))


def _outcome(
    numbers: Mapping[Standing, Sequence[int]], missing: bool, contradicted: bool
) -> tuple[PartOutcome, PartReason]:
    if numbers[Standing.NG]:
        return PartOutcome.NG, PartReason.VIEWS
    if missing:
        return PartOutcome.NOT_INSPECTED, PartReason.MISSING_VIEW
    if numbers[Standing.LATE]:
        return PartOutcome.NOT_INSPECTED, PartReason.LATE_VIEW
    if numbers[Standing.ERROR] or contradicted:
        return PartOutcome.NOT_INSPECTED, PartReason.ERROR_VIEW
    if numbers[Standing.COLLECTED]:
        return PartOutcome.NOT_INSPECTED, PartReason.VIEWS
    return PartOutcome.UNSURE if numbers[Standing.UNSURE] else PartOutcome.OK, PartReason.VIEWS


def labels(views: Iterable[View]) -> tuple[str, ...]:
    """Defects found in any view, the surest first, each once."""
    found = sorted((finding for view in views for finding in view.findings), key=lambda f: -f[0])
    return tuple(dict.fromkeys(label for _, label in found))[:MAX_LABELS]


def mode(views: Iterable[View]) -> Mode:
    """The least binding mode of the views: only a part whose views all may act may be moved."""
    return least_binding(view.mode for view in views)


def least_binding(modes: Iterable[Mode]) -> Mode:
    """Of several modes the one that holds for all together; UNKNOWN of none."""
    return min(modes, key=MODES.index, default=Mode.UNKNOWN)


def missing_ranges(present: Sequence[int], expected: int) -> list[SequenceRange]:
    """The numbers from 1 to `expected` that are not in `present` (ascending), without counting them out."""
    gaps, next_number = [], 1
    for number in (*(n for n in present if 1 <= n <= expected), expected + 1):
        if next_number < number:
            gaps.append(SequenceRange(first=next_number, last=number - 1))
        next_number = number + 1
    return gaps


def spelled(ranges: Sequence[SequenceRange]) -> str:
    """Ranges in words: `2 and 4`, `1, 3 to 6 and 9`."""
    words = [f"{r.first}" if r.first == r.last else f"{r.first} to {r.last}" for r in ranges]
    if len(words) > RANGES_SPELLED:
        words = [*words[:RANGES_SPELLED], "more"]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def _views(numbers: Sequence[int]) -> str:
    return _views_of([SequenceRange(first=n, last=n) for n in numbers])


def _views_of(ranges: Sequence[SequenceRange]) -> str:
    one = len(ranges) == 1 and ranges[0].first == ranges[0].last
    return f"{'view' if one else 'views'} {spelled(ranges)}"
