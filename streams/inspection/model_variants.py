"""A model as a recipe asks for it: on a device and in a precision, where it says so. Pure.

Place in the flow: a worker's rooms go by the names of these, so that frames of two recipes that ask for the same model
in two precisions never share a batch. What a recipe leaves open, whoever opens the model chooses.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from models.devices import AUTO
from schemas.records import Precision, Recipe
from streams.inspection.recipes import variants


class ModelVariant(NamedTuple):
    """As text it is the name of its room: the model's id alone where all is left open."""

    model_id: str
    device: str = AUTO
    precision: Precision = Precision.UNKNOWN

    @property
    def is_plain(self) -> bool:
        return self == ModelVariant(self.model_id)

    def __str__(self) -> str:
        precision = "" if self.precision is Precision.UNKNOWN else f" as {self.precision}"
        return self.model_id + precision + ("" if self.device == AUTO else f" on {self.device}")


def variant_of(recipe: Recipe) -> ModelVariant:
    """What judges by a recipe, as it holds for one part."""
    return ModelVariant(recipe.model_id, recipe.device, recipe.precision)


def asked_by(recipe: Recipe) -> tuple[ModelVariant, ...]:
    """All that decide by a recipe, the main one first."""
    return tuple(map(variant_of, variants(recipe)))


def shadow_of(recipe: Recipe) -> tuple[ModelVariant, ...]:
    """The shadow of a recipe, if any: as it would be served were it put in force."""
    shadow = recipe.shadow_model_id
    return (ModelVariant(shadow, recipe.device, recipe.precision),) if shadow else ()


def plainly(recipe: Recipe) -> Recipe:
    """A recipe that leaves device and precision to whoever judges by it."""
    return replace(recipe, device=AUTO, precision=Precision.UNKNOWN)


def names_of(model_id: str, device: str, precision: Precision) -> tuple[str, ...]:
    """All names that a model goes by which somebody opened on this device and in this precision."""
    asks = ((d, p) for d in (AUTO, device) for p in (Precision.UNKNOWN, precision))
    return tuple(str(ModelVariant(model_id, *ask)) for ask in asks)
