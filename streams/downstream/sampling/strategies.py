"""What each strategy looks for, and its sentence for people. Pure.

The strategies are those of active learning by uncertainty (Settles 2009), of learning from corrections, and a random
audit of what passed. Labels come with events and from people: they are text, cut short in sentences.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.records import (
    Finding,
    Outcome,
    Reason,
    ReworkFinding,
    ReworkOutcome,
    SampleSelected,
    Strategy,
    VerdictIssued,
)
from streams.downstream.sampling.estimates import is_bad
from streams.inspection.decide import ANY_DEFECT, LIVE, is_collected

UNCERTAIN_BAND = 0.1  # a score this little above its limit is near it
GOOD = "good"  # what a part is called where nothing is wrong, as training has it
RARE_COUNT = 20  # sightings since the start of yesterday
RARE_SHARE = 0.05  # of a line's defects since the start of yesterday
SHOWN_CHARS = 64


def is_judged(verdict: VerdictIssued) -> bool:
    """Whether a model decided by scores on a real line: neither a replay, nor late, unreadable or unqualified."""
    return _is_live(verdict) and verdict.reason is Reason.SCORE


def is_only_scored(verdict: VerdictIssued) -> bool:
    """Whether a model scored on a real line for a recipe that only collects: nothing passed, nothing was rejected."""
    return _is_live(verdict) and is_collected(verdict) and bool(verdict.scores)


def _is_live(verdict: VerdictIssued) -> bool:
    return not verdict.simulated and verdict.run == LIVE


def is_pass(verdict: VerdictIssued) -> bool:
    return is_judged(verdict) and verdict.outcome is Outcome.OK


def surest(verdict: VerdictIssued) -> Finding | None:
    """The finding with the highest score, one that names a class before the one about all defects together."""
    return max(verdict.findings, key=lambda finding: (finding.label != ANY_DEFECT, finding.score), default=None)


def prediction(verdict: VerdictIssued) -> tuple[str | None, float | None]:
    """The label a model gave, and its score: of the surest finding, else the class with the highest probability."""
    if finding := surest(verdict):
        return finding.label, finding.score
    if not verdict.scores:
        return None, None
    label = min(verdict.scores, key=lambda name: (-verdict.scores[name], name))
    return label, verdict.scores[label]


def uncertainty(verdict: VerdictIssued) -> tuple[float, str] | None:
    """How far a verdict lies from its limit (0 within the recipe's unsure band) and why; None for a clear one.

    What was only collected has no limit: the lead of its likeliest class stands for it, and none is too clear.
    """
    label, score = prediction(verdict)
    if is_collected(verdict):
        return _margin(verdict)
    if verdict.outcome is Outcome.UNSURE and verdict.detail:  # it was no score that made it so
        return 0.0, f"The model was unsure: {shown(verdict.detail)}."
    if verdict.outcome is Outcome.UNSURE:
        return 0.0, f"The model was unsure: {shown(label)} has {score or 0:.2f}, within the band below a limit."
    if (finding := surest(verdict)) is None:
        return None
    above = finding.score - finding.threshold
    if above > UNCERTAIN_BAND:
        return None
    near = f"its score {finding.score:.2f} is {above:.2f} above the limit {finding.threshold:.2f}"
    return above, f"The model rejected it as {shown(finding.label)} by a hair: {near}."


def _margin(verdict: VerdictIssued) -> tuple[float, str]:
    """The lead of the likeliest class over the next (margin sampling; Scheffer, Decomain and Wrobel 2001)."""
    label, score = prediction(verdict)
    first, second = (*sorted(verdict.scores.values(), reverse=True), 0.0)[:2]
    lead = f"the model says {shown(label)} with {score or 0:.2f}, {first - second:.2f} ahead of all else"
    return first - second, f"The recipe only collects; {lead}."


@dataclass(frozen=True, slots=True)
class Decision:
    """The part of a person's effective decision that the sampler remembers."""

    outcome_id: str
    bad: bool | None
    label: str | None


@dataclass(frozen=True, slots=True)
class Wish:
    """A decided verdict that a strategy wants; `at` is the append time of the decision that made it so."""

    outcome: ReworkOutcome
    at: datetime
    strategy: Strategy
    why: str
    human_label: str | None


def asks_for_look(sample: SampleSelected) -> bool:
    """Whether people shall look at a sampled picture though no defect event asks them: an audit of a passed frame, or
    one that was only collected."""
    return sample.strategy is Strategy.PASS_AUDIT or sample.verdict_outcome is Outcome.ERROR


def label_of(outcome: ReworkOutcome) -> str | None:
    """What a person says that the part is; None where they don't say, or call it bad without a name."""
    if outcome.finding is ReworkFinding.FALSE_REJECT:
        return GOOD
    if outcome.finding is not ReworkFinding.CONFIRMED:
        return None
    is_seen = outcome.verdict_outcome in (Outcome.NG, Outcome.UNSURE)  # of all else nobody is shown the model's label
    said = outcome.predicted_label if is_seen else None
    name = outcome.corrected_label or said
    return None if name in (GOOD, ANY_DEFECT) else name


def decision(outcome: ReworkOutcome) -> Decision:
    return Decision(str(outcome.outcome_id), is_bad(outcome), label_of(outcome))


def correction(outcome: ReworkOutcome) -> str | None:
    """Why a decision corrects the model, None where it agrees, doesn't say, or the model had decided nothing."""
    if outcome.verdict_outcome is Outcome.ERROR:
        return None
    said, found = outcome.predicted_label, label_of(outcome)
    rejected = outcome.verdict_outcome is Outcome.NG
    if outcome.finding is ReworkFinding.FALSE_REJECT and rejected:
        return f"The model rejected it as {shown(said)}; a person found the part good."
    if outcome.finding is ReworkFinding.CONFIRMED and outcome.verdict_outcome is Outcome.OK:
        return f"The model passed it; a person found {shown(found)}."
    if outcome.finding is ReworkFinding.CONFIRMED and outcome.corrected_label not in (None, said):
        return f"The model said {shown(said)}; a person changed it to {shown(found)}."
    return None


def disagreement(first: Decision, second: Decision) -> str | None:
    """Why two people disagree, None where they don't or one doesn't say."""
    if first.bad is None or second.bad is None:
        return None
    if first.bad == second.bad and (None in (first.label, second.label) or first.label == second.label):
        return None
    return f"Two people disagree: the first says {shown(first.label)}, the blind second {shown(second.label)}."


def is_rare(seen: int, of: int) -> bool:
    """Whether a class with `seen` of a line's `of` defects since the start of yesterday is rare."""
    return seen <= max(RARE_COUNT, RARE_SHARE * of)


def shown(label: str | None) -> str:
    """A label for a sentence."""
    return "an unnamed defect" if label in (None, ANY_DEFECT) else one_line(label)


def one_line(text: str) -> str:
    """Text from outside for a sentence or a terminal: short, on one line, nothing but what can be printed."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split())[:SHOWN_CHARS])
