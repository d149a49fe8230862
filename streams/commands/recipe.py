"""`lineside recipe …`: what is in force for a line and SKU, what was, and how it is changed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from schemas.records import Canary, Recipe
from streams.commands.models import read as released
from streams.commands.ui import Ui
from streams.downstream.rework.link import now_ms
from streams.errors import CallerError
from streams.recipes.checks import ModelFacts, check, named_by
from streams.recipes.facts import facts_of
from streams.recipes.history import History, Published, Scope, scope_of
from streams.recipes.publishing import history, publish
from streams.recipes.wishes import (
    FIRST,
    Signed,
    Wish,
    approvals_lacking,
    differences,
    models_needed,
    recipe_of,
    reverted,
)
from streams.registry.book import Book, known_release
from streams.settings import Settings
from streams.tail import AGO, SECONDS, plain, safe

ROWS = ("mode", "model_id", "shadow_model_id", "canary", "unsure_band", "late_action", "error_action", "device",
        "precision", "part_timeout_ms", "author", "approved_by", "reason")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What goes with every change. `when` None: in ten seconds; else a time, or how long from now, such as 30s."""

    by: str
    approved_by: tuple[str, ...]
    why: str
    when: str | None
    dry_run: bool
    as_json: bool


def show_recipes(settings: Settings, plant: str | None, line: str | None, sku: str | None, as_json: bool) -> None:
    """What is in force now and what will be, by scope. CallerError for a scope that never had a recipe."""
    found, now = asyncio.run(history(settings)), now_ms()
    scopes = _matching(found, plant, line, sku)
    if as_json:
        print(json.dumps([_state(found, scope, now) for scope in scopes], indent=2))
        return
    ui = Ui(Console())
    if not scopes:
        ui.say("There is no recipe yet: `lineside recipe set` makes the first.")
    for scope in scopes:
        current = found.in_force(scope, now)
        title = f"{scope}: " + (f"version {current.version}" if current else "nothing in force yet")
        ui.table(title, _rows(current) if current else [])
        for later in found.scheduled(scope, now):
            ui.say(f"from {_time(later.effective_at)} on: version {later.version} with {later.model_id}")


def show_history(settings: Settings, scope: Scope, as_json: bool) -> None:
    """All recipes of a scope, oldest first, with what each changed."""
    found = asyncio.run(history(settings))
    entries = _known(found, scope)
    if as_json:
        print(json.dumps([_json(entry) for entry in entries], indent=2))
        return
    table = Table(title=f"Recipes of {scope}", title_justify="left")
    for name in ("version", "from", "by", "reason", "changed"):
        table.add_column(name)
    before: Recipe | None = None
    for entry in entries:
        recipe, told = entry.recipe, "takes no effect"
        if entry.takes_effect:
            told = "; ".join(_told(*change) for change in differences(before, recipe)) if before else "the first"
            before = recipe
        by = ", ".join((recipe.author, *recipe.approved_by))
        texts = (str(recipe.version), _time(recipe.effective_at), by, recipe.reason, told or "nothing")
        table.add_row(*(escape(safe(text)) for text in texts))
    Console().print(table)


def show_difference(settings: Settings, scope: Scope, a: int, b: int, as_json: bool) -> None:
    """What version b has otherwise than a. CallerError for a version that never took effect."""
    found = asyncio.run(history(settings))
    old, new = (_version(found, scope, version) for version in (a, b))
    changes = differences(old, new)
    if as_json:
        print(json.dumps([{"field": n, "before": plain(x), "after": plain(y)} for n, x, y in changes], indent=2))
        return
    ui = Ui(Console())
    ui.table(f"{scope}: version {a} → {b}", [(name, f"{_shown(x)} → {_shown(y)}") for name, x, y in changes])
    if not changes:
        ui.say("They ask for the same.")


def set_recipe(settings: Settings, scope: Scope, wish: Wish, asked: Asked) -> None:
    """Check a wish, audit it, publish it, and wait until it was read back."""
    recipe, before = wished(settings, scope, wish, asked)
    publish_recipe(settings, recipe, before, "recipe.set", asked)


def wished(settings: Settings, scope: Scope, wish: Wish, asked: Asked) -> tuple[Recipe, Recipe | None]:
    """The recipe of a wish, checked, and the one before it. CallerError for what can't be obeyed."""
    found, book = asyncio.run(_read(settings))
    now, before = now_ms(), found.newest(scope)
    by = signed(settings, asked, now)
    models = facts(settings, book, models_needed(found, scope, wish), before)
    return recipe_of(found, scope, wish, by, models, now), before


def revert_recipe(settings: Settings, scope: Scope, version: int | None, asked: Asked) -> None:
    """A former version's content as a new version, if that can still be obeyed."""
    found, book = asyncio.run(_read(settings))
    now = now_ms()
    recipe = reverted(found, scope, version, signed(settings, asked, now), now)
    check(recipe, facts(settings, book, named_by(recipe), None), now)
    publish_recipe(settings, recipe, found.newest(scope), "recipe.revert", asked)


