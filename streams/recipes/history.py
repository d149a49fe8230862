"""All recipes of an installation in the order of their topic, each with what became of it. Pure.

Place in the flow: the recipe commands and the engineers' page fold the topic `recipes` into one of these before they
change anything. What takes effect, the `RecipeBook` decides, as it does in every worker and replay. Knows no Kafka.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.records import Recipe
from streams.inspection.recipes import ANY_SKU, RecipeBook


@dataclass(frozen=True, slots=True)
class Scope:
    """What a recipe is for: a line of a plant, and a SKU or `*`."""

    plant: str
    line: str
    sku: str = ANY_SKU

    def __str__(self) -> str:
        return f"{self.plant}/{self.line} SKU {self.sku}"


@dataclass(frozen=True, slots=True)
class Published:
    """A recipe, when the broker took it, and whether it takes effect at its time."""

    recipe: Recipe
    published_at: datetime
    takes_effect: bool

    @property
    def scope(self) -> Scope:
        return scope_of(self.recipe)


class History:
    """Takes in the topic's records in their order."""

    def __init__(self) -> None:
        self.book = RecipeBook()
        self._all: list[Published] = []

    def take(self, recipe: Recipe, published_at: datetime) -> Published:
        """The next record of the topic."""
        entry = Published(recipe, published_at, self.book.add(recipe, published_at))
        self._all.append(entry)
        return entry

    def of(self, scope: Scope) -> list[Published]:
        """Those of exactly this scope, oldest first."""
        return [entry for entry in self._all if entry.scope == scope]

    def scopes(self) -> list[Scope]:
        """All scopes that ever had a recipe, in order of plant, line and SKU."""
        return sorted({entry.scope for entry in self._all}, key=lambda s: (s.plant, s.line, s.sku))

    def in_force(self, scope: Scope, at: datetime) -> Recipe | None:
        """The newest of exactly this scope that is effective at a time; not what SKU `*` would give in its place."""
        due = [e.recipe for e in self.of(scope) if e.takes_effect and e.recipe.effective_at <= at]
        return max(enumerate(due), key=lambda item: (item[1].effective_at, item[0]))[1] if due else None

    def scheduled(self, scope: Scope, at: datetime) -> list[Recipe]:
        """Those of exactly this scope that take effect after a time, the next first."""
        later = [e.recipe for e in self.of(scope) if e.takes_effect and e.recipe.effective_at > at]
        return sorted(later, key=lambda recipe: recipe.effective_at)

    def newest(self, scope: Scope) -> Recipe | None:
        """What a change begins with: of those that take effect, the one that holds last."""
        taken = [entry.recipe for entry in self.of(scope) if entry.takes_effect]
        return max(enumerate(taken), key=lambda item: (item[1].effective_at, item[0]))[1] if taken else None

    def version(self, scope: Scope, version: int) -> Recipe | None:
        """A recipe of this scope by its version, if it takes effect."""
        return next((e.recipe for e in self.of(scope) if e.takes_effect and e.recipe.version == version), None)

    def next_version(self, plant: str, line: str) -> int:
        """Above every version of the line, whatever its SKU: a verdict names its recipe by line and version alone."""
        return 1 + max(
            (e.recipe.version for e in self._all if (e.scope.plant, e.scope.line) == (plant, line)), default=0
        )


def scope_of(recipe: Recipe) -> Scope:
    return Scope(recipe.plant, recipe.line, recipe.sku)
