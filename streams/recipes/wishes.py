"""What a person wants of a recipe, checked, as the recipe to publish. Pure: history, model and time are arguments.

Place in the flow: between the command line or page and the topic `recipes`. A wish says what shall be different; the
rest stays as in the newest recipe of the scope, or is the model's own. Everything that a worker could not obey is
refused here, in one sentence. Knows no Kafka and no file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from schemas.records import Canary, Fallback, Mode, Precision, Recipe
from streams.errors import CallerError
from streams.recipes.checks import ModelFacts, check
from streams.recipes.history import History, Scope

FIRST = timedelta(seconds=10)  # from now, where nobody says when
NO_MODEL = ""  # in a wish: no shadow, no canary
CHANGED = ("mode", "model_id", "shadow_model_id", "canary", "thresholds", "unsure_band", "late_action", "error_action",
           "device", "precision", "part_timeout_ms")  # fmt: skip


@dataclass(frozen=True, slots=True)
class CanaryWish:
    """A model for a share of the parts, or NO_MODEL; `thresholds` are laid over its own."""

    model_id: str
    share: float = 0.0
    thresholds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wish:
    """What shall be different; None: as it was. `thresholds` are laid over those that hold.

    A shadow NO_MODEL: none any more.
    """

    model_id: str | None = None
    shadow_model_id: str | None = None
    canary: CanaryWish | None = None
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
    """The recipe to publish. `models` holds those of `models_needed`.

    CallerError, with what to do, for what can't be obeyed.
    """
    before = history.newest(scope)
    model_id = _model_id(before, scope, wish)
    model = models[model_id]
    canary = _canary(model_id, models, before, wish)
    for decider in (model_id, *([canary.model_id] if canary else [])):
        _check_classes(models[decider], models.get(before.model_id) if before else None, wish)
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
        shadow_model_id=_shadow(model_id, before, wish),
        canary=canary,
        **_rest(model, before, wish),
    )
    check(wanted, models, now)
    return wanted


def models_needed(history: History, scope: Scope, wish: Wish) -> tuple[str, ...]:
    """The released models that the recipe of this wish will name: each must be known to make it."""
    before = history.newest(scope)
    model_id = _model_id(before, scope, wish)
    held = wish.canary.model_id if wish.canary else before.canary.model_id if before and before.canary else None
    names = (model_id, held, _shadow(model_id, before, wish))
    return tuple(dict.fromkeys(name for name in names if name))


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
    return kept | wished | {"unsure_band": band}


def _model_id(before: Recipe | None, scope: Scope, wish: Wish) -> str:
    if model_id := wish.model_id or (before.model_id if before else None):
        return model_id
    raise CallerError(f"{scope} has no recipe yet: name its model with --model; `lineside models list` shows them")


def _shadow(model_id: str, before: Recipe | None, wish: Wish) -> str | None:
    """A model that is in force is its own shadow no more."""
    wished = wish.shadow_model_id
    shadow = (before.shadow_model_id if before else None) if wished is None else wished
    if wished and wished == model_id:
        raise CallerError(f"{model_id} decides already: as its own shadow it would tell nothing")
    return None if shadow in (NO_MODEL, model_id) else shadow


def _canary(model_id: str, models: Mapping[str, ModelFacts], before: Recipe | None, wish: Wish) -> Canary | None:
    """What is wished, else what was; a model that is in force is its own canary no more."""
    wished = wish.canary
    if wished is None:
        held = before.canary if before else None
        return None if held and held.model_id == model_id else held
    if wished.model_id == model_id:
        raise CallerError(f"{model_id} decides about all parts already: a canary must be another model")
    if wished.model_id == NO_MODEL:
        return None
    own = models[wished.model_id]
    limits = {**own.thresholds, **wished.thresholds}
    return Canary(model_id=own.model_id, share=wished.share, thresholds=limits, unsure_band=own.unsure_band)


def _check_classes(model: ModelFacts, known: ModelFacts | None, wish: Wish) -> None:
    if known and set(known.classes) != set(model.classes) and not wish.other_classes:
        raise CallerError(
            f"{model.model_id} knows {_listed(model.classes)}, {known.model_id} before it {_listed(known.classes)}: "
            "say --other-classes if that is meant; stations and integrations will see other labels"
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
