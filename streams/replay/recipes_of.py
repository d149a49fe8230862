"""By which recipe a replay judges: as of the time of each frame, the model's own, or one that was given. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from schemas.records import FrameCaptured, Recipe
from streams.errors import CallerError
from streams.inspection.decide import ANY_DEFECT, ClassRoles
from streams.inspection.recipes import RecipeBook

AS_OF, MODEL, GIVEN = "as-of", "model", "given"


@dataclass(frozen=True, slots=True)
class ReplayRecipes:
    """`book` holds what was ever in force; `own` is the model's own recipe; `given` one for all frames.

    `override`: the one model that judges, whatever the recipes say; None where several are there and recipes choose.
    """

    mode: str
    book: RecipeBook
    own: Recipe | None
    given: Recipe | None
    override: str | None

    def of(self, frame: FrameCaptured, at: datetime) -> Recipe | None:
        """The recipe for a frame appended at a time; None where none was in force."""
        if self.mode == MODEL:
            return self.own
        if self.override is None:
            return self.book.of_frame(frame, at)
        recipe = self.given if self.mode == GIVEN else self.book.in_force(frame.plant, frame.line, frame.sku, at)
        if recipe is None:
            return None
        return dataclasses.replace(recipe, model_id=self.override)


def given_recipe(base: Recipe, asked: Mapping[str, Any]) -> Recipe:
    """A recipe with the thresholds that were given, `{"thresholds": {class: limit}, "unsure_band": 0.05}`."""
    thresholds, band = asked.get("thresholds"), asked.get("unsure_band", base.unsure_band)
    if not isinstance(thresholds, dict) or not thresholds or not all(map(_is_share, [*thresholds.values(), band])):
        raise CallerError(
            'a recipe needs thresholds from 0 to 1 for each class, such as {"thresholds": {"scratch": 0.4}, '
            f'"unsure_band": 0.05}}; came {asked!r:.200}'
        )
    return dataclasses.replace(
        base,
        thresholds={str(label): float(limit) for label, limit in thresholds.items()},
        unsure_band=float(band),
        version=int(asked.get("version", base.version)),
        reason="given to a replay",
    )


def limits_of(recipes: Iterable[Recipe]) -> list[dict[str, Any]]:
    """The different limits among recipes, for a run's description."""
    found: list[dict[str, Any]] = []
    for recipe in recipes:
        limits = {"thresholds": dict(sorted(recipe.thresholds.items())), "unsure_band": recipe.unsure_band}
        if limits not in found:
            found.append(limits)
    return found


def check_fit(roles: ClassRoles, model_id: str, recipes: Iterable[Recipe]) -> None:
    """CallerError where a model's classes don't fit a recipe that it is to judge by."""
    for recipe in recipes:
        limits = set(recipe.thresholds) - {ANY_DEFECT}
        unknown, unset = sorted(limits - roles.defects), sorted(roles.defects - limits)
        if unknown or unset:
            scope = f"recipe version {recipe.version} of {recipe.plant}/{recipe.line}, SKU {recipe.sku},"
            wrong = [f"sets limits for {', '.join(unknown)}"] if unknown else []
            wrong += [f"has none for {', '.join(unset)}"] if unset else []
            raise CallerError(
                f"the model {model_id} decides about {', '.join(sorted(roles.defects))}, but {scope} "
                f"{' and '.join(wrong)}: take a model with the same classes, or --recipe model for its own limits"
            )


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1
