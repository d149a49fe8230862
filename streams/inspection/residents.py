"""Which models a worker holds: those that recipes ask for, now or soon or last, then the newest released. Pure.

Place in the flow: `model_keeper.py` asks whenever a recipe, a release or the time has changed something. What is in
force comes first, what will be next, what was before, for frames that still wait, then what was released and waits
for a recipe, as far as memory goes. The same model in two precisions is two. Knows no file, no engine and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.records import Recipe
from streams.inspection.model_variants import ModelVariant, asked_by
from streams.inspection.recipes import RecipeBook
from streams.registry.book import Book


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model to be held; `is_in_force`: frames that come now are judged by it; `is_former`: those that wait still may
    be, so that it stays where it is, and is not loaded for them. `begins_at`: when a recipe asks for it, if one does.
    """

    variant: ModelVariant
    is_in_force: bool
    is_former: bool = False
    begins_at: datetime | None = None

    @property
    def name(self) -> str:
        return str(self.variant)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about models, by name: `load` one after the other, `end` as soon as nothing is under way in them."""

    load: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    no_room: tuple[str, ...] = ()
    """In force, and beyond the memory that models may take."""


def wanted(recipes: RecipeBook, releases: Book, at: datetime, own: Collection[str] = ()) -> list[Wanted]:
    """All models worth holding at a time, the most needed first: of those released, and of the worker's own."""
    found = {want.variant: want for want in named(recipes, releases, at, own)}
    held = {variant.model_id for variant in found}
    unretired = [release.first.model_id for release in releases.all() if not release.retired]
    for variant in (variant for recipe in recipes.before(at) for variant in asked_by(recipe)):
        if not variant.is_plain and variant.model_id in {*own, *unretired}:
            found.setdefault(variant, Wanted(variant, False, is_former=True))
    plain = (ModelVariant(model_id) for model_id in reversed(unretired) if model_id not in held)
    return [*found.values(), *(Wanted(variant, False) for variant in plain)]


def named(
    recipes: RecipeBook,
    releases: Book,
    at: datetime,
    own: Collection[str] = (),
    asked: Callable[[Recipe], Iterable[ModelVariant]] = asked_by,
) -> list[Wanted]:
    """The models that recipes ask for, those in force at a time first; `own` are known without a release."""
    found: dict[ModelVariant, Wanted] = {}
    for recipe, is_in_force in recipes.named(at):
        for variant in asked(recipe):
            if variant.model_id in own or releases.get(variant.model_id):
                found.setdefault(variant, Wanted(variant, is_in_force, begins_at=recipe.effective_at))
    return list(found.values())


def plan(wants: Sequence[Wanted], nbytes: Mapping[str, int], resident: Collection[str], max_bytes: int) -> Plan:
    """`nbytes`: what each wanted model takes in memory, by name; those of unknown size are not loaded."""
    kept, taken, no_room = list[str](), 0, list[str]()
    for want in wants:
        size = nbytes.get(want.name)
        if size is None:
            continue
        if taken + size <= max_bytes:
            kept.append(want.name)
            taken += size
        elif want.is_in_force:
            no_room.append(want.name)
    load = tuple(name for name in kept if name not in resident)
    return Plan(load, tuple(sorted(set(resident) - set(kept))), tuple(no_room))
