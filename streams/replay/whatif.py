"""What other thresholds would have done, from one run's scores and novelty. Pure; judges as `decide.judge` does.

How novel a picture must be to be UNSURE stands in the model alone; a run tells it by the least novel picture that was
UNSURE for that. One that was rejected and lies nearer to the limit than that counts as known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from schemas.records import Outcome
from streams.errors import CallerError
from streams.inspection.decide import ANY_DEFECT
from streams.replay.decided import Decision, Key
from streams.replay.truth import Rates, Truths, rates

STEPS = 100  # of a curve, from 0 to 1
F64 = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True)
class Limits:
    """Thresholds by defect class, `*` for the sum of all, and the unsure band below each."""

    thresholds: Mapping[str, float]
    unsure_band: float


@dataclass(frozen=True, slots=True)
class Scored:
    """A run's frames that have scores: `scores` [n, columns], a column for each limit of `names`; `novel` [n]."""

    names: tuple[str, ...]
    decisions: tuple[Decision, ...]
    scores: F64
    novel: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Point:
    """One setting, how many frames it passes, leaves unsure and rejects, and its rates."""

    limits: Limits
    threshold: float
    passed: int
    unsure: int
    rejected: int
    rates: Rates


def scored(decisions: Mapping[Key, Decision], limits: Limits) -> Scored:
    """The frames with finite scores for every limit. CallerError where a limit is of no class that was scored."""
    with_scores = [d for d in decisions.values() if d.scores and all(map(math.isfinite, d.scores.values()))]
    if not with_scores:
        raise CallerError("the run has no scores to judge by: every frame was left out or could not be read")
    known = set(with_scores[0].scores)
    if unknown := sorted(set(limits.thresholds) - known - {ANY_DEFECT}):
        raise CallerError(f"no class {unknown[0]!r} was scored; classes are {', '.join(sorted(known))}, and * for all")
    names = tuple(sorted(limits.thresholds))
    rows = [[d.score if name == ANY_DEFECT else d.scores[name] for name in names] for d in with_scores]
    limits_of = _novel_from(with_scores)
    novel = tuple(d.novelty is not None and d.novelty >= limits_of.get(d.model, math.inf) for d in with_scores)
    return Scored(names, tuple(with_scores), np.array(rows, np.float64).reshape(len(rows), len(names)), novel)


def _novel_from(decisions: Sequence[Decision]) -> dict[str | None, float]:
    """By model, the least novelty of a picture that was UNSURE for it."""
    found: dict[str | None, float] = {}
    for decision in decisions:
        if decision.was_novel and decision.novelty is not None:
            found[decision.model] = min(decision.novelty, found.get(decision.model, math.inf))
    return found


def outcomes(frames: Scored, limits: Limits) -> list[Outcome]:
    """What these limits decide, as `judge`: NG at a threshold, UNSURE within the band below one or novel, else OK."""
    thresholds = np.array([limits.thresholds[name] for name in frames.names])
    rejected = _any_row(frames.scores >= thresholds)
    near = _any_row(frames.scores >= thresholds - limits.unsure_band)
    return [
        Outcome.NG if ng else Outcome.UNSURE if close or novel else Outcome.OK
        for ng, close, novel in zip(rejected, near, frames.novel, strict=True)
    ]


def _any_row(hits: Any) -> list[bool]:
    """Whether any of a row is true, bool [n, limits] to n."""
    return [bool(hit) for hit in np.any(hits, axis=1)]


def point(frames: Scored, limits: Limits, threshold: float, truths: Truths) -> Point:
    """The figures of one setting."""
    decided = outcomes(frames, limits)
    judged = {d.key: replace(d, outcome=o) for d, o in zip(frames.decisions, decided, strict=True)}
    passed, unsure, rejected = (decided.count(outcome) for outcome in (Outcome.OK, Outcome.UNSURE, Outcome.NG))
    return Point(limits, threshold, passed, unsure, rejected, rates(judged, truths))


def curve(
    frames: Scored, limits: Limits, name: str, truths: Truths, thresholds: Sequence[float] | None = None
) -> list[Point]:
    """The figures as one class's threshold goes through a grid, the others as they are."""
    grid = thresholds or [step / STEPS for step in range(1, STEPS + 1)]
    points = []
    for threshold in grid:
        changed = replace(limits, thresholds={**limits.thresholds, name: threshold})
        points.append(point(frames, changed, threshold, truths))
    return points


def recommended(points: Sequence[Point], max_escape: float | None, max_overkill: float | None) -> Point | None:
    """The highest threshold within an escape rate, or the lowest within an overkill rate; None where none is."""
    if max_escape is not None:
        fitting = [p for p in points if (e := p.rates.escape.estimate.value) is not None and e <= max_escape]
        return max(fitting, key=lambda p: p.threshold, default=None)
    if max_overkill is not None:
        fitting = [p for p in points if (o := p.rates.overkill.estimate.value) is not None and o <= max_overkill]
        return min(fitting, key=lambda p: p.threshold, default=None)
    return None


def recipe_line(info: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    """What a recipe is made from, and what `lineside replay --recipe FILE` takes."""
    selection = info.get("selection") or {}
    return {
        "plant": selection.get("plant") or "*",
        "line": selection.get("line") or "*",
        "sku": selection.get("sku") or "*",
        "model_id": info["model_id"],
        "thresholds": dict(limits.thresholds),
        "unsure_band": limits.unsure_band,
    }
