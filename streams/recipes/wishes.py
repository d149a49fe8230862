"""What a person wants of a recipe, checked, as the recipe to publish. Pure: history, model and time are arguments.

Place in the flow: between the command line or page and the topic `recipes`. A wish says what shall be different; the
rest stays as in the newest recipe of the scope, or is the model's own. Everything that a worker could not obey is
refused here, in one sentence. Knows no Kafka and no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

from schemas.records import Fallback, Mode, Precision, Recipe
from streams.errors import CallerError
from streams.inspection.decide import ANY_DEFECT
from streams.inspection.limits import check_texts
from streams.inspection.recipes import ANY_SKU, NOTICE
from streams.recipes.history import History, Scope
from streams.topics import KEY_PART

MARGIN = timedelta(seconds=1)  # between our clock, the broker's, and the time that publishing takes
FIRST = timedelta(seconds=10)  # from now, where nobody says when
PART_TIMEOUT_MS = (1, 3_600_000)
CHANGED = ("mode", "model_id", "shadow_model_id", "thresholds", "unsure_band", "late_action", "error_action",
           "device", "precision", "part_timeout_ms")  # fmt: skip


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


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be different; None: as it was. `thresholds` are laid over those that hold."""

    model_id: str | None = None
    shadow_model_id: str | None = None
    """Empty: no shadow model any more."""
    mode: Mode | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    unsure_band: float | None = None
    late_action: Fallback | None = None
    error_action: Fallback | None = None
    device: str | None = None
    precision: Precision | None = None
    part_timeout_ms: int | None = None
    other_classes: bool = False
    """The new model may know other classes than the one before."""


@dataclass(frozen=True, slots=True)
class Signed:
    """Who wants it, who agrees, why, and from when on."""

    author: str
    reason: str
    effective_at: datetime
    approved_by: tuple[str, ...] = ()


def recipe_of(
    history: History, scope: Scope, wish: Wish, signed: Signed, models: Mapping[str, ModelFacts], now: datetime
) -> Recipe:
    """The recipe to publish. `models` holds the released ones that the wish or the newest recipe names to decide.

    CallerError, with what to do, for what can't be obeyed.
    """
    before = history.newest(scope)
    model_id = wish.model_id or (before.model_id if before else None)
    if model_id is None:
        raise CallerError(f"{scope} has no recipe yet: name its model with --model; `lineside models list` shows them")
    model = models[model_id]
    _check_classes(model, models.get(before.model_id) if before else None, wish)
    wanted = Recipe(
        plant=scope.plant,
        line=scope.line,
        sku=scope.sku,
        version=history.next_version(scope.plant, scope.line),
        model_id=model_id,
        thresholds=_thresholds(model, before, wish),
        author=signed.author,
        reason=signed.reason,
        approved_by=signed.approved_by,
        created_at=now,
        effective_at=signed.effective_at,
        **_rest(model, before, wish),
    )
    check(wanted, model, now)
    return wanted


def reverted(history: History, scope: Scope, version: int | None, signed: Signed, now: datetime) -> Recipe:
    """The content of a former version, by default of the one before the newest, as a new version.

    CallerError where there is none.
    """
    taken = [entry.recipe for entry in history.of(scope) if entry.takes_effect]
    if version is None:
        if len(taken) < 2:
            raise CallerError(f"{scope} has {len(taken)} recipes: there is none to go back to")
        newest = history.newest(scope)
        version = next(r.version for r in reversed(taken) if r is not newest)
    if (former := history.version(scope, version)) is None:
        known = ", ".join(str(recipe.version) for recipe in taken) or "none"
        raise CallerError(f"{scope} has no version {version} that took effect; there are: {known}")
    return replace(
        former,
        version=history.next_version(scope.plant, scope.line),
        author=signed.author,
        reason=signed.reason,
        approved_by=signed.approved_by,
        created_at=now,
        effective_at=signed.effective_at,
    )


