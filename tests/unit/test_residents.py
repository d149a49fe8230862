"""Which models a worker holds, by recipes, releases and memory."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

from schemas.records import Canary, ModelReleased, Precision, Recipe
from streams.inspection.model_variants import ModelVariant, shadow_of
from streams.inspection.recipes import NOTICE, RecipeBook
from streams.inspection.residents import Plan, Wanted, named, plan, wanted
from streams.registry.book import Book, uri_of
from tests.builders import LONG_AGO, recipe
from tests.contracts.samples import MODEL


def at(seconds: float) -> datetime:
    return LONG_AGO + timedelta(seconds=seconds)


def released(*model_ids: str, retired: tuple[str, ...] = ()) -> Book:
    book = Book()
    for number, model_id in enumerate(model_ids):
        record = one(model_id, f"{number:064x}")
        book.take(record, at(number))
        if model_id in retired:
            book.take(dataclasses.replace(record, retired=True), at(number + 0.5))
    return book


def one(model_id: str, sha256: str) -> ModelReleased:
    return dataclasses.replace(MODEL, model_id=model_id, sha256=sha256, uri=uri_of(sha256))


def recipes(*entries: Recipe) -> RecipeBook:
    book = RecipeBook()
    for entry in entries:
        assert book.add(entry, entry.effective_at - NOTICE)
    return book


def test_what_is_in_force_comes_first_then_what_will_be_then_the_newest_release() -> None:
    book = recipes(
        recipe(version=1, model_id="old", effective_at=at(0)),
        recipe(version=2, model_id="now", effective_at=at(10)),
        recipe(version=3, model_id="late", effective_at=at(50)),
        recipe(version=4, model_id="soon", effective_at=at(30)),
        recipe(line="l2", version=1, model_id="other", effective_at=at(0)),
    )
    wants = wanted(book, released("late", "other", "old", "now", "new", "soon", "newest"), at(20))
    assert [want.name for want in wants] == ["now", "other", "soon", "late", "newest", "new", "old"]
    assert [want.is_in_force for want in wants] == [True, True, False, False, False, False, False]
    assert [want.begins_at for want in wants] == [at(10), at(0), at(30), at(50), None, None, None]


def test_a_model_that_was_never_released_or_is_retired_and_unused_is_not_held() -> None:
    book = recipes(recipe(version=1, model_id="made here", effective_at=at(0)))
    assert wanted(book, released("a", "b", retired=("a",)), at(1)) == [Wanted(ModelVariant("b"), False)]


def test_a_retired_model_stays_as_long_as_a_recipe_names_it() -> None:
    book = recipes(recipe(version=1, model_id="a", effective_at=at(0)))
    assert wanted(book, released("a", retired=("a",)), at(1)) == [Wanted(ModelVariant("a"), True, begins_at=at(0))]


def test_the_same_model_in_two_precisions_is_two_and_a_release_that_is_held_so_is_not_held_plainly_too() -> None:
    book = recipes(
        recipe(version=1, model_id="a", precision=Precision.INT8, effective_at=at(0)),
        recipe(line="l2", version=1, model_id="a", device="torch:cpu", precision=Precision.FP32, effective_at=at(0)),
    )
    wants = wanted(book, released("a", "b"), at(1))
    assert [(want.name, want.is_in_force) for want in wants] == [
        ("a as INT8", True),
        ("a as FP32 on torch:cpu", True),
        ("b", False),
    ]


def test_a_canary_is_asked_for_as_its_recipe_says_and_so_is_a_shadow() -> None:
    canary = Canary(model_id="c", share=0.5, thresholds={}, unsure_band=0.0)
    made = recipe(
        version=1, model_id="a", canary=canary, shadow_model_id="s", precision=Precision.BF16, effective_at=at(0)
    )
    book, models = recipes(made), released("a", "c", "s", "own")
    assert [want.name for want in named(book, models, at(1))] == ["a as BF16", "c as BF16"]
    assert [want.name for want in named(book, models, at(1), asked=shadow_of)] == ["s as BF16"]


def test_what_was_asked_for_last_stays_for_frames_that_wait_before_releases_that_nobody_named() -> None:
    book = recipes(
        recipe(version=1, model_id="a", precision=Precision.FP32, effective_at=at(0)),
        recipe(version=2, model_id="a", precision=Precision.BF16, effective_at=at(10)),
        recipe(version=3, model_id="a", precision=Precision.INT8, effective_at=at(20)),
    )
    for retired, names in (((), ["a as INT8", "a as BF16", "b"]), (("a",), ["a as INT8", "b"])):
        wants = wanted(book, released("a", "b", retired=retired), at(20))
        assert [want.name for want in wants] == names
        assert [want.name for want in wants if want.is_former] == names[1:-1]


def test_a_model_of_the_workers_own_needs_no_release() -> None:
    book = recipes(recipe(version=1, model_id="own", precision=Precision.BF16, effective_at=at(0)))
    assert [want.name for want in wanted(book, released(), at(1), own={"own"})] == ["own as BF16"]


WANTS = [Wanted(ModelVariant(name), name in ("now", "big")) for name in ("now", "big", "soon", "new")]


def test_models_are_held_as_far_as_memory_goes_the_most_needed_first() -> None:
    sizes = {"now": 40, "big": 80, "soon": 40, "new": 40}
    assert plan(WANTS, sizes, {"now", "gone"}, 100) == Plan(load=("soon",), end=("gone",), no_room=("big",))
    assert plan(WANTS, sizes, {"now"}, 1000) == Plan(load=("big", "soon", "new"))
    assert plan(WANTS, sizes, {"now", "new"}, 80) == Plan(load=("soon",), end=("new",), no_room=("big",))


def test_what_is_not_measured_yet_waits_and_takes_nobodys_place() -> None:
    assert plan(WANTS, {"new": 40}, set(), 50) == Plan(load=("new",))
    assert plan([], {}, {"a"}, 50) == Plan(end=("a",))
