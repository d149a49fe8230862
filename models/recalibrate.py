"""Another temperature and other thresholds for a model that is trained already: the same weights, a new artifact.

Place in the flow: `lineside calibrate`, on pictures that the model was not trained on. Pure: scores come from the
engine that would serve. Knows no file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from models.artifact import F32, Artifact, Golden
from models.artifact_checks import MAX_TOLERANCE
from models.calibrate import (
    F64,
    ThresholdRule,
    band_for,
    fit_temperature,
    fit_temperature_of_each,
    natural_weights,
    probabilities,
    softmax,
    threshold_by,
    with_threshold,
)
from models.engines.network import frozen_classifier
from models.errors import DatasetError
from models.evaluate import Rate, Truths, any_defect, evaluate, every_label, is_bad, rate
from models.golden import scores_of
from models.measures import Calibration, calibration
from models.reference import Reference, reference_of
from schemas.records import Precision

_LEAST = 1e-12  # of a probability whose logarithm is taken
_ROUNDED = 2.0**-25  # what is left to 1 at most where float32 says 1
_ROUGH = 0.01  # what is left to 1 below which float32 knows it to less than five digits
_STALE = ("test", "validation", "calibrated_from")  # figures at the thresholds before


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to calibrate. `prevalence`: the line's share of bad parts; `reviewed`: the share of parts that people can
    look at, rejected and unsure ones together.
    """

    rule: ThresholdRule
    prevalence: float
    reviewed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """A calibrated model, and what it comes to on the pictures that it was calibrated on.

    `rejected` and `asked` are shares of all parts at the natural prevalence.
    """

    artifact: Artifact
    threshold: float
    escape: Rate
    overkill: Rate
    rejected: float
    asked: float
    before: Calibration
    after: Calibration
    too_many: bool  # rejects alone are more than people can look at

    def to_json(self) -> dict[str, Any]:
        return {
            "model_id": self.artifact.model_id,
            "threshold": self.threshold,
            "unsure_band": self.artifact.unsure_band,
            "temperature": self.artifact.temperature,
            "escape": self.escape.to_json(),
            "overkill": self.overkill.to_json(),
            "rejected": self.rejected,
            "asked": self.asked,
            "more_rejects_than_reviews": self.too_many,
            "ece_before": self.before.ece.to_json(),
            "ece_after": self.after.ece.to_json(),
        }


def recalibrate(artifact: Artifact, scores: F32, labels: Truths, plan: Plan, at: datetime) -> Calibrated:
    """By probabilities [n, classes] of n pictures, and what they are.

    A model that looks at several views of a picture keeps its temperature: what a label says of a picture it does not
    say of each view.
    DatasetError unless there are good and bad ones: nothing can be calibrated on good parts alone.
    """
    bad = is_bad(labels, artifact.classes)
    if not 0 < bad.sum() < len(bad):
        came = "no picture" if not len(bad) else "bad parts alone" if bad.all() else "good parts alone"
        raise DatasetError(
            f"a threshold can't be chosen on {came}: it takes good and bad parts that the model has not seen; "
            "label defects, or begin with a model of good parts"
        )
    weights = natural_weights(bad, plan.prevalence)
    temperature = artifact.temperature
    if artifact.preprocessing.is_whole:
        temperature = _temperature(artifact, scores, labels, weights)
    new = _stretched(artifact, scores, temperature)
    together = any_defect(new, artifact.classes).astype(np.float64)
    threshold = threshold_by(plan.rule, together, bad)
    ng = together >= threshold
    rejected = float(weights[ng].sum())
    band = band_for(together, weights, threshold, max(0.0, plan.reviewed - rejected))
    return Calibrated(
        artifact=_with(artifact, temperature, threshold, band, at, _reference(artifact, together[~bad])),
        threshold=threshold,
        escape=rate(int((bad & ~ng).sum()), int(bad.sum())),
        overkill=rate(int((~bad & ng).sum()), int((~bad).sum())),
        rejected=rejected,
        asked=float(weights[~ng & (together >= threshold - band)].sum()),
        before=calibration(scores, labels),
        after=calibration(new, labels),
        too_many=rejected > plan.reviewed,
    )


