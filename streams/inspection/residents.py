"""Which models a worker holds: those that recipes name, now or soon, then the newest released. Pure.

Place in the flow: `model_keeper.py` asks whenever a recipe, a release or the time has changed something. What is in
force comes first, what will be next, then what was released and waits for a recipe, as far as memory goes. Knows no
file, no engine and no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from schemas.records import Recipe
from streams.inspection.recipes import RecipeBook, models_of
from streams.registry.book import Book


@dataclass(frozen=True, slots=True)
class Wanted:
    """A released model to be held; `is_in_force`: frames that come now are judged by it."""

    model_id: str
    is_in_force: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about the models: `load` one after the other, `end` as soon as nothing is under way in them."""

    load: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    no_room: tuple[str, ...] = ()
    """In force, and beyond the memory that models may take."""


def wanted(recipes: RecipeBook, releases: Book, at: datetime) -> list[Wanted]:
    """All models worth holding at a time, the most needed first; those never released are left out."""
    found = {want.model_id: want for want in named(recipes, releases, at, models_of)}
    for release in reversed(releases.all()):
        if not release.retired:
            found.setdefault(release.first.model_id, Wanted(release.first.model_id, False))
    return list(found.values())


def named(
    recipes: RecipeBook, releases: Book, at: datetime, models_of: Callable[[Recipe], Iterable[str]]
) -> list[Wanted]:
    """The released models that recipes name, those in force at a time first."""
    found: dict[str, Wanted] = {}
    for recipe, is_in_force in recipes.named(at):
        for model_id in models_of(recipe):
            if releases.get(model_id):
                found.setdefault(model_id, Wanted(model_id, is_in_force))
    return list(found.values())


def plan(wants: Sequence[Wanted], nbytes: Mapping[str, int], resident: Collection[str], max_bytes: int) -> Plan:
    """`nbytes`: what each wanted model takes in memory; those of unknown size are not loaded."""
    kept, taken, no_room = list[str](), 0, list[str]()
    for want in wants:
        size = nbytes.get(want.model_id)
        if size is None:
            continue
        if taken + size <= max_bytes:
            kept.append(want.model_id)
            taken += size
        elif want.is_in_force:
            no_room.append(want.model_id)
    load = tuple(model_id for model_id in kept if model_id not in resident)
    return Plan(load, tuple(sorted(set(resident) - set(kept))), tuple(no_room))
