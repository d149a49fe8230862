"""Two models on the same held-out pictures, though one of them may never have heard of a class. Pure.

Place in the flow: `lineside retrain`, between calibration and report. The model in force decides by its recipe's
limits, the new one by its own. A class that a model doesn't know has no score from it: a part of that class is rejected
where any other limit is reached, as on the line. Knows no engine, no file and no topic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.artifact import F32, Artifact, ModelClass
from models.evaluate import Bools, Rate, every_label, rate, rejected
from models.examination import Rule, outcomes
from models.paired import Judged, Paired, paired
from streams.inspection.decide import ANY_DEFECT

SHOWN = 24  # parts that the two judge otherwise, with their pictures


@dataclass(frozen=True, slots=True)
class Kind:
    """The parts of one label: how many pass (a bad one) or are rejected (a good one) with each model."""

    label: str
    bad: bool
    base: Rate
    new: Rate
    is_new: bool  # the model in force has no class for it

    def to_json(self) -> dict[str, Any]:
        sides = {"base": self.base.to_json(), "new": self.new.to_json()}
        return {"label": self.label, "bad": self.bad, "is_new": self.is_new, **sides}


@dataclass(frozen=True, slots=True)
class Changed:
    """A picture of the test split that the two judge otherwise, by its place there."""

    place: int
    label: str
    base: str
    new: str

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The comparison on the test split; in `pairs` the first is the model in force."""

    pairs: Paired
    kinds: tuple[Kind, ...]
    unsure: tuple[Rate, Rate]
    changed: tuple[Changed, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **self.pairs.to_json(),
            "kinds": [kind.to_json() for kind in self.kinds],
            "unsure": [side.to_json() for side in self.unsure],
            "changed": [one.to_json() for one in self.changed],
        }


def rule_in_force(artifact: Artifact, thresholds: Mapping[str, float], unsure_band: float) -> Rule:
    """How a recipe makes decisions of a model's scores."""
    classes = [ModelClass(c.name, c.role, thresholds.get(c.name)) for c in artifact.classes]
    return Rule(classes, thresholds.get(ANY_DEFECT), unsure_band)


def widened(scores: F32, rule: Rule, names: Sequence[str]) -> tuple[F32, Rule]:
    """Probabilities [n, the rule's classes] and the rule over the classes `names`, in that order."""
    own = {item.name: place for place, item in enumerate(rule.classes)}
    wide = np.zeros((len(scores), len(names)), np.float32)
    for place, name in enumerate(names):
        if name in own:
            wide[:, place] = scores[:, own[name]]
    classes = [rule.classes[own[name]] if name in own else ModelClass(name, "defect", None) for name in names]
    return wide, Rule(classes, rule.any_defect_threshold, rule.unsure_band)


def held_out(base: Judged, new: Judged, known: Sequence[str]) -> HeldOut:
    """Both judged over the same classes; `known` are those of the model in force."""
    every = every_label(new.labels, len(new.rule.classes))
    ng = [rejected(side.scores, side.rule.classes, side.rule.any_defect_threshold) for side in (base, new)]
    said = [outcomes(side.scores, side.rule) for side in (base, new)]
    bad = np.asarray([item.role == "defect" for item in new.rule.classes])
    kinds = []
    for place, item in enumerate(new.rule.classes):
        base_wrong, new_wrong = (_wrong(its, every[:, place], bool(bad[place])) for its in ng)
        kinds.append(Kind(item.name, bool(bad[place]), base_wrong, new_wrong, item.name not in known))
    labels = [new.rule.classes[int(row.argmax())].name for row in every]
    places = np.flatnonzero(ng[0] != ng[1])
    return HeldOut(
        pairs=paired(base, new),
        kinds=tuple(kind for kind in kinds if kind.new.total),
        unsure=(_unsure(said[0]), _unsure(said[1])),
        changed=tuple(Changed(int(p), labels[p], str(said[0][p]), str(said[1][p])) for p in places[:SHOWN]),
    )


def _wrong(ng: Bools, its: Bools, bad: bool) -> Rate:
    return rate(int((its & (~ng if bad else ng)).sum()), int(its.sum()))


def _unsure(said: np.ndarray[Any, np.dtype[np.str_]]) -> Rate:
    return rate(int((said == "UNSURE").sum()), len(said))
