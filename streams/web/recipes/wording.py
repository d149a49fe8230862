"""Recipes in words: names of fields, values, differences, what a model can do. Pure; times are arguments."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from schemas.records import Canary, Fallback, Precision, Recipe
from streams.inspection.decide import ANY_DEFECT
from streams.inspection.recipes import ANY_SKU
from streams.recipes.history import History, Published, Scope
from streams.recipes.wishes import differences
from streams.registry.book import Book, Release
from streams.web.dashboard.wording import printable
from streams.web.i18n import Texts

THRESHOLD = "threshold "  # what the names of such differences begin with
ARROW = "\N{RIGHTWARDS ARROW}"
RATES = ("escape", "overkill")
FACTS = ("late_action", "error_action", "part_timeout_ms", "shadow_model_id", "canary", "device", "precision")

Difference = tuple[str, Any, Any]
"""A field of a recipe, its former value and its new one."""


def scope_name(t: Texts, scope: Scope) -> str:
    """The product that a recipe is for."""
    return t("any_sku") if scope.sku == ANY_SKU else t("sku", sku=printable(scope.sku))


def line_name(scope: Scope) -> str:
    return printable(f"{scope.plant} / {scope.line}")


def field_name(t: Texts, name: str) -> str:
    """Of a recipe's field, or of one threshold."""
    if name.startswith(THRESHOLD):
        return t("limit_of", defect=defect_name(t, name.removeprefix(THRESHOLD)))
    return t(f"field_{name}")


def defect_name(t: Texts, label: str) -> str:
    return t("any_defect") if label == ANY_DEFECT else printable(label)


def value_text(t: Texts, name: str, value: Any) -> str:
    """A value as people say it, with its unit."""
    if value is None or value == "":
        return t("none")
    if name == "part_timeout_ms":
        return f"{t.number(value)}\N{NO-BREAK SPACE}ms"
    if name == "mode":
        return t(f"mode_name_{value}")
    if isinstance(value, Fallback):
        return t("unknown" if value is Fallback.UNKNOWN else f"state_{value}")
    if value is Precision.UNKNOWN or (name == "device" and value == "auto"):
        return t("left_to_the_worker")
    if isinstance(value, Canary):
        return t("canary_of", model=printable(value.model_id), share=t.percent(value.share))
    if isinstance(value, float):
        return share_text(t, value)
    return printable(value.value if isinstance(value, StrEnum) else str(value))


def share_text(t: Texts, value: float) -> str:
    """A threshold or band with as many decimals as it has, two at least."""
    text = f"{value:.6f}".rstrip("0")
    return t.number(value, max(2, len(text.partition(".")[2])))


def limits_text(t: Texts, thresholds: Mapping[str, float]) -> list[tuple[str, str]]:
    """Thresholds by defect, all together last."""
    order = sorted(thresholds, key=lambda label: (label == ANY_DEFECT, label))
    return [(defect_name(t, label), share_text(t, thresholds[label])) for label in order]


def told(t: Texts, change: Difference) -> str:
    """One difference in a line."""
    name, before, after = change
    what = value_text(t, name, before)
    return f"{field_name(t, name)} {what} {ARROW} {value_text(t, name, after)}"


def people_text(recipe: Recipe) -> str:
    """Who stands behind a recipe, the author first."""
    return ", ".join(printable(name) for name in (recipe.author, *recipe.approved_by))


def model_text(t: Texts, release: Release) -> str:
    """A released model with what it was found to do: `flange-41 · escape 0.8 %, overkill 1.2 %`."""
    said = ", ".join(f"{t(rate)} {t.percent(value)}" for rate, value in rates_of(release).items())
    return f"{printable(release.first.model_id)} · {said or t('no_figures')}"


def rates_of(release: Release) -> dict[str, float]:
    return {name: release.first.metrics[name] for name in RATES if name in release.first.metrics}


def model_facts(t: Texts, release: Release, now: datetime) -> list[tuple[str, str]]:
    """All that was measured of a model before its release, and who released it."""
    record = release.first
    said = [
        (t("classes"), printable(", ".join(record.classes))),
        *((printable(name.replace("_", " ")), t.number(value, 4)) for name, value in sorted(record.metrics.items())),
        (t("products"), printable(", ".join(record.skus)) or t("all_products")),
        (t("released"), f"{t.time(release.first_at, now, seconds=False)}, {printable(record.released_by)}"),
    ]
    lacking = json.loads(record.evidence or "{}").get("shortfalls", ())
    if lacking or record.evidence is None:
        said.append((t("falls_short"), printable("; ".join(map(str, lacking))) or t("no_evidence")))
    return said


def versions(t: Texts, entries: Iterable[Published]) -> list[tuple[Published, str]]:
    """The history of a scope, the newest first, each with what it changed."""
    found, before = list[tuple[Published, str]](), None
    for entry in entries:
        if not entry.takes_effect:
            found.append((entry, t("takes_no_effect")))
            continue
        changes = "; ".join(told(t, change) for change in differences(before, entry.recipe)) if before else t("first")
        found.append((entry, changes or t("same_as_before")))
        before = entry.recipe
    return found[::-1]


def state_of(history: History, book: Book, scope: Scope, at: datetime) -> tuple[object, ...]:
    """What a card depends on: the recipe in force and its model, those that will be, how many there ever were."""
    current = history.in_force(scope, at)
    release = book.get(current.model_id) if current else None
    return current, release, tuple(history.scheduled(scope, at)), len(history.of(scope))
