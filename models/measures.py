"""How well scores tell bad parts from good ones, and whether they mean what they say. Pure.

Place in the flow: beside `evaluate.py`, which judges decisions by thresholds; here are the figures that need none, and
those that choose one. Knows no pictures and no engines. A figure that isn't defined is None with a reason, never 0.

Scores are probabilities; a part's is that of all defects together (`evaluate.any_defect`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from models.evaluate import Bools, Rate, Truths, every_label, rate

if TYPE_CHECKING:
    from models.artifact import F32
    from models.evaluate import I64

BINS = 15  # of the reliability plot, as Guo et al. 2017 have them
ONE_KIND = "good and bad parts are needed, all that came are {}"


@dataclass(frozen=True, slots=True)
class Figure:
    """A number, or why there is none."""

    value: float | None
    why: str = ""

    def to_json(self) -> dict[str, float | str | None]:
        return {"value": self.value, "why": self.why or None}


@dataclass(frozen=True, slots=True)
class ZeroEscape:
    """What it costs to pass none of the bad parts that were seen.

    `threshold` rejects all of them; `overkill` is its price; `escape` is 0 of so many, and its interval's upper end the
    escape that they can't rule out.
    """

    threshold: Figure
    overkill: Rate
    escape: Rate

    def to_json(self) -> dict[str, Any]:
        rates = {"overkill": self.overkill.to_json(), "escape": self.escape.to_json()}
        return {"threshold": self.threshold.to_json(), **rates}


@dataclass(frozen=True, slots=True)
class Ranking:
    """How well the order of the scores tells bad from good, whatever the threshold.

    `auroc` is the chance that a bad part scores above a good one, `auprc` the average precision over recall.
    """

    auroc: Figure
    auprc: Figure
    zero_escape: ZeroEscape

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name).to_json() for name in ("auroc", "auprc", "zero_escape")}


@dataclass(frozen=True, slots=True)
class Bin:
    """Parts whose highest probability lies in [low, high): what was claimed on average, and how often it was right.

    Of a model that may say several: pairs of a part and a defect, by the defect's probability.
    """

    low: float
    high: float
    claimed: float
    right: Rate

    def to_json(self) -> dict[str, Any]:
        return {"low": self.low, "high": self.high, "claimed": self.claimed, "right": self.right.to_json()}


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether probabilities are what they claim.

    `ece` is the expected calibration error (Guo et al. 2017), the mean of |claimed - right| over bins, weighted by
    their parts; `brier` the mean squared distance from the truth over all classes (Brier 1950), 0 to 2. Of a model that
    may say several, both are over pairs of a part and a defect, each a forecast of its own: 0 to 1.
    """

    ece: Figure
    brier: Figure
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, Any]:
        return {"ece": self.ece.to_json(), "brier": self.brier.to_json(), "bins": [b.to_json() for b in self.bins]}


def ranking(bad_scores: F32, bad: Bools) -> Ranking:
    """Of scores [n] and truths [n]."""
    _same_length(bad_scores, bad)
    if why := _one_kind(bad):
        nothing = Figure(None, why)
        return Ranking(nothing, nothing, zero_escape(bad_scores, bad))
    from sklearn.metrics import average_precision_score  # a second of start-up

    return Ranking(
        auroc=auroc(bad_scores, bad),
        auprc=Figure(float(average_precision_score(bad, bad_scores))),
        zero_escape=zero_escape(bad_scores, bad),
    )


def auroc(scores: F32, its: Bools) -> Figure:
    """The chance that a part of a kind scores above one of no such kind, of scores [n] and truths [n]."""
    if not 0 < its.sum() < len(its):
        return Figure(None, "parts of it and others are needed")
    from sklearn.metrics import roc_auc_score  # a second of start-up

    return Figure(float(roc_auc_score(its, scores)))


def zero_escape(bad_scores: F32, bad: Bools) -> ZeroEscape:
    """The highest threshold that rejects every bad part of scores [n] and truths [n], and its overkill."""
    _same_length(bad_scores, bad)
    if not bad.any():
        return ZeroEscape(Figure(None, "there is no bad part"), rate(0, 0), rate(0, 0))
    threshold = float(bad_scores[bad].min())
    return ZeroEscape(
        threshold=Figure(threshold),
        overkill=rate(int((bad_scores[~bad] >= threshold).sum()), int((~bad).sum())),
        escape=rate(0, int(bad.sum())),
    )


def calibration(scores: F32, labels: Truths) -> Calibration:
    """Of probabilities [n, classes] and what n parts are."""
    _same_length(scores, labels)
    if not len(labels):
        nothing = Figure(None, "there are no parts")
        return Calibration(nothing, nothing, ())
    every = every_label(labels, scores.shape[1])
    distances = (scores - every.astype(np.float64)) ** 2
    if labels.ndim == 2:
        bins, brier = _bins(scores[:, 1:].ravel(), every[:, 1:].ravel()), distances[:, 1:].mean()
    else:
        bins, brier = _bins(scores.max(axis=1), scores.argmax(axis=1) == labels), distances.sum(axis=1).mean()
    ece = sum(b.right.total * abs(b.claimed - (b.right.value or 0.0)) for b in bins) / sum(b.right.total for b in bins)
    return Calibration(Figure(ece), Figure(float(brier)), bins)


def _bins(claimed: F32, right: Bools) -> tuple[Bin, ...]:
    places = np.minimum((claimed * BINS).astype(np.int64), BINS - 1)
    return tuple(
        Bin(
            place / BINS,
            (place + 1) / BINS,
            float(claimed[places == place].mean()),
            rate(int(right[places == place].sum()), int((places == place).sum())),
        )
        for place in np.unique(places).tolist()
    )


def confusion(scores: F32, labels: Truths) -> I64:
    """Counts [true class, class of the highest score].

    A part counts under each of its labels, and for each the others are no rivals: a scratch and a dent that are both
    seen are taken for what they are.
    """
    _same_length(scores, labels)
    classes = scores.shape[1]
    every = every_label(labels, classes)
    parts, theirs = np.nonzero(every)
    rivals = np.where(every, -np.inf, scores)[parts]
    rivals[np.arange(len(parts)), theirs] = scores[parts, theirs]
    counts = np.bincount(theirs * classes + rivals.argmax(axis=1), minlength=classes * classes)
    return np.asarray(counts.reshape(classes, classes), np.int64)


def _one_kind(bad: Bools) -> str:
    if not len(bad):
        return "there are no parts"
    return "" if 0 < bad.sum() < len(bad) else ONE_KIND.format("bad" if bad.all() else "good")


def _same_length(scores: np.ndarray[Any, Any], truths: np.ndarray[Any, Any] | Sequence[Any]) -> None:
    if len(scores) != len(truths):
        raise ValueError(f"{len(scores)} scores for {len(truths)} parts")


def mcnemar(only_a: int, only_b: int) -> float | None:
    """Two-sided p that discordant pairs split so unevenly by chance (McNemar 1947, exact); None without any."""
    if only_a + only_b == 0:
        return None
    from scipy.stats import binomtest  # a second of start-up

    return float(binomtest(only_a, only_a + only_b, 0.5).pvalue)
