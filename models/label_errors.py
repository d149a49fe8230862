"""Pictures whose label is likely wrong, by confident learning (Northcutt et al. 2021, JAIR 70) as cleanlab does it.

Place in the flow: `lineside dataset check`. Each picture is judged by a classifier that has not seen it: a logistic
regression over what a network sees in pictures (`models.embedding`), fitted on four fifths of the parts, scores the
last fifth. All pictures of a part are in one fifth. Knows no file.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from models.errors import DatasetError

if TYPE_CHECKING:
    from models.evaluate import I64
    from models.likeness import F32

FOLDS = 5
FILTER = "confident_learning"
"""Of cleanlab's filters the one that accused fewest right labels: with 4 wrong of 360 (6 draws, classes 4 and 6 spreads
apart) it found 40 of 48 and accused 10; the default found 41 and accused 20."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A picture, by its place; `given` and `likely` index the classes. `trust`: probability of the given label."""

    place: int
    given: int
    likely: int
    trust: float


def suspects(
    features: F32, labels: I64, parts: Sequence[str], beside: Sequence[Set[int]] = (), seed: int = 0
) -> list[Suspect]:
    """The likely wrong of n labels, the least trusted first; features are [n, d], parts keep pictures together.

    `beside`: what else each picture is labelled: who finds a dent likely where a scratch and a dent are, is right.
    Raises DatasetError where a class has fewer parts than there are folds: nothing can be said of it.
    """
    _enough(labels, parts)
    from cleanlab.filter import find_label_issues  # brings pandas: only for who looks for wrong labels

    out_of_fold = probabilities(features, labels, parts, seed)
    places = find_label_issues(
        labels, out_of_fold, filter_by=FILTER, return_indices_ranked_by="self_confidence", n_jobs=1
    )
    found = [
        Suspect(int(p), int(labels[p]), int(out_of_fold[p].argmax()), float(out_of_fold[p][labels[p]])) for p in places
    ]
    return [suspect for suspect in found if not beside or suspect.likely not in beside[suspect.place]]


def probabilities(features: F32, labels: I64, parts: Sequence[str], seed: int) -> F32:
    """Out-of-fold probabilities [n, classes] of features [n, d]; classes are 0 to the largest label."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedGroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    found = np.zeros((len(labels), int(labels.max()) + 1), np.float32)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for seen, unseen in folds.split(features, labels, list(parts)):
        judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, class_weight="balanced"))
        judge.fit(features[seen], labels[seen])
        found[np.ix_(unseen, judge.classes_)] = judge.predict_proba(features[unseen])
    return found


def _enough(labels: I64, parts: Sequence[str]) -> None:
    named = np.asarray(parts, dtype=object)
    for index in range(int(labels.max()) + 1 if len(labels) else 0):
        if len(set(named[labels == index])) < FOLDS:
            raise DatasetError(f"wrong labels can't be told where a class has fewer than {FOLDS} parts")
