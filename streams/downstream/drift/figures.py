"""What is watched of a frame: eight figures, how much each must move to matter, and what a shift may mean. Pure.

Place in the flow: from a verdict to numbers, and from a shift to a sentence. Figures come with events: what is no
finite number is not known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from models.reference import Told
from models.views import any_wrong
from schemas.records import AlarmKind, Outcome, Recipe, VerdictIssued
from streams.downstream.drift.comparison import Shift, Usual
from streams.downstream.sampling.strategies import GOOD
from streams.inspection.decide import ANY_DEFECT

PICTURE = ("brightness", "contrast", "sharpness", "clipped", "edge_x", "edge_y")
SCORE, NOVELTY = "score", "novelty"
OF_MODEL = (SCORE, NOVELTY)
NAMES = (*PICTURE, *OF_MODEL)
UNKNOWN = math.nan


@dataclass(frozen=True, slots=True)
class Meaning:
    """`least`: how far quantiles must move to matter, in the figure's unit or as a `share` of what is usual.

    `less`, `more`: what a shift down and up may come from.
    """

    least: float
    share: float
    less: str
    more: str


MEANINGS: Mapping[str, Meaning] = {
    "brightness": Meaning(0.02, 0.0, "is the light weaker?", "is the light stronger?"),
    "contrast": Meaning(0.0, 0.05, "haze, dirt or weak light?", "other light or other parts?"),
    "sharpness": Meaning(0.0, 0.1, "out of focus?", "noise, or a sharper focus?"),
    "clipped": Meaning(0.01, 0.0, "other light or exposure?", "under- or overexposed?"),
    "edge_x": Meaning(0.004, 0.0, "has the camera or the part moved?", "has the camera or the part moved?"),
    "edge_y": Meaning(0.004, 0.0, "has the camera or the part moved?", "has the camera or the part moved?"),
    SCORE: Meaning(0.02, 0.0, "does the model see less than it did?", "do good parts look worse to the model?"),
    NOVELTY: Meaning(0.0, 0.05, "does the model see less than it did?", "do parts look otherwise than good ones did?"),
}


def kind_of(name: str) -> AlarmKind:
    return AlarmKind.SCORE_DRIFT if name in OF_MODEL else AlarmKind.PICTURE_DRIFT


def figures_of(verdict: VerdictIssued, defects: frozenset[str] | None) -> tuple[float, ...]:
    """In the order of NAMES; UNKNOWN for what isn't known. `defects`: the model's classes that are defects.

    What a model says counts where it passed the frame: rejects are watched by their rate.
    """
    picture = [_finite(getattr(verdict.picture, name, None)) for name in PICTURE]
    return (*picture, _score(verdict, defects), _finite(verdict.novelty) if verdict.outcome is Outcome.OK else UNKNOWN)


def limits_of(verdict: VerdictIssued, told: Told | None, recipe: Recipe | None) -> tuple[float, frozenset[str] | None]:
    """The score of all defects together below which its frame is surely OK, and the model's classes that are defects.

    By the recipe that was in force, else by what the model's manifest tells; None where neither is known here, as of a
    worker's default recipe.
    """
    if recipe is not None and recipe.version == verdict.recipe_version and recipe.thresholds:
        defects = frozenset(recipe.thresholds) - {ANY_DEFECT}
        return min(recipe.thresholds.values()) - recipe.unsure_band, told.defects if told else defects
    if told is not None:
        return told.limit, told.defects
    return math.inf, frozenset(verdict.scores) - {GOOD} if GOOD in verdict.scores else None


def _score(verdict: VerdictIssued, defects: frozenset[str] | None) -> float:
    if verdict.outcome is not Outcome.OK or defects is None or not defects <= verdict.scores.keys():
        return UNKNOWN
    wrong = [verdict.scores[name] for name in defects]
    right = [score for name, score in verdict.scores.items() if name not in defects and name != ANY_DEFECT]
    return _finite(any_wrong(wrong, right))


def _finite(value: float | None) -> float:
    """With the digits that a reference has, so that equal ones are equal there too."""
    return float(f"{value:.6g}") if value is not None and math.isfinite(value) else UNKNOWN


def matters(name: str, shift: Shift, usual: Usual) -> bool:
    """Whether a figure has moved by more than next to nothing."""
    meaning = MEANINGS[name]
    return shift.moved(usual) >= max(meaning.least, meaning.share * abs(usual.at(0.5)))


def told(name: str, shift: Shift, usual: Usual) -> str:
    """A shift in words, such as `sharpness 0.0021, usual 0.0061 to 0.0075: out of focus?`."""
    meaning, (low, high) = MEANINGS[name], (usual.at(0.1), usual.at(0.9))
    why = meaning.less if shift.middle < usual.at(0.5) else meaning.more
    return f"{name.replace('_', ' ')} {shift.middle:.3g}, usual {low:.3g} to {high:.3g}{_where(shift, usual)}: {why}"


def _where(shift: Shift, usual: Usual) -> str:
    """Where the middle of the window lies within what is usual, as far as it does."""
    if not usual.at(0.1) <= shift.middle <= usual.at(0.9):
        return ""
    if usual.at(0.35) <= shift.middle <= usual.at(0.65):
        return ", but spread otherwise"
    return ", mostly at its lower end" if shift.middle < usual.at(0.5) else ", mostly at its upper end"
