"""Two models on the same labelled pictures: which bad parts one alone passes, which good ones it alone rejects. Pure.

Place in the flow: `lineside models compare`, before a model takes another's place. Rates of the two overlap where the
parts are few; that they judged the same parts shows more: McNemar's exact test of the parts that they judge otherwise.
Knows no engine and no file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models.artifact import F32
from models.evaluate import Evaluation, Truths, any_defect, evaluate, is_bad
from models.examination import Rule, outcomes
from models.measures import Ranking, mcnemar, ranking


@dataclass(frozen=True, slots=True)
class Split:
    """Parts on which the two differ: how many one alone judges wrongly, and the two-sided p of so uneven a split."""

    only_a: int
    only_b: int
    p: float | None

    def to_json(self) -> dict[str, float | int | None]:
        return {"only_a": self.only_a, "only_b": self.only_b, "p": self.p}


@dataclass(frozen=True, slots=True)
class Paired:
    """Models a and b over n pictures; `escapes` are bad parts that one alone passes, `overkills` good ones rejected."""

    a: Evaluation
    b: Evaluation
    ranking_a: Ranking
    ranking_b: Ranking
    escapes: Split
    overkills: Split

    def to_json(self) -> dict[str, Any]:
        return {
            "a": self.a.to_json() | {"ranking": self.ranking_a.to_json()},
            "b": self.b.to_json() | {"ranking": self.ranking_b.to_json()},
            "escapes": self.escapes.to_json(),
            "overkills": self.overkills.to_json(),
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """What one model says of n pictures: probabilities [n, classes], what they are in its own classes, its rule."""

    scores: F32
    labels: Truths
    rule: Rule


def paired(a: Judged, b: Judged) -> Paired:
    """The two may order their classes differently; n and the pictures are the same.

    ValueError where n differs, or where a picture's label is a defect for one and good for the other.
    """
    if len(a.labels) != len(b.labels):
        raise ValueError(f"{len(a.labels)} pictures against {len(b.labels)}")
    bad, bad_b = (is_bad(one.labels, one.rule.classes) for one in (a, b))
    if (bad != bad_b).any():
        raise ValueError("a label is a defect for one model and good for the other")
    ng_a, ng_b = (outcomes(one.scores, one.rule) == "NG" for one in (a, b))
    return Paired(
        a=evaluate(a.scores, a.labels, a.rule.classes, a.rule.any_defect_threshold),
        b=evaluate(b.scores, b.labels, b.rule.classes, b.rule.any_defect_threshold),
        ranking_a=ranking(any_defect(a.scores, a.rule.classes), bad),
        ranking_b=ranking(any_defect(b.scores, b.rule.classes), bad),
        escapes=_split(bad & ~ng_a, bad & ~ng_b),
        overkills=_split(~bad & ng_a, ~bad & ng_b),
    )


def _split(wrong_a: Any, wrong_b: Any) -> Split:
    only_a, only_b = int((wrong_a & ~wrong_b).sum()), int((wrong_b & ~wrong_a).sum())
    return Split(only_a, only_b, mcnemar(only_a, only_b))
