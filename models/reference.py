"""How a model scores good parts when all is well: what its scores on a line are held against. Pure but for one reading.

Place in the flow: training, calibration and the bank of good parts write it into the artifact, from good parts of the
validation split; `lineside drift` reads it, with what else it must know of a model, without the model's weights. Knows
no event.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import numpy as np

from models.artifact_files import MANIFEST, check_keys, parse_json, read
from models.errors import ModelRefusedError

SHARES = 65  # quantiles at so many evenly spaced shares, 0 and 1 included
MOST_QUANTILES = 1025


@dataclass(frozen=True, slots=True)
class Reference:
    """By `good` parts that the model has not learned from: quantiles at evenly spaced shares, ascending.

    `score`: of all defects together, as `views.any_wrong` has it; `novelty`: of those that are not called novel. Each
    is empty where it isn't known. ModelRefusedError for what can't be.
    """

    good: int
    score: tuple[float, ...] = ()
    novelty: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if type(self.good) is not int or self.good < 1:
            raise ModelRefusedError(f"a reference is of 1 good part or more; came {self.good!r:.80}")
        for name in ("score", "novelty"):
            values = getattr(self, name)
            if not are_quantiles(values):
                raise ModelRefusedError(
                    f"'{name}' of a reference must be ascending finite numbers; came {values!r:.80}"
                )

    def to_json(self) -> dict[str, object]:
        return {"good": self.good, "score": list(self.score), "novelty": list(self.novelty)}

    @classmethod
    def from_json(cls, value: object) -> Self:
        """The reverse of `to_json`; ModelRefusedError for anything else."""
        given = check_keys("'reference'", value, {"good", "score", "novelty"})
        if not all(isinstance(given[name], list) for name in ("score", "novelty")):
            raise ModelRefusedError(f"'score' and 'novelty' of a reference must be lists; came {value!r:.80}")
        return cls(given["good"], tuple(given["score"]), tuple(given["novelty"]))


def are_quantiles(values: Sequence[Any]) -> bool:
    """Whether these are none, or 2 to MOST_QUANTILES finite numbers that never fall."""
    if not values:
        return True
    numbers = all(type(value) in (int, float) and math.isfinite(value) for value in values)
    return numbers and 2 <= len(values) <= MOST_QUANTILES and all(a <= b for a, b in pairwise(values))


def quantiles_of(values: Any) -> tuple[float, ...]:
    """Of finite numbers [n], n at least 1: SHARES of them, six digits each."""
    found = np.quantile(np.asarray(values, np.float64), np.linspace(0, 1, SHARES))
    return tuple(float(f"{value:.6g}") for value in found)


def reference_of(good_scores: Any) -> Reference | None:
    """By the scores of good parts, [n]; None without any."""
    return Reference(len(good_scores), quantiles_of(good_scores)) if len(good_scores) else None


@dataclass(frozen=True, slots=True)
class Told:
    """What a model's manifest tells of it. `limit`: below it, with all its defects together, a part is surely OK."""

    model_id: str
    defects: frozenset[str]
    limit: float
    reference: Reference | None


def told_by(directory: Path, sha256: str | None = None) -> Told:
    """The manifest in a model's directory, read without weights and networks.

    ModelRefusedError where there is none, where it can't be a model's, or is not that of `sha256`.
    """
    data = read(directory, MANIFEST)
    if sha256 is not None and (found := hashlib.sha256(data).hexdigest()) != sha256:
        raise ModelRefusedError(f"{directory} holds the model {found}; expected {sha256}")
    manifest = parse_json(MANIFEST, data)
    try:
        if not isinstance(manifest, dict):
            raise TypeError(f"an object is expected, came {type(manifest).__name__}")
        defects = {item["name"]: item["threshold"] for item in manifest["classes"] if item["role"] == "defect"}
        limits = [*defects.values(), manifest["any_defect_threshold"]]
        limit = min(float(limit) for limit in limits if limit is not None) - float(manifest["unsure_band"])
        kept = manifest.get("reference")
        reference = None if kept is None else Reference.from_json(kept)
        return Told(str(manifest["model_id"]), frozenset(map(str, defects)), limit, reference)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefusedError(f"{directory} can't be read as a model: {type(error).__name__}: {error}") from error