def parse_when(text: str | None, now: datetime) -> datetime:
    """A time (local without zone), or how long from now such as 30s or 2h; to the millisecond. CallerError else."""
    if text is None:
        return now + FIRST
    if match := AGO.fullmatch(text.removeprefix("in ")):
        return now + timedelta(seconds=int(match[1]) * SECONDS[match[2]])
    try:
        at = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise CallerError(
            f"--from needs a time such as 2026-03-01T12:00Z, or 30s or 2h from now; came {text!r:.80}"
        ) from None
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


async def _read(settings: Settings) -> tuple[History, Book]:
    return await asyncio.gather(history(settings), released(settings))


def facts(settings: Settings, book: Book, names: Sequence[str], before: Recipe | None) -> Mapping[str, ModelFacts]:
    """Of all models named. A former one that was never released, or is gone from here, says nothing."""
    store = settings.model_store_dir
    found = {name: facts_of(known_release(book, name), store) for name in names}
    if before and before.model_id not in found and (release := book.get(before.model_id)):
        found[before.model_id] = facts_of(release, store)
    return found


def signed(settings: Settings, asked: Asked, now: datetime) -> Signed:
    """Who stands behind it; CallerError where others must too."""
    by = Signed(asked.by, asked.why, parse_when(asked.when, now), asked.approved_by)
    approvals_lacking(by, settings.recipe_approvals)
    return by


def publish_recipe(
    settings: Settings,
    recipe: Recipe,
    before: Recipe | None,
    action: str,
    asked: Asked,
    evidence: Mapping[str, Any] | None = None,
) -> None:
    """Publish it, unless it is tried only, and say what changes. `evidence` goes into the audit log."""
    if not asked.dry_run:
        asyncio.run(publish(settings, recipe, before, action, evidence))
    if asked.as_json:
        print(json.dumps(plain(recipe) | {"published": not asked.dry_run}, indent=2))
        return
    ui = Ui()
    changes = differences(before, recipe)
    ui.table(
        f"{scope_of(recipe)}: version {recipe.version}", [(n, f"{_shown(x)} → {_shown(y)}") for n, x, y in changes]
    )
    verb = "would be" if asked.dry_run else "is"
    ui.say(f"Version {recipe.version} {verb} in force from {_time(recipe.effective_at)} on.")


def _matching(found: History, plant: str | None, line: str | None, sku: str | None) -> list[Scope]:
    wanted = {"plant": plant, "line": line, "sku": sku}
    scopes = [s for s in found.scopes() if all(v is None or getattr(s, name) == v for name, v in wanted.items())]
    if not scopes and any(wanted.values()):
        known = "; ".join(map(str, found.scopes())) or "none so far"
        raise CallerError(f"no recipe of that plant, line and SKU; there are: {known}")
    return scopes


def _known(found: History, scope: Scope) -> list[Published]:
    if not (entries := found.of(scope)):
        _matching(found, scope.plant, scope.line, scope.sku)
    return entries


def _version(found: History, scope: Scope, version: int) -> Recipe:
    entries = _known(found, scope)
    if (recipe := found.version(scope, version)) is None:
        known = ", ".join(str(entry.recipe.version) for entry in entries if entry.takes_effect) or "none"
        raise CallerError(f"{scope} has no version {version} that took effect; there are: {known}")
    return recipe


def _state(found: History, scope: Scope, now: datetime) -> dict[str, Any]:
    current = found.in_force(scope, now)
    scheduled = [plain(recipe) for recipe in found.scheduled(scope, now)]
    place = {"plant": scope.plant, "line": scope.line, "sku": scope.sku}
    return {**place, "in_force": plain(current) if current else None, "scheduled": scheduled}


def _json(entry: Published) -> dict[str, Any]:
    said: dict[str, Any] = plain(entry.recipe)
    return said | {"published_at": plain(entry.published_at), "takes_effect": entry.takes_effect}


def _rows(recipe: Recipe) -> list[tuple[str, str]]:
    limits = ", ".join(f"{label} {limit:g}" for label, limit in recipe.thresholds.items())
    told = [(name.replace("_", " "), _shown(getattr(recipe, name))) for name in ROWS]
    return [("in force from", _time(recipe.effective_at)), ("thresholds", safe(limits)), *told]


def _told(name: str, before: Any, after: Any) -> str:
    return f"{name} {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, Canary):
        limits = ", ".join(f"{label} {limit:g}" for label, limit in value.thresholds.items())
        return safe(f"{value.model_id} for {100 * value.share:g} % of the parts ({limits})")
    if isinstance(value, tuple):
        return safe(", ".join(map(str, value)))
    return f"{value:g}" if isinstance(value, float) else safe(str(value))


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
