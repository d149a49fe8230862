"""The half-made decision: what each press makes of it, until two presses have made a whole one.

Pure. The same keys do the same on every case: 1 to 4 say what was found, then R, S, A or B what happens to the part.
A part that was not found can't be sent anywhere: there the second press is 4 again. Knows no case and no page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from schemas.records import Disposition, ReworkFinding
from streams.downstream.rework.cases import Case
from streams.downstream.rework.decisions import COMMENT_MAX, Decision
from streams.inspection.decide import ANY_DEFECT

FINDINGS: Mapping[str, ReworkFinding] = {
    "1": ReworkFinding.CONFIRMED,
    "2": ReworkFinding.FALSE_REJECT,
    "3": ReworkFinding.INCONCLUSIVE,
    "4": ReworkFinding.NOT_FOUND,
}
DISPOSITIONS: Mapping[str, Disposition] = {
    "r": Disposition.REWORK,
    "s": Disposition.SCRAP,
    "a": Disposition.USE_AS_IS,
    "b": Disposition.RETURN,
}


@dataclass(frozen=True, slots=True)
class Draft:
    """What the operator has said so far about the open case; `label` is the defect's class, None where none is said."""

    finding: ReworkFinding | None = None
    label: str | None = None
    comment: str = ""

    def with_label(self, label: str | None) -> Draft:
        """The class chosen: that also says that the defect is there."""
        return replace(self, finding=ReworkFinding.CONFIRMED, label=label)

    def with_comment(self, comment: str) -> Draft:
        return replace(self, comment=comment.strip()[:COMMENT_MAX])

    def awaits_disposition(self) -> bool:
        return self.finding is not None and self.finding is not ReworkFinding.NOT_FOUND


def press(draft: Draft, key: str) -> Draft | Decision:
    """What a key makes of a draft: the whole decision with the second press, and the same draft for any other key."""
    if draft.awaits_disposition() and key in DISPOSITIONS:
        return _decision(draft, DISPOSITIONS[key])
    finding = FINDINGS.get(key)
    if finding is None:
        return draft
    if finding is ReworkFinding.NOT_FOUND and draft.finding is finding:
        return _decision(draft, Disposition.UNKNOWN)
    return replace(draft, finding=finding)


def _decision(draft: Draft, disposition: Disposition) -> Decision:
    assert draft.finding is not None
    label = draft.label if draft.finding is ReworkFinding.CONFIRMED else None
    return Decision(finding=draft.finding, label=label, disposition=disposition, comment=draft.comment)


def defect_labels(case: Case, others: Iterable[Case], good: frozenset[str]) -> list[str]:
    """The defects that a person can choose from: the case's own by likelihood, then what `others` of its model know.

    `good` names the classes that are no defect. In a blind case they stand by the alphabet, which says nothing.
    """
    own = _scores(case)
    known = set(own)
    for other in others:
        if other.model_id == case.model_id:
            known |= _scores(other).keys()
    by_likelihood = (lambda name: (0.0, name)) if case.blind else (lambda name: (-own.get(name, 0.0), name))
    return sorted(known - good - {ANY_DEFECT}, key=by_likelihood)


def first_label(case: Case, good: frozenset[str]) -> str | None:
    """The class that stands on CONFIRM at first: what the verdict is about, and none in a blind case."""
    if case.blind:
        return None
    findings = case.verdict.findings if case.verdict else ()
    found = [finding.label for finding in findings if finding.label != ANY_DEFECT]
    return next(iter(found or defect_labels(case, (), good)), None)


def _scores(case: Case) -> dict[str, float]:
    """Probability by class, as far as the case tells."""
    if case.verdict is None:
        return {} if case.label is None else {case.label: case.score or 0.0}
    return dict(case.verdict.scores) | {finding.label: finding.score for finding in case.verdict.findings}
