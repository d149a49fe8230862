"""A card a product of a line: the recipe in force, what will be, and all that was, each with its differences.

Place in the flow: the page lays the cards out; what a press of a button does, it decides. Publishes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from nicegui import ui

from schemas.records import Mode, Recipe
from streams.recipes.history import History, Scope
from streams.recipes.wishes import differences
from streams.registry.book import Book
from streams.web.dashboard.wording import printable
from streams.web.i18n import Texts
from streams.web.recipes.wording import (
    FACTS,
    field_name,
    limits_text,
    model_text,
    people_text,
    scope_name,
    share_text,
    told,
    value_text,
    versions,
)
from streams.web.widgets import button


@dataclass(frozen=True, slots=True)
class Actions:
    """What a card's buttons do; None for a page that may only be read. `opened`: whose history is unfolded."""

    change: Callable[[Scope], None] | None
    bring_back: Callable[[Scope, int], None] | None
    opened: set[Scope]


def scope_card(t: Texts, scope: Scope, history: History, book: Book, now: datetime, actions: Actions) -> None:
    """The whole card, in the present slot."""
    current, scheduled = history.in_force(scope, now), history.scheduled(scope, now)
    with ui.element("article").classes("ls-card rc-card") as card:
        card.props["data-scope"] = f"{scope.plant}/{scope.line}/{scope.sku}"
        with ui.element("header"):
            with ui.element("h3"):
                ui.label(scope_name(t, scope)).classes("ls-text")
            if current is not None:
                _mode(t, current.mode)
        if current is None:
            ui.label(t("nothing_in_force" if scheduled else "no_recipe_yet")).classes("ls-muted")
        else:
            _current(t, current, book, now)
        for later in scheduled:
            _later(t, later, current, now)
        if actions.change is not None:
            change = actions.change
            with ui.element("div").classes("ls-row"):
                button(t("change"), lambda: change(scope))
        _history(t, scope, history, now, actions)


def _mode(t: Texts, mode: Mode) -> None:
    made = ui.label(t(f"mode_name_{mode}")).classes(f"rc-mode rc-{mode}")
    made.props["title"] = t(f"mode_what_{mode}")


def _current(t: Texts, recipe: Recipe, book: Book, now: datetime) -> None:
    release = book.get(recipe.model_id)
    model = model_text(t, release) if release else f"{printable(recipe.model_id)} · {t('never_released')}"
    ui.label(model).classes("rc-model-name ls-text")
    with ui.element("dl").classes("rc-limits-shown"):
        for name, limit in limits_text(t, recipe.thresholds):
            _fact(name, limit)
        _fact(t("field_unsure_band"), share_text(t, recipe.unsure_band))
    with ui.element("dl").classes("rc-facts"):
        for field in FACTS:
            _fact(field_name(t, field), value_text(t, field, getattr(recipe, field)))
    by = {"version": recipe.version, "at": t.time(recipe.effective_at, now), "people": people_text(recipe)}
    ui.label(t("since_by", **by)).classes("ls-muted ls-small ls-text")
    ui.label(t("why", reason=printable(recipe.reason))).classes("ls-small ls-text")


def _later(t: Texts, later: Recipe, current: Recipe | None, now: datetime) -> None:
    changes = "; ".join(told(t, change) for change in differences(current, later)) if current else later.model_id
    with ui.element("div").classes("rc-later"):
        with ui.element("strong"):
            ui.label(t("from_on", at=t.time(later.effective_at, now), version=later.version))
        ui.label(printable_changes(changes) or t("same_as_before")).classes("ls-text")
        ui.label(f"{people_text(later)}: {printable(later.reason)}").classes("ls-muted ls-small ls-text")


def printable_changes(text: str) -> str:
    """Differences are made of texts that were cut already; only the whole is bounded here."""
    return text if len(text) <= 600 else text[:600] + "…"


def _history(t: Texts, scope: Scope, history: History, now: datetime, actions: Actions) -> None:
    entries = versions(t, history.of(scope))
    if not entries:
        return
    with ui.element("details").classes("rc-history") as unfolded:
        unfolded.props.set_bool("open", scope in actions.opened)
        with ui.element("summary") as summary:
            ui.label(t("history_n", n=len(entries)))
        summary.on("click", lambda: actions.opened.symmetric_difference_update({scope}))
        with ui.element("ol"):
            newest, back = history.newest(scope), actions.bring_back
            for entry, changes in entries:
                with ui.element("li"):
                    _entry(t, entry.recipe, printable_changes(changes), now)
                    if back is not None and entry.takes_effect and entry.recipe is not newest:
                        version = entry.recipe.version
                        made = button(t("bring_back"), partial(back, scope, version), "quiet")
                        made.props["aria-label"] = t("bring_back_version", version=version)


def _entry(t: Texts, recipe: Recipe, changes: str, now: datetime) -> None:
    with ui.element("div").classes("rc-entry"):
        with ui.element("strong"):
            ui.label(t("version_n", n=recipe.version))
        ui.label(t.time(recipe.effective_at, now)).classes("ls-muted ls-small")
        ui.label(changes).classes("ls-text")
        ui.label(f"{people_text(recipe)}: {printable(recipe.reason)}").classes("ls-muted ls-small ls-text")


def _fact(name: str, value: str) -> None:
    with ui.element("div"):
        with ui.element("dt"):
            ui.label(name)
        with ui.element("dd"):
            ui.label(value).classes("ls-text")
