"""Was this decision what its picture, model and recipe give? What was against what came. Pure.

The same bits are expected of the engine that decided, on the same kind of processor; of others, scores within the
model's tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from schemas.records import VerdictIssued
from streams.inspection.decide import Judgement, Provenance


class Answer(StrEnum):
    """What a rebuilding says."""

    SAME = "SAME"  # bit for bit
    WITHIN_TOLERANCE = "WITHIN_TOLERANCE"  # the same decision, scores within what engines may differ by
    DIFFERENT = "DIFFERENT"
    NOT_SCORED = "NOT_SCORED"  # no model made it: late, or nobody might decide
    FRAME_GONE = "FRAME_GONE"
    PICTURE_NOT_KEPT = "PICTURE_NOT_KEPT"
    PICTURE_DAMAGED = "PICTURE_DAMAGED"
    PICTURE_GONE = "PICTURE_GONE"
    MODEL_NOT_HERE = "MODEL_NOT_HERE"
    RECIPE_UNKNOWN = "RECIPE_UNKNOWN"


GOOD = (Answer.SAME, Answer.WITHIN_TOLERANCE)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """The answer, in words too; `largest` is the largest difference of a score, None where nothing was scored."""

    answer: Answer
    says: str
    was: str
    came: str | None = None
    largest: float | None = None
    tolerance: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


def judged_again(was: VerdictIssued, judgement: Judgement, provenance: Provenance, tolerance: float) -> Rebuilt:
    """Compares a verdict with its decision made again."""
    largest = _largest(was.scores, judgement.scores)
    figures: dict[str, Any] = {
        "was": was.outcome.value,
        "came": judgement.outcome.value,
        "largest": largest,
        "tolerance": tolerance,
    }
    if was.preprocess_sha256 != provenance.preprocess_sha256:
        said = f"the preprocessing has changed: {was.preprocess_sha256} then, {provenance.preprocess_sha256} now"
        return Rebuilt(Answer.DIFFERENT, said, **figures)
    decided = (was.outcome, was.reason, [f.label for f in was.findings])
    again = (judgement.outcome, judgement.reason, [f.label for f in judgement.findings])
    if decided != again or largest is None:
        return Rebuilt(Answer.DIFFERENT, f"decided was {was.outcome}, it comes out as {judgement.outcome}", **figures)
    then, now = f"{was.device} {was.precision}", f"{provenance.device} {provenance.precision}"
    if largest == 0.0:
        return Rebuilt(Answer.SAME, f"the same decision and the same scores, bit for bit ({now})", **figures)
    if largest > tolerance:
        said = f"scores differ by up to {largest:.2g}, allowed are {tolerance:.2g}"
        return Rebuilt(Answer.DIFFERENT, said, **figures)
    why = f"{then} then, {now} now" if then != now else f"{now} on another processor or of another version"
    said = f"the same decision, scores within {largest:.2g} of {tolerance:.2g} allowed, not bit for bit: {why}"
    return Rebuilt(Answer.WITHIN_TOLERANCE, said, **figures)


def rejected_again(was: VerdictIssued, judgement: Judgement) -> Rebuilt:
    """A picture that can't be inspected must be refused for the same reason, and count as the same."""
    alike = (was.reason, was.outcome) == (judgement.reason, judgement.outcome)
    said = f"rejected then for {was.reason}, now for {judgement.reason}"
    return Rebuilt(Answer.SAME if alike else Answer.DIFFERENT, said, was.outcome.value, judgement.outcome.value)


def _largest(was: Mapping[str, float], came: Mapping[str, float]) -> float | None:
    if set(was) != set(came) or not was:
        return None
    return max(abs(score - came[name]) for name, score in was.items())
