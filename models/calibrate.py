"""Temperature and thresholds, chosen on the validation split alone. Pure; knows no network and no pictures.

Place in the flow: training fits both after the last step; the test split only measures what came out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from models.artifact import F32, ModelClass
from models.evaluate import I64, any_defect

TEMPERATURES = np.geomspace(0.25, 8.0, 120)
THRESHOLDS = np.arange(0.05, 0.951, 0.01)


def softmax(logits: F32, temperature: float) -> F32:
    """Probabilities [n, classes]."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def fit_temperature(logits: F32, labels: I64) -> float:
    """The temperature with the least log loss (Guo et al. 2017), from a geometric grid of 120 steps."""

    def log_loss(temperature: float) -> float:
        picked = softmax(logits, temperature)[np.arange(len(labels)), labels]
        return float(-np.log(np.maximum(picked, 1e-12)).mean())

    return float(min(TEMPERATURES, key=log_loss))


def choose_threshold(scores: F32, labels: I64, classes: Sequence[ModelClass], escape_weight: float) -> float:
    """One limit for the sum of all defects: least escape_weight x escape + overkill rate; of equals, the middle one."""
    bad, together = _is_bad(labels, classes), any_defect(scores, classes)

    def cost(threshold: float) -> float:
        ng: np.ndarray[Any, np.dtype[np.bool_]] = together >= threshold
        return escape_weight * float((~ng[bad]).mean()) + float(ng[~bad].mean())

    costs = np.array([cost(threshold) for threshold in THRESHOLDS])
    best = THRESHOLDS[costs <= costs.min() + 1e-9]
    return round(float(best[len(best) // 2]), 2)


def choose_band(scores: F32, labels: I64, classes: Sequence[ModelClass], threshold: float, share: float) -> float:
    """The widest band below the threshold in which at most `share` of the good pictures lie."""
    good = any_defect(scores[~_is_bad(labels, classes)], classes)
    below = np.sort(good[good < threshold])[::-1]
    allowed = int(share * len(good))
    edge = float(below[allowed]) if allowed < len(below) else 0.0
    return round(max(0.0, threshold - edge - 1e-4), 4)


def with_threshold(classes: Sequence[ModelClass], threshold: float) -> tuple[ModelClass, ...]:
    """The classes with every defect's threshold set."""
    return tuple(replace(c, threshold=threshold) if c.role == "defect" else c for c in classes)


def _is_bad(labels: I64, classes: Sequence[ModelClass]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(np.array([c.role == "defect" for c in classes])[labels])
