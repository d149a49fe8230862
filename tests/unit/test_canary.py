"""A canary: which parts it judges, the same everywhere, and what a worker holds for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.records import Canary, Recipe
from streams.inspection.recipes import NOTICE, RecipeBook, models_of, of_part, variants
from streams.inspection.residents import wanted
from streams.replay.recipes_of import AS_OF, ReplayRecipes
from tests.builders import LONG_AGO, frame, recipe
from tests.unit.test_residents import at, released

CANARY = Canary(model_id="new", share=0.25, thresholds={"scratch": 0.9}, unsure_band=0.0)
WITH_ONE = recipe(model_id="old", canary=CANARY)
PARTS = [f"P-{number}" for number in range(4_000)]


def judged_by_it(made: Recipe) -> set[str]:
    return {part for part in PARTS if of_part(made, part).model_id == "new"}


def test_about_its_share_of_the_parts_is_judged_by_its_model_and_its_limits_and_the_rest_as_before() -> None:
    taken = judged_by_it(WITH_ONE)
    assert 900 < len(taken) < 1_100
    of_it, of_others = (of_part(WITH_ONE, part) for part in (min(taken), min(set(PARTS) - taken)))
    assert (of_it.model_id, of_it.thresholds, of_it.unsure_band) == ("new", {"scratch": 0.9}, 0.0)
    assert (of_it.version, of_it.mode) == (WITH_ONE.version, WITH_ONE.mode)
    assert of_others is WITH_ONE


def test_the_same_parts_stay_its_own_when_limits_change_or_the_share_grows() -> None:
    first = judged_by_it(WITH_ONE)
    assert judged_by_it(replace(WITH_ONE, version=9, thresholds={"scratch": 0.1})) == first
    assert judged_by_it(replace(WITH_ONE, canary=replace(CANARY, share=0.5))) > first
    assert judged_by_it(replace(WITH_ONE, canary=replace(CANARY, share=1.0))) == set(PARTS)


def test_another_canary_draws_other_parts() -> None:
    other = replace(WITH_ONE, canary=replace(CANARY, model_id="newer"))
    taken = {part for part in PARTS if of_part(other, part).model_id == "newer"}
    assert len(taken & judged_by_it(WITH_ONE)) < 0.5 * len(taken)


def test_all_pictures_of_a_part_are_judged_by_one_model_and_a_frame_without_part_by_itself() -> None:
    book = RecipeBook()
    assert book.add(WITH_ONE, WITH_ONE.effective_at - NOTICE)

    def model_of(number: int, **changes: object) -> str:
        found = book.of_frame(frame(number, **changes), WITH_ONE.effective_at)
        assert found is not None
        return found.model_id

    for part in PARTS[:50]:
        assert len({model_of(view, part_id=part, view=view, pass_no=1 + view % 2) for view in (1, 2, 3, 4)}) == 1
    assert {model_of(number) for number in range(50)} == {"old", "new"}


@pytest.mark.parametrize("override", [None, "tried"])
def test_a_replay_as_of_finds_the_same_and_a_model_that_is_tried_judges_all_by_the_main_limits(
    override: str | None,
) -> None:
    book = RecipeBook()
    assert book.add(WITH_ONE, WITH_ONE.effective_at - NOTICE)
    recipes = ReplayRecipes(AS_OF, book, None, None, override)
    for number in range(50):
        shot = frame(number, part_id=f"P-{number}")
        found = recipes.of(shot, WITH_ONE.effective_at)
        live = book.of_frame(shot, WITH_ONE.effective_at)
        assert found == (live if override is None else replace(WITH_ONE, model_id="tried"))


def test_a_worker_holds_both_models_as_in_force() -> None:
    book = RecipeBook()
    made = replace(WITH_ONE, effective_at=at(0))
    assert book.add(made, LONG_AGO - NOTICE)
    assert models_of(made) == ("old", "new")
    assert len(variants(made)) == 2
    wants = wanted(book, released("spare", "new", "old"), at(1))
    assert [(want.name, want.is_in_force) for want in wants] == [("old", True), ("new", True), ("spare", False)]
