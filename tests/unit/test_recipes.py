"""Which recipe is in force for a frame, by its append time alone."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Mode, Recipe
from streams.inspection.recipes import NOTICE, RecipeBook, default_recipe
from tests.builders import LONG_AGO, recipe

MS = timedelta(milliseconds=1)


def book_of(*recipes: Recipe, default: Recipe | None = None) -> RecipeBook:
    book = RecipeBook(default)
    for one in recipes:
        assert book.add(one, one.effective_at - NOTICE)
    return book


def at(seconds: float) -> datetime:
    return LONG_AGO + timedelta(seconds=seconds)


def test_a_recipe_holds_from_its_effective_time_on_until_the_next() -> None:
    """
    t (s)       0         10        20
    version     1─────────2─────────3────▶    nothing before 0
    """
    book = book_of(*(recipe(version=n, effective_at=at(10 * (n - 1))) for n in (1, 2, 3)))

    def version(when: datetime) -> int | None:
        found = book.in_force("p1", "l1", "A", when)
        return found.version if found else None

    assert [version(at(0) - MS), version(at(0)), version(at(10) - MS), version(at(10)), version(at(99))] == [
        None,
        1,
        1,
        2,
        3,
    ]


def test_a_recipe_of_the_sku_goes_before_a_newer_one_for_every_sku() -> None:
    book = book_of(recipe(sku="A", version=1, effective_at=at(0)), recipe(sku="*", version=2, effective_at=at(10)))
    found_a, found_b = book.in_force("p1", "l1", "A", at(20)), book.in_force("p1", "l1", "B", at(20))
    assert found_a is not None
    assert found_b is not None
    assert (found_a.version, found_b.version) == (1, 2)


def test_before_the_skus_own_recipe_the_one_for_every_sku_holds() -> None:
    book = book_of(recipe(sku="*", version=1, effective_at=at(0)), recipe(sku="A", version=2, effective_at=at(10)))
    assert [r and r.version for r in (book.in_force("p1", "l1", "A", at(t)) for t in (5, 10))] == [1, 2]


@pytest.mark.parametrize(("plant", "line"), [("p2", "l1"), ("p1", "l2")])
def test_recipes_of_other_plants_and_lines_do_not_count(plant: str, line: str) -> None:
    assert book_of(recipe()).in_force(plant, line, "A", at(99)) is None


@pytest.mark.parametrize(("notice_ms", "taken"), [(4999, False), (5000, True), (60_000, True), (-1000, False)])
def test_a_recipe_published_less_than_five_seconds_ahead_never_takes_effect(notice_ms: int, taken: bool) -> None:
    book = RecipeBook()
    assert book.add(recipe(effective_at=at(0)), at(0) - notice_ms * MS) is taken
    assert (book.in_force("p1", "l1", "A", at(99)) is not None) is taken


def test_a_recipe_published_too_late_leaves_the_one_before_in_force() -> None:
    book = book_of(recipe(version=1, effective_at=at(0)))
    book.add(recipe(version=2, effective_at=at(10)), at(9))
    found = book.in_force("p1", "l1", "A", at(99))
    assert found is not None
    assert found.version == 1


def test_of_two_recipes_effective_at_once_the_one_published_later_holds() -> None:
    """Two people correct the same mistake: the topic's order decides, so every worker finds the same."""
    found = book_of(recipe(version=1), recipe(version=2)).in_force("p1", "l1", "A", at(0))
    assert found is not None
    assert found.version == 2


def test_without_any_recipe_the_default_holds_where_one_was_given() -> None:
    fallback = default_recipe("m1", [("scratch", 0.5)], 0.1, at(50))
    assert RecipeBook(fallback).in_force("p9", "l9", "A", at(0)) is fallback
    assert RecipeBook().in_force("p9", "l9", "A", at(0)) is None
    assert fallback.mode is Mode.ADVISE, "a default may never act on a line"


def test_the_default_yields_to_every_real_recipe() -> None:
    found = book_of(recipe(version=3), default=default_recipe("m1", [], 0.1, at(0))).in_force("p1", "l1", "A", at(1))
    assert found is not None
    assert found.version == 3


@given(
    st.lists(st.tuples(st.sampled_from(["A", "B", "*"]), st.integers(0, 50), st.integers(0, 9)), max_size=12),
    st.sampled_from(["A", "B", "C"]),
    st.integers(-1, 60),
)
def test_what_is_in_force_is_the_newest_of_those_whose_versions_rise(
    entries: list[tuple[str, int, int]], sku: str, when: int
) -> None:
    """The slow but obvious answer: leave out what isn't above all before it, prefer the SKU's own, take the newest."""
    book, counted = RecipeBook(), list[Recipe]()
    for s, t, version in entries:
        one = recipe(sku=s, version=version, effective_at=at(t))
        rises = version > max((r.version for r in counted), default=0)
        assert book.add(one, at(t) - NOTICE) is rises
        counted += [one] if rises else []
    known = [r for r in counted if r.effective_at <= at(when)]
    candidates = [r for r in known if r.sku == sku] or [r for r in known if r.sku == "*"]
    expected = max(enumerate(candidates), key=lambda item: (item[1].effective_at, item[0]), default=(0, None))[1]
    assert book.in_force("p1", "l1", sku, at(when)) is expected


def test_lines_count_their_versions_apart() -> None:
    book = book_of(recipe(version=7), recipe(line="l2", version=1))
    assert not book.add(recipe(sku="B", version=7, effective_at=at(99)), at(0)), "a version is one recipe of its line"
    found = book.in_force("p1", "l2", "A", at(0))
    assert found is not None
    assert found.version == 1
