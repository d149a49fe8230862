"""The steps of a retraining, what identifies one, and what of it is left to do. Pure.

Place in the flow: `lineside retrain` keeps each step's output in the work's folder, written whole or not at all, so
that one that was ended goes on with the first step whose output isn't there. The same question has the same identity,
and so the same proposal, however often it is asked. Knows no file and no topic.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from streams.recipes.history import Scope

NAMESPACE = UUID("5f0a2f0c-6b0e-5a1f-9d3b-6a1c8f2e4b77")  # never changes: ids of the past depend on it
STEM_CHARS = 55  # of a model's id, 64 at most with what is put behind it
_GROWN = re.compile(r"-[0-9a-f]{8}$")


class Step(StrEnum):
    """In their order."""

    TRAIN = "train"
    CALIBRATE = "calibrate"
    COMPARE = "compare"
    REPLAY = "replay"
    REPORT = "report"
    PROPOSE = "propose"


OUTPUTS: Mapping[Step, str] = {
    Step.TRAIN: "trained",
    Step.CALIBRATE: "model",
    Step.COMPARE: "held-out.json",
    Step.REPLAY: "replayed.json",
    Step.REPORT: "report.html",
    Step.PROPOSE: "proposed.json",
}


def steps_left(is_there: Callable[[str], bool]) -> tuple[Step, ...]:
    """From the first step whose output isn't there on: what came after it, if anything, came of something else."""
    steps = tuple(Step)
    done = next((place for place, step in enumerate(steps) if not is_there(OUTPUTS[step])), len(steps))
    return steps[done:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One retraining: what is asked. `thresholds` and `unsure_band` are those by which the model in force decides."""

    scope: Scope
    base_model_id: str
    base_sha256: str
    recipe_version: int
    thresholds: Mapping[str, float]
    unsure_band: float
    dataset: str  # name and version
    dataset_sha256: str
    settings: Mapping[str, Any]  # how it is trained, calibrated and compared

    @property
    def proposal_id(self) -> UUID:
        """The same for the same question: the recipe's limits are part of it, for the comparison rests on them."""
        return uuid5(NAMESPACE, json.dumps(self.to_json(), sort_keys=True))

    @property
    def model_id(self) -> str:
        """The model in force's id with what tells this retraining from others behind it."""
        return f"{_GROWN.sub('', self.base_model_id)[:STEM_CHARS]}-{self.proposal_id.hex[:8]}"

    def to_json(self) -> dict[str, Any]:
        plain = {name: getattr(self, name) for name in self.__slots__ if name != "scope"}
        plain["thresholds"], plain["settings"] = dict(self.thresholds), dict(self.settings)
        return {"plant": self.scope.plant, "line": self.scope.line, "sku": self.scope.sku, **plain}


@dataclass(frozen=True, slots=True)
class Classes:
    """What the data make of the classes of the model in force."""

    kept: tuple[str, ...]
    new: tuple[str, ...]
    lost: tuple[str, ...]  # of which there is no picture

    @classmethod
    def of(cls, known: tuple[str, ...], found: tuple[str, ...]) -> Classes:
        """`known` to the model in force, `found` in the data, each in its order."""
        return cls(
            tuple(name for name in known if name in found),
            tuple(name for name in found if name not in known),
            tuple(name for name in known if name not in found),
        )
