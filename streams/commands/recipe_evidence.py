"""`lineside recipe compare|promote`: what a shadow said beside what was decided, and its way into force."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from rich.console import Console

from schemas.records import Outcome, Recipe, ReworkOutcome, ShadowCompared
from streams.bus.present import records_of
from streams.commands.models import read as released
from streams.commands.recipe import Asked, facts, publish_recipe, signed
from streams.commands.ui import Ui
from streams.downstream.rework.link import now_ms
from streams.downstream.sampling.estimates import effective
from streams.downstream.shadow.evidence import LEAST_PAIRS, MOST_MORE_REJECTS, Evidence, evidence, lacking
from streams.errors import CallerError
from streams.recipes.checks import ModelFacts
from streams.recipes.history import History, Scope
from streams.recipes.publishing import history
from streams.recipes.wishes import Wish, models_needed, recipe_of
from streams.registry.book import Book
from streams.settings import Settings
from streams.topics import OUTCOMES, SHADOW

GOOD = "good"  # the label of good parts where no model says otherwise
SHOWN = (Outcome.OK, Outcome.UNSURE, Outcome.NG, Outcome.ERROR)


@dataclass(frozen=True, slots=True)
class Terms:
    """Which pairs count, and what they must show."""

    since: timedelta
    model_id: str | None = None  # None: the shadow of the newest recipe
    least_pairs: int = LEAST_PAIRS
    most_more_rejects: float = MOST_MORE_REJECTS


def compare_shadow(settings: Settings, scope: Scope, terms: Terms, as_json: bool) -> None:
    """Show what the pairs say, and what they lack for a promotion. CallerError where there is no shadow."""
    found, book = asyncio.run(_read(settings))
    said = _evidence(settings, found, book, scope, terms)
    why = lacking(said, terms.least_pairs, terms.most_more_rejects)
    if as_json:
        print(json.dumps(said.to_json() | {"lacking": why}, indent=2))
        return
    ui = Ui(Console())
    ui.table(f"{said.model_id} beside {', '.join(said.beside) or 'nothing'}: {scope}", _rows(said))
    for sentence in why:
        ui.say(f"Not enough to put it in force: {sentence}.")
    if not why:
        ui.say("Enough to put it in force: `lineside recipe promote`.")


def promote_shadow(settings: Settings, scope: Scope, terms: Terms, anyway: bool, asked: Asked) -> None:
    """Put the shadow in force, with what it showed in the audit log.

    CallerError where that is not enough, unless `anyway`: the reason must say why then.
    """
    found, book = asyncio.run(_read(settings))
    said = _evidence(settings, found, book, scope, terms)
    why = lacking(said, terms.least_pairs, terms.most_more_rejects)
    if why and not anyway:
        raise CallerError(
            f"{said.model_id} is not put in force: {'; '.join(why)}. `lineside recipe compare` shows it; with --anyway "
            "and --why it is done all the same"
        )
    now, wish = now_ms(), Wish(model_id=said.model_id, other_classes=anyway)
    before = found.newest(scope)
    models = facts(settings, book, models_needed(found, scope, wish), before)
    recipe = recipe_of(found, scope, wish, signed(settings, asked, now), models, now)
    publish_recipe(settings, recipe, before, "recipe.promote", asked, said.to_json() | {"lacking": why})


def _evidence(settings: Settings, found: History, book: Book, scope: Scope, terms: Terms) -> Evidence:
    newest = found.newest(scope)
    model_id = terms.model_id or (newest.shadow_model_id if newest else None)
    if newest is None or model_id is None:
        raise CallerError(f"{scope} has no shadow: `lineside recipe set --shadow MODEL` names one, or --model here")
    pairs, outcomes = asyncio.run(_events(settings, now_ms() - terms.since))
    decisions = effective(outcomes)
    known = facts(settings, book, [name for name in (newest.model_id, model_id) if book.get(name)], None)
    return evidence(_of(pairs, found, newest), decisions, _good(known.values()), model_id)


def _of(pairs: Sequence[ShadowCompared], found: History, newest: Recipe) -> list[ShadowCompared]:
    """Those of the scope: their live verdict's recipe was one of it."""
    mine = []
    for pair in pairs:
        live = pair.live
        recipe = found.book.in_force(live.plant, live.line, live.sku, live.source_timestamp)
        same = recipe and (recipe.plant, recipe.line, recipe.sku) == (newest.plant, newest.line, newest.sku)
        mine += [pair] if same else []
    return mine


def _good(models: Any) -> frozenset[str]:
    classes: list[ModelFacts] = list(models)
    return frozenset(name for model in classes for name in set(model.classes) - model.defects) | {GOOD}


async def _read(settings: Settings) -> tuple[History, Book]:
    return await asyncio.gather(history(settings), released(settings))


async def _events(settings: Settings, since: datetime) -> tuple[list[ShadowCompared], list[ReworkOutcome]]:
    pairs, outcomes = await asyncio.gather(records_of(settings, SHADOW, since), records_of(settings, OUTCOMES, since))
    return pairs, outcomes


def _rows(said: Evidence) -> list[tuple[str, str]]:
    changes = ", ".join(
        f"{live} → {shadow} {count}"
        for live in SHOWN
        for shadow in SHOWN
        if live != shadow and (count := said.matrix.get((live, shadow), 0))
    )
    return [
        ("pairs", f"{said.pairs}, decided alike {said.alike}"),
        ("otherwise", changes or "none"),
        ("known parts", str(said.known)),
        ("escapes of one alone", _split(said.escapes.live_only, said.escapes.shadow_only, said.escapes.p)),
        ("overkill of one alone", _split(said.overkills.live_only, said.overkills.shadow_only, said.overkills.p)),
        ("rejected, would pass, unknown", str(said.freed)),
        ("passed, would be rejected, not known bad", str(said.more_rejected)),
    ]


def _split(live: int, shadow: int, p: float | None) -> str:
    return f"in force {live}, shadow {shadow}" + (f", p {p:.3g}" if p is not None else "")
