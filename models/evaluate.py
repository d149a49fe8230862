"""How good a model or a run is: rates with exact intervals. An undefined figure is None, never 0 or 1.

Place in the flow: training reports with it, and `lineside up` uses `rate` for a run's verdicts. Pure; knows no
pictures, no engines and no events.

An escape is a bad part passed, an overkill a good part rejected.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from models.artifact import F32, ModelClass

CONFIDENCE = 0.95

I64 = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Rate:
    """`count` of `total`, the share, and its exact 95 % interval; the last three are None of nothing."""

    count: int
    total: int
    value: float | None
    low: float | None
    high: float | None

    def to_json(self) -> dict[str, float | int | None]:
        """For reports and for an artifact's metrics."""
        return {"value": self.value, "low": self.low, "high": self.high, "count": self.count, "total": self.total}

    def __str__(self) -> str:
        if self.value is None or self.low is None or self.high is None:
            return "n/a (0 of 0)"
        return f"{self.value:.2%} ({self.count} of {self.total}; 95 % interval {self.low:.2%} to {self.high:.2%})"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures over labelled pictures; UNSURE is left out: whatever is not NG counts as passed.

    `accuracy` is of good against bad, `class_accuracy` of the class with the highest score.
    """

    accuracy: Rate
    class_accuracy: Rate
    balanced_accuracy: float | None
    escape: Rate
    overkill: Rate

    def to_json(self) -> dict[str, Any]:
        """For an artifact's metrics."""
        rates = {name: getattr(self, name).to_json() for name in ("accuracy", "class_accuracy", "escape", "overkill")}
        return {**rates, "balanced_accuracy": self.balanced_accuracy}


def rate(count: int, total: int) -> Rate:
    """A share with its exact interval (Clopper and Pearson 1934, Biometrika 26), which covers at least 95 %."""
    if not 0 <= count <= total:
        raise ValueError(f"expected 0 <= count <= total; came {count} of {total}")
    if total == 0:
        return Rate(0, 0, None, None, None)
    from scipy.special import betaincinv  # a moment of start-up that whoever asks for no rate need not pay

    tail = (1 - CONFIDENCE) / 2
    low = 0.0 if count == 0 else float(betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(betaincinv(count + 1, total - count, 1 - tail))
    return Rate(count, total, count / total, low, high)


def any_defect(scores: F32, classes: Sequence[ModelClass]) -> F32:
    """The probability that something is wrong, [n], as `views.any_wrong` has it for one picture.

    A bad part whose kind is unclear is bad all the same.
    """
    defects = np.array([c.role == "defect" for c in classes])
    left_by_good = 1 - scores[:, ~defects].sum(axis=1)
    return np.asarray(np.minimum(scores[:, defects].sum(axis=1), left_by_good).clip(min=0), np.float32)


def rejected(
    scores: F32, classes: Sequence[ModelClass], any_defect_threshold: float | None = None
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """NG or not for probabilities [n, classes]: a defect, or all of them together, reaches its threshold. Shape [n]."""
    thresholds = np.array([math.inf if c.threshold is None else c.threshold for c in classes])
    limit = np.float64(math.inf if any_defect_threshold is None else any_defect_threshold)  # as inspection compares
    together = any_defect(scores, classes) >= limit
    return np.asarray((scores >= thresholds).any(axis=1) | together)


def evaluate(
    scores: F32, labels: I64, classes: Sequence[ModelClass], any_defect_threshold: float | None = None
) -> Evaluation:
    """Probabilities [n, classes] against true classes [n], by the classes' own thresholds."""
    if scores.shape != (len(labels), len(classes)):
        raise ValueError(f"scores must be [{len(labels)}, {len(classes)}], came {list(scores.shape)}")
    bad = np.array([c.role == "defect" for c in classes])[labels]
    ng = rejected(scores, classes, any_defect_threshold)
    escape, overkill = rate(int((bad & ~ng).sum()), int(bad.sum())), rate(int((~bad & ng).sum()), int((~bad).sum()))
    defined = escape.value is not None and overkill.value is not None
    return Evaluation(
        accuracy=rate(int((bad == ng).sum()), len(labels)),
        class_accuracy=rate(int((scores.argmax(axis=1) == labels).sum()), len(labels)) if len(labels) else rate(0, 0),
        balanced_accuracy=1 - ((escape.value or 0.0) + (overkill.value or 0.0)) / 2 if defined else None,
        escape=escape,
        overkill=overkill,
    )
