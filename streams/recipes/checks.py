"""Whether a recipe can be obeyed, or why not, in one sentence. Pure: models and time are arguments.

Place in the flow: under `wishes.py`, and before anything is published. Knows no Kafka and no file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

from models.devices import AUTO, PRECISIONS_OF, fits
from schemas.records import Precision, Recipe
from streams.errors import CallerError
from streams.inspection.decide import ANY_DEFECT
from streams.inspection.limits import check_texts
from streams.inspection.recipes import ANY_SKU, NOTICE, models_of, variants
from streams.topics import KEY_PART

MARGIN = timedelta(seconds=1)  # between our clock, the broker's, and the time that publishing takes
PART_TIMEOUT_MS = (1, 3_600_000)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a recipe must fit: a released model's defects, all its classes, and its own limits."""

    model_id: str
    classes: tuple[str, ...]
    defects: frozenset[str]
    thresholds: Mapping[str, float]  # of its own, by defect and `*`
    unsure_band: float
    skus: tuple[str, ...] = ()
    retired: bool = False
    precisions: tuple[Precision, ...] = (Precision.FP32,)  # in which it can be had


def check(recipe: Recipe, models: Mapping[str, ModelFacts], now: datetime) -> None:
    """CallerError for a recipe that no worker could obey; `models` holds all that it names."""
    _check_scope(recipe)
    _check_time(recipe.effective_at, now)
    for model_id in named_by(recipe):
        _check_model(recipe, models[model_id])
        _check_engine(recipe, models[model_id])
    for variant in variants(recipe):
        _check_limits(models[variant.model_id], variant.thresholds, variant.unsure_band)
    if recipe.canary and not 0 < recipe.canary.share <= 1:
        raise CallerError(f"a canary judges a share of the parts, above 0 and at most 1; came {recipe.canary.share:g}")
    low, high = PART_TIMEOUT_MS
    if not low <= recipe.part_timeout_ms <= high:
        raise CallerError(f"part_timeout_ms must be {low} to {high}; came {recipe.part_timeout_ms}")
    if not recipe.reason.strip():
        raise CallerError("a recipe needs a reason: give --why")
    try:
        check_texts((f.name, v) for f in fields(recipe) if isinstance(v := getattr(recipe, f.name), str))
    except ValueError as error:
        raise CallerError(str(error)) from error


def named_by(recipe: Recipe) -> tuple[str, ...]:
    """All models that a recipe names."""
    shadow = (recipe.shadow_model_id,) if recipe.shadow_model_id else ()
    return tuple(dict.fromkeys((*models_of(recipe), *shadow)))


def _check_model(recipe: Recipe, model: ModelFacts) -> None:
    if model.retired:
        raise CallerError(
            f"{model.model_id} is retired: no recipe may name it; `lineside models list` shows the others"
        )
    if model.skus and recipe.sku not in (*model.skus, ANY_SKU):
        raise CallerError(f"{model.model_id} was released for {', '.join(model.skus)}, not for {recipe.sku}")


def _check_engine(recipe: Recipe, model: ModelFacts) -> None:
    """What no machine could have; whether one has the device, only its worker can tell."""
    device, precision = recipe.device, recipe.precision
    if device not in (AUTO, *PRECISIONS_OF):
        raise CallerError(f"unknown device {device!r:.80}; expected {AUTO}, {', '.join(PRECISIONS_OF)}")
    if precision is Precision.UNKNOWN:
        return
    if precision not in model.precisions:
        raise CallerError(
            f"{model.model_id} can't be had as {precision}, only as {', '.join(model.precisions)}: `lineside quantise` "
            "makes an int8 network of one without a bank of good parts; --precision auto leaves it to the worker"
        )
    if not fits(device, precision):
        raise CallerError(f"{device} has no {precision}, only {', '.join(PRECISIONS_OF[device])}")


def _check_limits(model: ModelFacts, thresholds: Mapping[str, float], unsure_band: float) -> None:
    unknown = sorted(set(thresholds) - model.defects - {ANY_DEFECT})
    if unknown:
        raise CallerError(
            f"{model.model_id} has no defect {', '.join(map(repr, unknown))}; its defects are "
            f"{', '.join(sorted(model.defects))}, and '*' is the sum of all"
        )
    if unset := sorted(model.defects - set(thresholds)):
        raise CallerError(f"{', '.join(unset)} of {model.model_id} has no threshold: give --threshold {unset[0]}=0.5")
    for name, value in (*thresholds.items(), ("the unsure band", unsure_band)):
        if not (math.isfinite(value) and 0 <= value <= 1) or (name in thresholds and value == 0):
            raise CallerError(f"{name}: expected a number above 0 and at most 1, came {value:g}")


def _check_scope(recipe: Recipe) -> None:
    for name in ("plant", "line", "sku"):
        value = getattr(recipe, name)
        if not KEY_PART.fullmatch(value) and not (name == "sku" and value == ANY_SKU):
            raise CallerError(f"{name} must be 1 to 64 letters, digits, `.`, `_` and `-`; came {value!r:.80}")


def _check_time(effective_at: datetime, now: datetime) -> None:
    if effective_at < now:
        raise CallerError(f"a recipe can't be in force from {effective_at:%Y-%m-%d %H:%M:%S} UTC on: that is past")
    if effective_at < now + NOTICE + MARGIN:
        least = (NOTICE + MARGIN).total_seconds()
        raise CallerError(
            f"every worker must know it in time: a recipe is in force {least:g} s from now at the earliest"
        )
