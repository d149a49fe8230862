"""Which recipe is in force for a frame. Pure; `bus/control.py` feeds it from the `recipes` topic.

The answer depends on the frame's append time alone, so every worker and every replay finds the same recipe.
"""

from __future__ import annotations

import bisect
import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from schemas.records import FrameCaptured, Mode, Recipe, VerdictIssued
from streams.inspection.limits import check_texts

ANY_SKU = "*"
NOTICE = timedelta(seconds=5)  # every worker has read a recipe by then
DEFAULT_VERSION = 0
DEFAULT_MODE = Mode.ADVISE
_TEXTS = ("plant", "line", "sku", "model_id", "shadow_model_id", "device", "author", "reason")


class RecipeBook:
    """All recipes ever published, by plant, line and SKU."""

    def __init__(self, default: Recipe | None = None) -> None:
        self._default = default
        self._by_scope: dict[tuple[str, str, str], list[tuple[datetime, int, Recipe]]] = defaultdict(list)
        self._versions: dict[tuple[str, str], int] = {}
        self._count = 0

    def add(self, recipe: Recipe, published_at: datetime) -> bool:
        """Take a recipe in; False for one that never takes effect.

        That is one published less than 5 s before it should, one with texts longer than a verdict can repeat, or one
        whose version isn't above all before it of its line: a verdict names its recipe by line and version, and of two
        people who make the same version at once the first in the topic's order is obeyed.
        """
        place = (recipe.plant, recipe.line)
        if recipe.effective_at < published_at + NOTICE or not _is_repeatable(recipe):
            return False
        if recipe.version <= self._versions.get(place, DEFAULT_VERSION):
            return False
        self._versions[place] = recipe.version
        self._count += 1
        bisect.insort(
            self._by_scope[recipe.plant, recipe.line, recipe.sku],
            (recipe.effective_at, self._count, recipe),
            key=lambda entry: entry[:2],
        )
        return True

    def in_force(self, plant: str, line: str, sku: str, at: datetime) -> Recipe | None:
        """The newest recipe of this plant, line and SKU, else of SKU `*`, effective at or before `at`."""
        for scope_sku in (sku, ANY_SKU):
            entries = self._by_scope.get((plant, line, scope_sku), [])
            index = bisect.bisect_right(entries, at, key=lambda entry: entry[0])
            if index:
                return entries[index - 1][2]
        return self._default

    def of_frame(self, frame: FrameCaptured | VerdictIssued, at: datetime) -> Recipe | None:
        """What is in force for a frame appended at a time, as it holds for its part; see `of_part`."""
        recipe = self.in_force(frame.plant, frame.line, frame.sku, at)
        return recipe and of_part(recipe, frame.part_id or str(frame.frame_id))

    def named(self, at: datetime) -> list[tuple[Recipe, bool]]:
        """Every recipe of any line that is in force at a time or will be, and whether it is; those first, by time."""
        now, later = list[Recipe](), list[tuple[datetime, Recipe]]()
        for entries in self._by_scope.values():
            index = bisect.bisect_right(entries, at, key=lambda entry: entry[0])
            now += [entries[index - 1][2]] if index else []
            later += [(effective_at, recipe) for effective_at, _, recipe in entries[index:]]
        soon = sorted(later, key=lambda entry: entry[0])
        return [*((recipe, True) for recipe in now), *((recipe, False) for _, recipe in soon)]

    def before(self, at: datetime) -> list[Recipe]:
        """What was in force last, before that what is at a time: frames that wait still are judged by it."""
        found = list[Recipe]()
        for entries in self._by_scope.values():
            index = bisect.bisect_right(entries, at, key=lambda entry: entry[0])
            found += [entries[index - 2][2]] if index > 1 else []
        return found

    def ever_in_force(self, plant: str, line: str, sku: str, since: datetime, until: datetime) -> list[Recipe]:
        """Every recipe that `in_force` gives for a time from `since` to `until`, both inclusive, oldest first."""
        scopes = (self._by_scope.get((plant, line, scope_sku), []) for scope_sku in (sku, ANY_SKU))
        changes = sorted({at for scope in scopes for at, _, _ in scope if since < at <= until})
        found: list[Recipe] = []
        for at in (since, *changes):
            recipe = self.in_force(plant, line, sku, at)
            if recipe is not None and recipe not in found:
                found.append(recipe)
        return found


def of_part(recipe: Recipe, part: str) -> Recipe:
    """A recipe as it holds for one part: where it has a canary, some parts are judged by that model and its limits.

    Which, a hash of the part says: the same on every worker and in every replay, for all pictures of the part and
    each pass, and others for another canary.
    """
    if recipe.canary is None:
        return recipe
    drawn = hashlib.sha256(f"{recipe.canary.model_id}/{recipe.plant}/{recipe.line}/{part}".encode()).digest()
    return variants(recipe)[int.from_bytes(drawn[:8]) < recipe.canary.share * 2**64]


def variants(recipe: Recipe) -> tuple[Recipe, ...]:
    """A recipe as it holds for its parts: by its main model, then by its canary, if any."""
    canary = recipe.canary
    if canary is None:
        return (recipe,)
    own = {"model_id": canary.model_id, "thresholds": canary.thresholds, "unsure_band": canary.unsure_band}
    return recipe, replace(recipe, **own)  # type: ignore[arg-type]  # of these fields


def models_of(recipe: Recipe) -> tuple[str, ...]:
    """The models that decide by it, the main one first."""
    return tuple(variant.model_id for variant in variants(recipe))


def _is_repeatable(recipe: Recipe) -> bool:
    try:
        check_texts((name, getattr(recipe, name)) for name in _TEXTS)
        check_texts([("canary", recipe.canary.model_id if recipe.canary else None)])
    except ValueError:
        return False
    return True


def default_recipe(model_id: str, thresholds: Iterable[tuple[str, float]], unsure_band: float, now: datetime) -> Recipe:
    """A model's own thresholds as a recipe for every line: for demos, where a worker is told to use it."""
    return Recipe(
        plant="*",
        line="*",
        sku=ANY_SKU,
        version=DEFAULT_VERSION,
        mode=DEFAULT_MODE,
        model_id=model_id,
        thresholds=dict(thresholds),
        unsure_band=unsure_band,
        author="lineside",
        reason="the model's own thresholds",
        created_at=now,
        effective_at=now,
    )