def _temperature(artifact: Artifact, scores: F32, labels: Truths, weights: F32) -> float:
    logits = _logits(artifact, scores)
    if artifact.head == "sigmoid":
        every = every_label(labels, len(artifact.classes))
        return fit_temperature_of_each(logits, every.astype(np.float32), weights)
    return fit_temperature(logits, labels, weights)  # type: ignore[arg-type]


def _reference(artifact: Artifact, good_scores: F64) -> Reference | None:
    """How good parts score now; their novelty is what it was."""
    novelty = artifact.reference.novelty if artifact.reference else ()
    found = reference_of(good_scores)
    return found and replace(found, novelty=novelty)


def measured(found: Calibrated, before: Artifact, scores: F32, labels: Truths) -> Artifact:
    """The calibrated artifact with its figures on pictures that chose nothing, by the old one's scores [n, classes]."""
    new = _stretched(before, scores, found.artifact.temperature)
    figures = evaluate(new, labels, found.artifact.classes, found.threshold).to_json()
    return replace(found.artifact, metrics={**found.artifact.metrics, "test": figures})


def _stretched(artifact: Artifact, scores: F32, temperature: float) -> F32:
    """What the artifact's probabilities are at another temperature; at its own, the very same."""
    if temperature == artifact.temperature:
        return scores
    return probabilities(_logits(artifact, scores), temperature, artifact.head)


def _logits(artifact: Artifact, scores: F32) -> F32:
    """What the head makes these probabilities of, [n, classes]; a softmax but for a constant each."""
    if artifact.head == "softmax":
        return np.asarray(artifact.temperature * np.log(np.maximum(scores, _LEAST)), np.float32)
    present = np.maximum(scores.astype(np.float64), _LEAST)
    return np.asarray(artifact.temperature * np.log(present / np.maximum(_absent(scores), _LEAST)), np.float32)


def _absent(scores: F32) -> Any:
    """1 - a sigmoid's probabilities, float64 [n, classes]; of each row's highest from the good class's, which tells it
    exactly where the probability is rounded to 1.
    """
    absent = np.maximum(1 - scores.astype(np.float64), _ROUNDED)
    rows, highest = np.arange(len(scores)), 1 + scores[:, 1:].argmax(axis=1)
    others = np.delete(absent, 0, axis=1)
    others[rows, highest - 1] = 1
    told = scores[:, 0] / others.prod(axis=1)
    absent[rows, highest] = np.where(absent[rows, highest] < _ROUGH, told, absent[rows, highest])
    return absent


def _golden(artifact: Artifact, temperature: float) -> F32:
    """The golden scores at another temperature; a sigmoid's by the network, for scores of several defects that are all
    rounded to 1 don't tell their logits.
    """
    if artifact.head == "softmax":
        return softmax(_logits(artifact, artifact.golden.scores), temperature)
    classifier = frozen_classifier(artifact)
    classifier.temperature = temperature
    return scores_of(classifier, artifact.golden.pictures)


def _with(
    artifact: Artifact, temperature: float, threshold: float, band: float, at: datetime, reference: Reference | None
) -> Artifact:
    """The artifact anew. A lower temperature stretches differences between engines as it does scores."""
    stretch = max(1.0, artifact.temperature / temperature)
    limits = {name: round(stretch * limit, 4) for name, limit in artifact.tolerance.items()}
    limits = {n: limit for n, limit in limits.items() if limit <= MAX_TOLERANCE or n is Precision.FP32}
    return replace(
        artifact,
        classes=with_threshold(artifact.classes, threshold),
        any_defect_threshold=threshold,
        unsure_band=band,
        temperature=temperature,
        tolerance=limits,
        int8=artifact.int8 if Precision.INT8 in limits else None,
        golden=Golden(artifact.golden.pictures, _golden(artifact, temperature), artifact.golden.novelty),
        created_at=at,
        reference=reference,
        metrics={"calibrated_from": artifact.sha256} | {n: v for n, v in artifact.metrics.items() if n not in _STALE},
        sha256="",
    )
