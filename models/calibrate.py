"""Temperature and thresholds, chosen on the validation split alone. Pure; knows no network and no pictures.

Place in the flow: training fits both after the last step, `lineside calibrate` anew by a rule; the test split only
measures what came out. Labelled pictures hold far more defects than the line: where it matters, parts are weighed by
the share of bad ones that the line has (prevalence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from models.artifact import F32, ModelClass
from models.evaluate import I64, Bools
from models.heads import Head

TEMPERATURES = np.geomspace(0.25, 8.0, 120)
F64 = np.ndarray[Any, np.dtype[np.float64]]


def softmax(logits: F32, temperature: float) -> F32:
    """Probabilities [n, classes]."""
    scaled = logits.astype(np.float64) / temperature
    raised = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)


def sigmoid(logits: F32, temperature: float) -> F32:
    """Each defect's probability on its own, and before them that of no defect: [n, classes], the good class first."""
    scaled = logits[:, 1:].astype(np.float64) / temperature
    none = np.exp(-np.logaddexp(0, scaled).sum(axis=1, keepdims=True))
    return np.asarray(np.concatenate((none, np.exp(-np.logaddexp(0, -scaled))), axis=1), np.float32)


def probabilities(logits: F32, temperature: float, head: Head) -> F32:
    """What a head makes of logits, [n, classes]; `heads.probabilities` in numpy."""
    return softmax(logits, temperature) if head == "softmax" else sigmoid(logits, temperature)


def fit_temperature(logits: F32, labels: I64, weights: F32 | None = None) -> float:
    """The temperature with the least log loss (Guo et al. 2017), from a geometric grid of 120 steps.

    `weights` [n] of the pictures; None for equal ones.
    """

    def log_loss(temperature: float) -> float:
        picked = softmax(logits, temperature)[np.arange(len(labels)), labels]
        return float(np.average(-np.log(np.maximum(picked, 1e-12)), weights=weights))

    return float(min(TEMPERATURES, key=log_loss))


def fit_temperature_of_each(logits: F32, shown: F32, weights: F32 | None = None) -> float:
    """The same for a sigmoid head, by the binary log loss of each defect, the mean over all that is known.

    `shown` [n, classes]: 1 for what a picture shows, 0 for what it doesn't, NaN for what nobody knows.
    """
    truth, margins = shown[:, 1:].astype(np.float64), logits[:, 1:].astype(np.float64)
    each = np.ones(len(logits)) if weights is None else weights
    counted = np.where(np.isnan(truth), 0, each[:, None])

    def log_loss(temperature: float) -> float:
        scaled = margins / temperature
        return float(np.average(np.logaddexp(0, scaled) - np.nan_to_num(truth) * scaled, weights=counted))

    return float(min(TEMPERATURES, key=log_loss))


def natural_weights(bad: Bools, prevalence: float) -> F32:
    """What each of n pictures weighs where a share `prevalence` of parts is bad, [n]; they add up to 1.

    ValueError unless there are good and bad ones.
    """
    if not 0 < bad.sum() < len(bad):
        raise ValueError("good and bad pictures are needed")
    return np.asarray(np.where(bad, prevalence / bad.sum(), (1 - prevalence) / (~bad).sum()), np.float32)


def of_good(bad: Bools) -> F32:
    """Weights by which shares are those of the good pictures, [n]: bad ones weigh nothing."""
    return np.asarray(~bad / max(1, (~bad).sum()), np.float32)


@dataclass(frozen=True, slots=True)
class ZeroEscapeRule:
    """The highest threshold that rejects every bad part."""


@dataclass(frozen=True, slots=True)
class LeastCostRule:
    """The least cost a part; an escape and an overkill cost so much, and a share `prevalence` of parts is bad."""

    escape: float
    overkill: float
    prevalence: float


@dataclass(frozen=True, slots=True)
class OverkillRule:
    """The lowest threshold that rejects at most this share of good parts."""

    overkill: float


@dataclass(frozen=True, slots=True)
class NoMoreOverkillRule:
    """As few escapes as rejecting at most this share of good parts allows, and of equals the middle one.

    Where good and bad parts are told apart the share is not used up: a threshold that just allows it, by the few good
    parts that were at hand, rejects more on the line for nothing.
    """

    overkill: float


ThresholdRule = ZeroEscapeRule | LeastCostRule | OverkillRule | NoMoreOverkillRule


def threshold_by(rule: ThresholdRule, together: F64, bad: Bools) -> float:
    """A threshold of four digits for the sum of all defects' probabilities, from sums [n] and truths [n].

    The cheapest of equals is the middle one; what zero escape rejected stays rejected.
    """
    if isinstance(rule, ZeroEscapeRule):
        return float(_floor(together[bad]).min())
    cuts = np.arange(10_001) / 10_000
    escape = np.searchsorted(np.sort(together[bad]), cuts, "left") / bad.sum()
    overkill = 1 - np.searchsorted(np.sort(together[~bad]), cuts, "left") / (~bad).sum()
    if isinstance(rule, OverkillRule | NoMoreOverkillRule):
        is_allowed = overkill <= rule.overkill + 1e-12
        if not is_allowed.any():
            return 1.0
        best = cuts[is_allowed & (escape <= escape[is_allowed].min() + 1e-12)]
        return float(best[0] if isinstance(rule, OverkillRule) else best[len(best) // 2])
    cost = rule.prevalence * rule.escape * escape + (1 - rule.prevalence) * rule.overkill * overkill
    best = cuts[cost <= cost.min() + 1e-12]
    return float(best[len(best) // 2])


def band_for(together: F64, weights: F32, threshold: float, share: float) -> float:
    """The widest band below a threshold in which at most `share` of all parts lie, by their weights [n]."""
    if share <= 0:
        return 0.0
    below = np.flatnonzero(together < threshold)
    order = below[np.argsort(-together[below], kind="stable")]
    asked = np.cumsum(weights[order])
    fits = int((asked <= share + 1e-9).sum())
    edge = float(together[order[fits]]) if fits < len(order) else 0.0
    return max(0.0, float(_floor(np.array([threshold - edge - 1e-4]))[0]))


def _floor(values: Any) -> Any:
    """Down to four digits, and never nearer than float32's sums are exact: serving adds in another order."""
    return np.maximum(0, np.floor((np.asarray(values, np.float64) - 1e-6) * 1e4) / 1e4)


def with_threshold(classes: Sequence[ModelClass], threshold: float) -> tuple[ModelClass, ...]:
    """The classes with every defect's threshold set."""
    return tuple(replace(c, threshold=threshold) if c.role == "defect" else c for c in classes)
