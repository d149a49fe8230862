"""What a person wants of a recipe: what becomes of it, and what is refused with which sentence."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from schemas.records import Canary, Fallback, Mode, Precision, Recipe
from streams.errors import CallerError
from streams.inspection.recipes import NOTICE
from streams.recipes.checks import ModelFacts
from streams.recipes.history import History, Scope
from streams.recipes.wishes import (
    NO_MODEL,
    CanaryWish,
    Signed,
    Wish,
    approvals_lacking,
    differences,
    models_needed,
    parsed_thresholds,
    recipe_of,
    reverted,
)
from tests.builders import recipe

NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
SCOPE = Scope("p1", "l1", "A")
OLD = ModelFacts("m1", ("good", "scratch", "dent"), frozenset({"scratch", "dent"}), {"scratch": 0.5, "dent": 0.4}, 0.1)
NEW = ModelFacts(
    "m2", ("good", "scratch", "dent"), frozenset({"scratch", "dent"}), {"scratch": 0.7, "dent": 0.6, "*": 0.9}, 0.05
)
WIDER = ModelFacts("m3", ("good", "scratch", "pore"), frozenset({"scratch", "pore"}), {"scratch": 0.5, "pore": 0.5}, 0)
MODELS = {model.model_id: model for model in (OLD, NEW, WIDER)}


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def signed(seconds: float = 60, **changes: Any) -> Signed:
    return Signed(**{"author": "ana", "reason": "why not", "effective_at": at(seconds), **changes})


def with_one(**changes: Any) -> History:
    found = History()
    first = recipe(sku="A", model_id="m1", thresholds={"scratch": 0.55, "dent": 0.4}, effective_at=at(-50), **changes)
    assert found.take(first, at(-100)).takes_effect
    return found


def wished(wish: Wish, history: History | None = None, scope: Scope = SCOPE, **changes: Any) -> Recipe:
    return recipe_of(history or with_one(), scope, wish, signed(**changes), MODELS, NOW)


def test_the_first_recipe_of_a_line_is_the_models_own_and_only_advises() -> None:
    made = wished(Wish(model_id="m2"), History())
    assert (made.version, made.mode, made.thresholds, made.unsure_band) == (1, Mode.ADVISE, NEW.thresholds, 0.05)
    assert (made.late_action, made.precision, made.part_timeout_ms) == (Fallback.NOT_INSPECTED, Precision.UNKNOWN, 5000)
    assert (made.author, made.created_at, made.effective_at) == ("ana", NOW, at(60))


def test_what_is_not_wished_stays() -> None:
    made = wished(Wish(thresholds={"dent": 0.3}), with_one(mode=Mode.ACT, unsure_band=0.2, part_timeout_ms=900))
    assert (made.version, made.model_id, made.mode) == (2, "m1", Mode.ACT)
    assert (made.thresholds, made.unsure_band, made.part_timeout_ms) == ({"scratch": 0.55, "dent": 0.3}, 0.2, 900)


def test_another_model_brings_its_own_limits() -> None:
    made = wished(Wish(model_id="m2", thresholds={"scratch": 0.8}))
    assert (made.thresholds, made.unsure_band) == ({"scratch": 0.8, "dent": 0.6, "*": 0.9}, 0.05)


def test_versions_rise_over_all_products_of_a_line() -> None:
    history = with_one(version=4)
    assert wished(Wish(model_id="m1"), history, Scope("p1", "l1", "*")).version == 5
    assert wished(Wish(model_id="m1"), history, Scope("p1", "l2", "*")).version == 1


def test_a_recipe_that_takes_no_effect_still_uses_up_its_version() -> None:
    history = with_one(version=4)
    assert not history.take(recipe(sku="A", version=5, effective_at=at(1)), at(0)).takes_effect
    assert wished(Wish(mode=Mode.ACT), history).version == 6


@pytest.mark.parametrize(
    ("wish", "changes", "says"),
    [
        (Wish(thresholds={"rust": 0.5}), {}, r"m1 has no defect 'rust'; its defects are dent, scratch"),
        (Wish(thresholds={"scratch": 1.5}), {}, r"scratch: expected a number above 0 and at most 1, came 1.5"),
        (Wish(thresholds={"scratch": 0.0}), {}, r"scratch: expected a number above 0 and at most 1, came 0"),
        (Wish(thresholds={"scratch": float("nan")}), {}, r"scratch: expected a number above 0 and at most 1, came nan"),
        (Wish(unsure_band=-0.1), {}, r"the unsure band: expected"),
        (Wish(part_timeout_ms=0), {}, r"part_timeout_ms must be 1 to 3600000; came 0"),
        (Wish(model_id="m3"), {}, r"m3 knows good, scratch, pore, m1 before it good, scratch, dent: say --other-cl"),
        (Wish(mode=Mode.ACT), {"seconds": -1}, r"can't be in force from 2026-03-01 05:59:59 UTC on: that is past"),
        (Wish(mode=Mode.ACT), {"seconds": 5.9}, r"in force 6 s from now at the earliest"),
        (Wish(mode=Mode.ACT), {"reason": " "}, r"needs a reason: give --why"),
        (Wish(mode=Mode.ACT), {"reason": "x" * 1025}, r"reason has more than 1024 characters"),
        (Wish(device="x" * 1025), {}, r"unknown device 'x{40,80}; expected auto, "),
    ],
)
def test_what_no_worker_could_obey_is_refused(wish: Wish, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CallerError, match=says):
        wished(wish, **changes)


def test_other_classes_are_taken_where_they_are_meant() -> None:
    made = wished(Wish(model_id="m3", other_classes=True))
    assert made.thresholds == WIDER.thresholds


def test_a_model_that_is_retired_or_for_other_products_is_refused() -> None:
    retired = {"m1": ModelFacts(**{f: getattr(OLD, f) for f in OLD.__slots__} | {"retired": True})}
    with pytest.raises(CallerError, match="m1 is retired: no recipe may name it"):
        recipe_of(with_one(), SCOPE, Wish(mode=Mode.ACT), signed(), retired, NOW)
    for_b = {"m1": ModelFacts(**{f: getattr(OLD, f) for f in OLD.__slots__} | {"skus": ("B",)})}
    with pytest.raises(CallerError, match="m1 was released for B, not for A"):
        recipe_of(with_one(), SCOPE, Wish(mode=Mode.ACT), signed(), for_b, NOW)


def test_without_a_model_a_first_recipe_is_refused() -> None:
    with pytest.raises(CallerError, match="p1/l1 SKU A has no recipe yet: name its model with --model"):
        wished(Wish(mode=Mode.ACT), History())


@pytest.mark.parametrize(
    "scope", [Scope("p/1", "l1"), Scope("p1", "*"), Scope("p1", "l1", "A B"), Scope("p1", "l1", "")]
)
def test_a_scope_that_no_frame_can_have_is_refused(scope: Scope) -> None:
    with pytest.raises(CallerError, match=r"must be 1 to 64 letters, digits"):
        wished(Wish(model_id="m1"), History(), scope)


def test_a_revert_brings_the_content_of_a_version_back_as_a_new_one() -> None:
    history = with_one()
    history.take(wished(Wish(thresholds={"dent": 0.9}), history, seconds=10), at(1))
    history.take(wished(Wish(mode=Mode.ACT), history, seconds=20), at(2))
    back = reverted(history, SCOPE, 1, signed(), NOW)
    assert (back.version, back.thresholds, back.author) == (4, {"scratch": 0.55, "dent": 0.4}, "ana")
    assert reverted(history, SCOPE, None, signed(), NOW).thresholds == {"scratch": 0.55, "dent": 0.9}
    with pytest.raises(CallerError, match="no version 9 that took effect; there are: 1, 2, 3"):
        reverted(history, SCOPE, 9, signed(), NOW)
    with pytest.raises(CallerError, match="has 1 recipes: there is none to go back to"):
        reverted(with_one(), SCOPE, None, signed(), NOW)


def test_a_change_that_takes_two_people_is_refused_from_its_author_alone() -> None:
    approvals_lacking(signed(approved_by=("bo",)), 2)
    for alone in ((), ("ana",)):
        with pytest.raises(CallerError, match="takes 2 different people; came ana: others must agree too"):
            approvals_lacking(signed(approved_by=alone), 2)


def test_differences_are_told_field_by_field_and_limit_by_limit() -> None:
    before, after = with_one().newest(SCOPE), wished(Wish(model_id="m2", mode=Mode.COLLECT))
    assert differences(before, after) == [
        ("mode", Mode.ACT, Mode.COLLECT),
        ("model_id", "m1", "m2"),
        ("threshold scratch", 0.55, 0.7),
        ("threshold dent", 0.4, 0.6),
        ("threshold *", None, 0.9),
        ("unsure_band", 0.2, 0.05),
    ]
    assert differences(before, before) == []  # type: ignore[arg-type]


def test_the_history_says_what_is_in_force_and_what_will_be() -> None:
    history = with_one()
    history.take(recipe(sku="A", version=2, effective_at=at(30)), at(0))
    history.take(recipe(sku="A", version=3, effective_at=at(20)), at(0))
    now, later = history.in_force(SCOPE, NOW), history.scheduled(SCOPE, NOW)
    assert now is not None
    assert (now.version, [r.version for r in later]) == (1, [3, 2])
    newest = history.newest(SCOPE)
    assert newest is not None
    assert newest.version == 2, "it holds last, though it was published before"
    assert history.in_force(Scope("p1", "l1", "*"), NOW) is None
    assert history.scopes() == [SCOPE]


def test_thresholds_are_read_from_class_and_limit() -> None:
    assert parsed_thresholds(["scratch=0.6", "a=b=1", "*=0.9"]) == {"scratch": 0.6, "a=b": 1.0, "*": 0.9}
    for text in ("scratch", "=0.5", "scratch=high", "scratch=nan", "scratch=inf"):
        with pytest.raises(CallerError, match="--threshold needs CLASS=LIMIT"):
            parsed_thresholds([text])
    with pytest.raises(CallerError, match="each class once"):
        parsed_thresholds(["scratch=0.6", "scratch=0.7"])


def test_the_earliest_moment_leaves_every_worker_its_notice() -> None:
    made = wished(Wish(mode=Mode.ACT), seconds=6)
    assert made.effective_at - NOW > NOTICE


def test_a_shadow_is_named_kept_and_taken_away_and_ends_where_it_decides_itself() -> None:
    shadowed = wished(Wish(shadow_model_id="m3"))
    assert (shadowed.model_id, shadowed.shadow_model_id) == ("m1", "m3"), "its classes may differ: it acts on nothing"
    before = with_one(shadow_model_id="m2")
    assert wished(Wish(unsure_band=0.2), before).shadow_model_id == "m2"
    assert wished(Wish(shadow_model_id=NO_MODEL), before).shadow_model_id is None
    assert wished(Wish(model_id="m2"), before).shadow_model_id is None
    with pytest.raises(CallerError, match="m1 decides already: as its own shadow it would tell nothing"):
        wished(Wish(shadow_model_id="m1"))


def test_a_canary_brings_its_own_limits_and_ends_where_it_decides_about_all() -> None:
    made = wished(Wish(canary=CanaryWish("m2", 0.2, {"scratch": 0.8})))
    assert made.canary == Canary(
        model_id="m2", share=0.2, thresholds={"scratch": 0.8, "dent": 0.6, "*": 0.9}, unsure_band=0.05
    )
    before = with_one(canary=made.canary)
    assert wished(Wish(unsure_band=0.2), before).canary == made.canary
    assert wished(Wish(model_id="m2"), before).canary is None
    assert wished(Wish(canary=CanaryWish(NO_MODEL)), before).canary is None


@pytest.mark.parametrize(
    ("canary", "sentence"),
    [
        (CanaryWish("m2", 0.0), "a share of the parts, above 0 and at most 1; came 0"),
        (CanaryWish("m2", 1.5), "a share of the parts, above 0 and at most 1; came 1.5"),
        (CanaryWish("m2", 0.1, {"scratch": 7.0}), "scratch: expected a number above 0 and at most 1, came 7"),
        (CanaryWish("m2", 0.1, {"pore": 0.5}), "m2 has no defect 'pore'"),
        (CanaryWish("m1", 0.1), "m1 decides about all parts already"),
        (CanaryWish("m3", 0.1), "m3 knows good, scratch, pore, m1 before it good, scratch, dent"),
    ],
)
def test_a_canary_that_could_not_be_obeyed_is_refused(canary: CanaryWish, sentence: str) -> None:
    with pytest.raises(CallerError, match=re.escape(sentence)):
        wished(Wish(canary=canary))


def test_a_retired_shadow_or_canary_is_refused() -> None:
    models = MODELS | {"m2": replace(NEW, retired=True)}
    for wish in (Wish(shadow_model_id="m2"), Wish(canary=CanaryWish("m2", 0.1))):
        with pytest.raises(CallerError, match="m2 is retired: no recipe may name it"):
            recipe_of(with_one(), SCOPE, wish, signed(), models, NOW)


def test_what_a_wish_needs_to_know_of_models() -> None:
    before = with_one(shadow_model_id="m3")
    assert models_needed(before, SCOPE, Wish(canary=CanaryWish("m2", 0.1))) == ("m1", "m2", "m3")
    assert models_needed(before, SCOPE, Wish(model_id="m3")) == ("m3",)
    with pytest.raises(CallerError, match="has no recipe yet: name its model with --model"):
        models_needed(History(), SCOPE, Wish(shadow_model_id="m3"))


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        (Wish(precision=Precision.INT8), "m1 can't be had as INT8, only as FP32, BF16: `lineside quantise` makes"),
        (Wish(device="openvino:GPU"), "unknown device 'openvino:GPU'; expected auto, openvino:CPU, torch:cpu"),
        (Wish(device="openvino:CPU", precision=Precision.FP16, model_id="m2"), "openvino:CPU has no FP16, only FP32"),
        (Wish(shadow_model_id="m3", precision=Precision.BF16), "m3 can't be had as BF16, only as FP32"),
        (Wish(canary=CanaryWish("m3", 0.1), precision=Precision.BF16, other_classes=True), "m3 can't be had as BF16"),
    ],
)  # fmt: skip
def test_a_device_and_precision_that_no_machine_can_have_for_a_model_are_refused(wish: Wish, sentence: str) -> None:
    every = (Precision.FP32, Precision.BF16, Precision.FP16)
    models = {
        "m1": replace(OLD, precisions=(Precision.FP32, Precision.BF16)),
        "m2": replace(NEW, precisions=every),
        "m3": WIDER,
    }
    with pytest.raises(CallerError, match=re.escape(sentence)):
        recipe_of(with_one(), SCOPE, wish, signed(), models, NOW)


def test_a_device_and_precision_that_a_machine_may_have_are_asked_for_and_left_open_again() -> None:
    models = MODELS | {"m1": replace(OLD, precisions=(Precision.FP32, Precision.BF16))}
    asked = Wish(device="torch:cuda", precision=Precision.BF16)
    made = recipe_of(with_one(), SCOPE, asked, signed(), models, NOW)
    assert (made.device, made.precision) == ("torch:cuda", Precision.BF16)
    history = with_one(device="torch:cuda", precision=Precision.BF16)
    left = recipe_of(history, SCOPE, Wish(device="auto", precision=Precision.UNKNOWN), signed(), models, NOW)
    assert (left.device, left.precision) == ("auto", Precision.UNKNOWN)
