"""When a model that is new on a line is taken back, and when it is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import cycle, islice
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from schemas.records import Canary, Outcome, Reason, Recipe
from streams.downstream.guard.guarding import ALPHA, Breach, Guard, Tally, breach, is_look
from streams.recipes.history import History, Scope
from tests.builders import LONG_AGO, recipe
from tests.contracts.samples import VERDICT

SCOPE = Scope("p1", "l1", "*")
CANARY = Canary(model_id="new", share=0.5, thresholds={"scratch": 0.5, "dent": 0.5}, unsure_band=0.0)
ONE_IN_TWENTY = [Outcome.NG] + [Outcome.OK] * 19


def at(seconds: float) -> datetime:
    return LONG_AGO + timedelta(seconds=seconds)


def history(*recipes: Recipe) -> History:
    found = History()
    for made in recipes:
        assert found.take(made, made.effective_at - timedelta(seconds=60)).takes_effect
    return found


def verdicts(model_id: str, version: int, seconds: float, pattern: list[Outcome], n: int, **changes: Any) -> Any:
    for number, outcome in enumerate(islice(cycle(pattern), n)):
        yield replace(
            VERDICT, verdict_id=UUID(int=number), plant="p1", line="l1", sku="A", model_id=model_id, outcome=outcome,
            recipe_version=version, source_timestamp=at(seconds), reason=Reason.SCORE, **changes,
        )  # fmt: skip


def first(guard: Guard, *groups: Any) -> tuple[int, Breach] | None:
    """The first breach and how many verdicts of the last group it took."""
    for group in groups:
        for number, made in enumerate(group, 1):
            if found := guard.take(made):
                return number, found
    return None


def mixed(a: Any, b: Any) -> Any:
    for pair in zip(a, b, strict=True):
        yield from pair


def test_a_canary_that_rejects_far_more_is_taken_back_at_the_first_look_that_shows_it() -> None:
    guard = Guard(history(recipe(version=1, model_id="old", canary=CANARY, effective_at=at(0))))
    bad = [Outcome.NG, Outcome.OK]
    both = mixed(verdicts("old", 1, 1, ONE_IN_TWENTY, 400), verdicts("new", 1, 1, bad, 400))
    found = first(guard, both)
    assert found is not None
    assert (found[0], found[1].frames, found[1].measure) == (100, 50, "rejected")
    assert str(found[1]) == "new: 25 of 50 frames rejected (50.0 %), old 6.0 % of 50"
    assert (found[1].scope, found[1].version) == (SCOPE, 1)


@pytest.mark.parametrize(
    ("pattern", "measure"), [([Outcome.UNSURE] + [Outcome.OK] * 4, "unsure"), ([Outcome.OK], "only rejected")]
)
def test_frames_that_are_unsure_count_too_and_a_model_that_rejects_nothing_any_more(
    pattern: list[Outcome], measure: str
) -> None:
    guard = Guard(history(recipe(version=1, model_id="old", canary=CANARY, effective_at=at(0))))
    both = mixed(verdicts("old", 1, 1, [Outcome.NG] + [Outcome.OK] * 9, 400), verdicts("new", 1, 1, pattern, 400))
    found = first(guard, both)
    assert found is not None
    assert found[1].measure == measure


@pytest.mark.parametrize("outcome", [Outcome.NG, Outcome.UNSURE, Outcome.ERROR])
def test_frames_that_could_not_be_read_are_not_judged_whatever_their_recipe_makes_of_them(outcome: Outcome) -> None:
    guard = Guard(history(recipe(version=1, model_id="old", canary=CANARY, effective_at=at(0))))
    unread = [replace(v, reason=Reason.ENGINE_FAILED) for v in verdicts("new", 1, 1, [outcome], 400)]
    found = first(guard, mixed(verdicts("old", 1, 1, ONE_IN_TWENTY, 400), unread))
    assert found is not None
    assert (found[1].measure, found[1].count) == ("unjudged", found[1].frames)


def test_half_the_rejects_are_no_reason() -> None:
    guard = Guard(history(recipe(version=1, model_id="old", canary=CANARY, effective_at=at(0))))
    half = [Outcome.NG] + [Outcome.OK] * 19
    both = mixed(verdicts("old", 1, 1, [Outcome.NG] + [Outcome.OK] * 9, 3000), verdicts("new", 1, 1, half, 3000))
    assert first(guard, both) is None


def test_a_model_newly_in_force_is_compared_with_the_one_before_it_and_that_one_is_not_when_it_comes_back() -> None:
    before = recipe(version=1, model_id="old", effective_at=at(0))
    made = recipe(version=2, model_id="new", effective_at=at(10))
    back = recipe(version=3, model_id="old", effective_at=at(20))
    guard, bad = Guard(history(before, made, back)), [Outcome.NG, Outcome.OK]
    found = first(guard, verdicts("old", 1, 1, ONE_IN_TWENTY, 300), verdicts("new", 2, 11, bad, 50))
    assert found is not None
    assert (found[0], found[1].version, found[1].beside) == (50, 2, "old")
    assert first(guard, verdicts("old", 3, 21, ONE_IN_TWENTY, 2000)) is None, "it was in force before"


def test_what_was_not_judged_by_the_recipe_in_force_says_nothing() -> None:
    guard = Guard(history(recipe(version=1, model_id="old", canary=CANARY, effective_at=at(0))))
    list(map(guard.take, verdicts("old", 1, 1, ONE_IN_TWENTY, 400)))
    for changes in ({"simulated": True}, {"recipe_version": 7}):
        strangers = [replace(v, **changes) for v in verdicts("new", 1, 1, [Outcome.NG], 400)]
        assert first(guard, strangers) is None
    for outcome in (Outcome.ERROR, Outcome.NG):
        late = [replace(v, reason=Reason.LATE) for v in verdicts("new", 1, 1, [outcome], 400)]
        assert first(guard, late) is None


def test_a_change_of_limits_alone_is_no_new_model_and_without_enough_to_compare_nobody_is_taken_back() -> None:
    guard = Guard(
        history(
            recipe(version=1, model_id="m", effective_at=at(0)), recipe(version=2, model_id="m", effective_at=at(9))
        )
    )
    assert first(guard, verdicts("m", 1, 1, [Outcome.OK], 300), verdicts("m", 2, 10, [Outcome.NG], 300)) is None
    few = Guard(history(recipe(version=1, model_id="old", canary=CANARY, effective_at=at(0))))
    assert first(few, verdicts("old", 1, 1, [Outcome.OK], 49), verdicts("new", 1, 1, [Outcome.NG], 400)) is None


def test_a_canary_like_the_model_beside_it_is_hardly_ever_taken_back() -> None:
    """Shares of rejects from 0.5 to 30 %, half as many unsure; looks up to 6,400 frames; drawn with a fixed seed."""
    rng, taken, runs = np.random.default_rng(7), 0, 600
    looks = [n for n in range(1, 6_401) if is_look(n)]
    for run in range(runs):
        share = (0.005, 0.02, 0.05, 0.1, 0.3)[run % 5]
        shares = [share, share / 2, 0.002]
        drawn = [rng.multinomial(1, [*shares, 1 - sum(shares)], size=looks[-1]).cumsum(axis=0) for _ in range(2)]
        for n in looks:
            new, old = (Tally(n, *map(int, counts[n - 1][:3])) for counts in drawn)
            if breach(SCOPE, 1, ("new", new), ("old", old)):
                taken += 1
                break
    assert taken / runs <= ALPHA