def check(recipe: Recipe, model: ModelFacts, now: datetime) -> None:
    """CallerError for a recipe that no worker could obey."""
    _check_scope(recipe)
    _check_time(recipe.effective_at, now)
    if model.retired:
        raise CallerError(
            f"{model.model_id} is retired: no recipe may name it; `lineside models list` shows the others"
        )
    if model.skus and recipe.sku not in (*model.skus, ANY_SKU):
        raise CallerError(f"{model.model_id} was released for {', '.join(model.skus)}, not for {recipe.sku}")
    unknown = sorted(set(recipe.thresholds) - model.defects - {ANY_DEFECT})
    if unknown:
        raise CallerError(
            f"{model.model_id} has no defect {', '.join(map(repr, unknown))}; its defects are "
            f"{', '.join(sorted(model.defects))}, and '*' is the sum of all"
        )
    if unset := sorted(model.defects - set(recipe.thresholds)):
        raise CallerError(f"{', '.join(unset)} of {model.model_id} has no threshold: give --threshold {unset[0]}=0.5")
    for name, value in (*recipe.thresholds.items(), ("the unsure band", recipe.unsure_band)):
        if not (math.isfinite(value) and 0 <= value <= 1) or (name in recipe.thresholds and value == 0):
            raise CallerError(f"{name}: expected a number above 0 and at most 1, came {value:g}")
    low, high = PART_TIMEOUT_MS
    if not low <= recipe.part_timeout_ms <= high:
        raise CallerError(f"part_timeout_ms must be {low} to {high}; came {recipe.part_timeout_ms}")
    if not recipe.reason.strip():
        raise CallerError("a recipe needs a reason: give --why")
    try:
        check_texts((f.name, v) for f in fields(recipe) if isinstance(v := getattr(recipe, f.name), str))
    except ValueError as error:
        raise CallerError(str(error)) from error


def approvals_lacking(signed: Signed, needed: int) -> None:
    """CallerError where fewer different people than `needed` stand behind it, the author among them."""
    people = {signed.author, *signed.approved_by}
    if len(people) < needed:
        raise CallerError(
            f"a recipe takes {needed} different people; came {', '.join(sorted(people))}: others must agree too "
            "(--approved-by names them)"
        )


def differences(before: Recipe | None, after: Recipe) -> list[tuple[str, Any, Any]]:
    """What is different: field, its former value, its new one. Thresholds one by one."""
    found = list[tuple[str, Any, Any]]()
    for name in CHANGED:
        old, new = (getattr(before, name) if before else None), getattr(after, name)
        if name == "thresholds":
            was = dict(old or {})
            labels = [*was, *(label for label in new if label not in was)]
            pairs = [(f"threshold {label}", was.get(label), new.get(label)) for label in labels]
            found += [pair for pair in pairs if pair[1] != pair[2]]
        elif old != new:
            found.append((name, old, new))
    return found


def parsed_thresholds(texts: Iterable[str]) -> dict[str, float]:
    """`CLASS=LIMIT` as limits by class; CallerError for another form, or a class that comes twice."""
    found: dict[str, float] = {}
    for text in texts:
        label, _, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not label or label in found or not math.isfinite(value):
            raise CallerError(f"--threshold needs CLASS=LIMIT, each class once, such as scratch=0.6; came {text!r:.80}")
        found[label] = value
    return found


def _thresholds(model: ModelFacts, before: Recipe | None, wish: Wish) -> dict[str, float]:
    """The wish over what held, or over the model's own where the model is another one."""
    kept: Mapping[str, float] = model.thresholds
    if before is not None and before.model_id == model.model_id:
        kept = before.thresholds
    return {**kept, **wish.thresholds}


def _rest(model: ModelFacts, before: Recipe | None, wish: Wish) -> dict[str, Any]:
    first: dict[str, Any] = {
        "mode": Mode.ADVISE,
        "shadow_model_id": None,
        "late_action": Fallback.NOT_INSPECTED,
        "error_action": Fallback.NOT_INSPECTED,
        "device": "auto",
        "precision": Precision.UNKNOWN,
        "part_timeout_ms": 5_000,
    }
    kept = {name: getattr(before, name) if before else value for name, value in first.items()}
    wished = {name: value for name in first if (value := getattr(wish, name, None)) is not None}
    band = wish.unsure_band
    if band is None:
        band = before.unsure_band if before and before.model_id == model.model_id else model.unsure_band
    shadow = kept["shadow_model_id"] if wish.shadow_model_id is None else wish.shadow_model_id or None
    return kept | wished | {"shadow_model_id": shadow, "unsure_band": band}


def _check_classes(model: ModelFacts, known: ModelFacts | None, wish: Wish) -> None:
    if known and set(known.classes) != set(model.classes) and not wish.other_classes:
        raise CallerError(
            f"{model.model_id} knows {_listed(model.classes)}, {known.model_id} before it {_listed(known.classes)}: "
            "say --other-classes if that is meant; stations and integrations will see other labels"
        )


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


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
