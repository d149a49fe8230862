"""Everything that scores of labelled pictures say about a model: decisions, order, calibration, classes, slices. Pure.

Place in the flow: `lineside evaluate` scores a data set's split and hands the scores over; reports show what comes
out. The thresholds are the model's own. Knows no pictures, no engines and no pages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluate import Evaluation, Rate, any_defect, evaluate, every_label, is_bad, rate, rejected
from models.measures import Calibration, Figure, Ranking, auroc, calibration, confusion, ranking

if TYPE_CHECKING:
    from models.artifact import F32, Artifact, ModelClass
    from models.evaluate import Bools, Truths

MOST_SLICES = 50  # of one kind, the largest


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class: `rejected` of its parts were NG, and for `recognised` its own score was the highest.

    A part with several labels counts in each of their classes, and there the others are no rivals. `auroc` is the
    chance that a part of the class has a higher score for it than one that is not.
    """

    name: str
    role: str
    rejected: Rate
    recognised: Rate
    auroc: Figure

    def to_json(self) -> dict[str, Any]:
        rates = {"rejected": self.rejected.to_json(), "recognised": self.recognised.to_json()}
        return {"name": self.name, "role": self.role, **rates, "auroc": self.auroc.to_json()}


@dataclass(frozen=True, slots=True)
class Slice:
    """The parts with one value of something known about them, such as their line."""

    by: str
    value: str
    decided: Evaluation
    ranking: Ranking

    def to_json(self) -> dict[str, Any]:
        return {"by": self.by, "value": self.value, **self.decided.to_json(), "ranking": self.ranking.to_json()}


@dataclass(frozen=True, slots=True)
class NovelFigures:
    """What the distance to good parts tells: its order, and what the model's own threshold makes of it."""

    ranking: Ranking
    false_alarms: Rate
    found: Rate

    def to_json(self) -> dict[str, Any]:
        rates = {"false_alarms": self.false_alarms.to_json(), "found": self.found.to_json()}
        return {"ranking": self.ranking.to_json(), **rates}


@dataclass(frozen=True, slots=True)
class Examination:
    """A model over n labelled pictures. `unsure` counts those that a person would be asked about.

    `confusion` is [true class][class of the highest score]; `escapes` and `overkills` are places in the set, the
    worst first: the bad part with the lowest score, the good one with the highest.
    """

    classes: tuple[ClassFigures, ...]
    decided: Evaluation
    unsure: Rate
    ranking: Ranking
    calibration: Calibration
    confusion: tuple[tuple[int, ...], ...]
    slices: tuple[Slice, ...]
    escapes: tuple[int, ...]
    overkills: tuple[int, ...]
    novelty: NovelFigures | None = None

    @property
    def total(self) -> int:
        return self.decided.accuracy.total

    def to_json(self) -> dict[str, Any]:
        """All but the places of the errors, which mean nothing without the pictures."""
        return {
            "pictures": self.total,
            "decided": self.decided.to_json(),
            "unsure": self.unsure.to_json(),
            "ranking": self.ranking.to_json(),
            "calibration": self.calibration.to_json(),
            "classes": [item.to_json() for item in self.classes],
            "confusion": {"classes": [item.name for item in self.classes], "counts": self.confusion},
            "slices": [item.to_json() for item in self.slices],
            "novelty": self.novelty.to_json() if self.novelty else None,
        }


@dataclass(frozen=True, slots=True)
class Rule:
    """How a model's scores become decisions."""

    classes: Sequence[ModelClass]
    any_defect_threshold: float | None
    unsure_band: float


def rule_of(artifact: Artifact) -> Rule:
    """How an artifact's own thresholds decide."""
    return Rule(artifact.classes, artifact.any_defect_threshold, artifact.unsure_band)


def examine(scores: F32, labels: Truths, rule: Rule, known: Mapping[str, Sequence[str]] | None = None) -> Examination:
    """Of probabilities [n, classes] and what n pictures are; `known` gives a value a picture by what it is about."""
    classes, limit = rule.classes, rule.any_defect_threshold
    bad, together, counts = is_bad(labels, classes), any_defect(scores, classes), confusion(scores, labels).tolist()
    ng = rejected(scores, classes, limit)
    escapes, overkills = np.flatnonzero(bad & ~ng), np.flatnonzero(~bad & ng)
    return Examination(
        classes=tuple(
            _of_class(item, scores[:, index], every_label(labels, len(classes))[:, index], ng, counts[index][index])
            for index, item in enumerate(classes)
        ),
        decided=evaluate(scores, labels, classes, limit),
        unsure=rate(int((outcomes(scores, rule) == "UNSURE").sum()), len(labels)),
        ranking=ranking(together, bad),
        calibration=calibration(scores, labels),
        confusion=tuple(map(tuple, counts)),
        slices=tuple(s for by, values in (known or {}).items() for s in _slices(by, values, scores, labels, rule)),
        escapes=tuple(escapes[np.argsort(together[escapes], kind="stable")].tolist()),
        overkills=tuple(overkills[np.argsort(-together[overkills], kind="stable")].tolist()),
    )


def novel_figures(novelty: F32, labels: Truths, rule: Rule, threshold: float) -> NovelFigures:
    """Of the novelty [n] of n pictures, what they are, and the threshold that the model states."""
    bad, novel = is_bad(labels, rule.classes), novelty > threshold
    return NovelFigures(
        ranking=ranking(novelty, bad),
        false_alarms=rate(int((novel & ~bad).sum()), int((~bad).sum())),
        found=rate(int((novel & bad).sum()), int(bad.sum())),
    )


def outcomes(scores: F32, rule: Rule) -> np.ndarray[Any, np.dtype[np.str_]]:
    """OK, UNSURE or NG for probabilities [n, classes]; shape [n]."""
    ng = rejected(scores, rule.classes, rule.any_defect_threshold)
    return np.where(ng, "NG", np.where(_nearly(scores, rule), "UNSURE", "OK"))


def _nearly(scores: F32, rule: Rule) -> Bools:
    """Whether a part comes within the unsure band of any threshold, as `inspection.decide.judge` has it."""
    limits = np.array([np.inf if c.threshold is None else c.threshold for c in rule.classes]) - rule.unsure_band
    limit = np.float64(np.inf if rule.any_defect_threshold is None else rule.any_defect_threshold - rule.unsure_band)
    return np.asarray((scores >= limits).any(axis=1) | (any_defect(scores, rule.classes) >= limit), np.bool_)


def _of_class(item: ModelClass, scores: F32, its: Bools, ng: Bools, recognised: int) -> ClassFigures:
    """`scores` of the class and `its` parts, [n]."""
    total = int(its.sum())
    return ClassFigures(
        item.name, item.role, rate(int(ng[its].sum()), total), rate(recognised, total), auroc(scores, its)
    )


def _slices(by: str, values: Sequence[str], scores: F32, labels: Truths, rule: Rule) -> list[Slice]:
    """By value, the largest first; nothing where all parts have the same."""
    if len(values) != len(labels):
        raise ValueError(f"{len(values)} values of {by} for {len(labels)} pictures")
    names, places = np.unique(np.array(values, dtype=object).astype(str), return_inverse=True)
    if len(names) < 2:
        return []
    largest = np.argsort(-np.bincount(places), kind="stable")[:MOST_SLICES]
    return [
        Slice(
            by,
            str(names[place]),
            evaluate(scores[places == place], labels[places == place], rule.classes, rule.any_defect_threshold),
            ranking(any_defect(scores[places == place], rule.classes), is_bad(labels[places == place], rule.classes)),
        )
        for place in largest.tolist()
    ]
