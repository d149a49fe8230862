"""Which decisions of people make a picture worth having, and what they call it."""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from schemas.records import Outcome, ReworkFinding, ReworkOutcome, Strategy
from streams.downstream.sampling.decisions import Decisions
from streams.downstream.sampling.strategies import Wish, label_of, shown
from tests.unit.test_sampling_estimates import DAY, outcome

CONFIRMED, FALSE_REJECT, WITHDRAWN = ReworkFinding.CONFIRMED, ReworkFinding.FALSE_REJECT, ReworkFinding.WITHDRAWN


def said(name: str, finding: ReworkFinding = CONFIRMED, supersedes: str | None = None, **changes: Any) -> ReworkOutcome:
    fields: dict[str, Any] = {"predicted_label": "scratch", "corrected_label": None, "verdict_outcome": Outcome.NG}
    return dataclasses.replace(outcome(name, finding, supersedes), **fields | changes)


def wishes(*log: ReworkOutcome) -> list[Wish]:
    """The wishes that stand after all this."""
    decisions, found = Decisions(), list[Wish]()
    for number, one in enumerate(log):
        found += decisions.take(one, DAY + timedelta(seconds=number))
    return [wish for wish in found if decisions.stands(wish)]


@pytest.mark.parametrize(
    ("one", "label"),
    [
        (said("a", FALSE_REJECT), "good"),
        (said("a", corrected_label="dent"), "dent"),
        (said("a", corrected_label="dent", verdict_outcome=Outcome.OK, predicted_label="good"), "dent"),
        (said("a", verdict_outcome=Outcome.OK, predicted_label="good"), None),  # an escape that nobody named
    ],
)
def test_a_decision_against_the_model_is_a_correction(one: ReworkOutcome, label: str | None) -> None:
    (wish,) = wishes(one)
    assert (wish.strategy, wish.human_label) == (Strategy.CORRECTED, label)
    assert wish.why.endswith(".")


@pytest.mark.parametrize(
    "one",
    [
        said("a"),
        said("a", corrected_label="scratch"),
        said("a", FALSE_REJECT, verdict_outcome=Outcome.OK),
        said("a", ReworkFinding.INCONCLUSIVE, corrected_label="dent"),
        said("a", FALSE_REJECT, verdict_outcome=Outcome.UNSURE),
    ],
)
def test_a_decision_that_agrees_or_says_nothing_is_none(one: ReworkOutcome) -> None:
    assert wishes(one) == []


def test_a_decision_that_was_taken_back_wishes_nothing() -> None:
    assert wishes(said("a", FALSE_REJECT), said("b", WITHDRAWN, "a")) == []
    assert [w.human_label for w in wishes(said("a", FALSE_REJECT), said("b", supersedes="a", corrected_label="x"))] == [
        "x"
    ]


def test_two_people_who_decide_differently_disagree_until_one_changes_their_mind() -> None:
    first, second = said("a"), said("r", FALSE_REJECT, review=2)
    (wish,) = wishes(first, second)
    assert (wish.strategy, wish.human_label) == (Strategy.DISAGREEMENT, None)
    assert "the first says scratch, the blind second good" in wish.why
    assert wishes(first, said("r", review=2)) == []
    assert [w.strategy for w in wishes(second, first)] == [Strategy.DISAGREEMENT]
    assert wishes(first, second, said("s", CONFIRMED, "r", review=2)) == []
    assert wishes(first, said("r", review=2, predicted_label="*")) == []  # bad, and one of them gives no name


def test_old_decisions_are_let_go() -> None:
    decisions = Decisions()
    decisions.take(said("a"), DAY)
    decisions.forget(DAY + timedelta(seconds=1))
    assert decisions.take(said("b", FALSE_REJECT), DAY + timedelta(seconds=2))  # nobody came first any more


@pytest.mark.parametrize(
    ("one", "label"),
    [
        (said("a"), "scratch"),
        (said("a", predicted_label="*"), None),
        (said("a", predicted_label="*", corrected_label="dent"), "dent"),
        (said("a", corrected_label="good"), None),  # bad and good at once
        (said("a", FALSE_REJECT, verdict_outcome=Outcome.OK), "good"),  # whatever class came nearest
        (said("a", verdict_outcome=Outcome.ERROR), None),  # only collected: the person saw no label of the model's
        (said("a", verdict_outcome=Outcome.ERROR, corrected_label="scratch"), "scratch"),
        (said("a", FALSE_REJECT, corrected_label="dent"), "good"),
        (said("a", ReworkFinding.NOT_FOUND), None),
    ],
)
def test_what_a_person_says_that_a_part_is(one: ReworkOutcome, label: str | None) -> None:
    assert label_of(one) == label


def test_a_label_in_a_sentence_is_short_and_steers_no_terminal() -> None:
    assert shown("a\n\x1b[31mb" + "x" * 99)[:9] == "a ?[31mbx"
    assert len(shown("x" * 99)) == 64
    assert shown("*") == shown(None) == "an unnamed defect"
