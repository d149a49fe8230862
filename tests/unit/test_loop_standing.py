"""Where a line's loop stands, by the records of its topics: what is counted from when on, and what comes next."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

import pytest

from schemas.records import ModelProposed, Outcome, ProposalState, ReworkFinding, Strategy
from streams.bus.subscriber import Received
from streams.recipes.history import Scope
from streams.retraining.standing import ENOUGH, KEPT, Next, Row, Standing
from tests.builders import recipe
from tests.contracts.samples import OUTCOME, SAMPLE

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
NAMESPACE = UUID(int=9)
PLACE = {"plant": "p1", "line": "l1", "station": "s1"}


def hour(n: float) -> datetime:
    return START + timedelta(hours=n)


def read(record: Any, at: float = 0) -> Received[Any]:
    return Received(record, 0, 0, hour(at), None)


class Line:
    """A standing into which a test puts records by the hour."""

    def __init__(self) -> None:
        self.standing = Standing()

    def in_force(self, model_id: str, at: float, version: int, sku: str = "*") -> None:
        made = recipe(model_id=model_id, version=version, sku=sku, effective_at=hour(at))
        self.standing.recipe(read(made, at - 0.1))

    def sample(self, name: str, at: float, strategy: Strategy = Strategy.PASS_AUDIT, sku: str = "A") -> None:
        made = dataclasses.replace(
            SAMPLE,
            sample_id=uuid5(NAMESPACE, f"sample {name}"),
            verdict_id=uuid5(NAMESPACE, name),
            strategy=strategy,
            sku=sku,
            selected_at=hour(at),
            **PLACE,
        )
        self.standing.sample(read(made, at))

    def said(self, name: str, at: float, outcome: Outcome = Outcome.OK, bad: bool = True, **changes: Any) -> None:
        fields: dict[str, Any] = {
            "outcome_id": uuid5(NAMESPACE, f"said {name} {at}"),
            "verdict_id": uuid5(NAMESPACE, name),
            "finding": ReworkFinding.CONFIRMED if bad else ReworkFinding.FALSE_REJECT,
            "corrected_label": "crack" if bad else None,
            "verdict_outcome": outcome,
            "supersedes": None,
            "sku": "A",
            "decided_at": hour(at),
        }
        self.standing.outcome(read(dataclasses.replace(OUTCOME, **PLACE | fields | changes), at))

    def propose(self, state: ProposalState, name: str = "one", sku: str = "A") -> None:
        made = ModelProposed(
            proposal_id=uuid5(NAMESPACE, name),
            plant="p1",
            line="l1",
            sku=sku,
            state=state,
            model_id=name,
            sha256="c" * 64,
            base_model_id="m1",
            dataset="d@1",
            dataset_sha256="d" * 64,
            metrics={},
            proposed_by="ana",
            at=START,
        )
        self.standing.proposal(read(made))

    def rows(self, at: float) -> dict[str, Row]:
        return {row.scope.sku: row for row in self.standing.rows(hour(at))}


@pytest.fixture
def line() -> Line:
    return Line()


def test_counts_begin_when_the_model_came_into_force_and_other_limits_are_no_other_model(line: Line) -> None:
    """
    hour   1    2    3    4    5
           m1   .    m2   .    m2, other limits
    sample   a    b    c    d    e
    """
    for at, model_id, version in ((1, "m1", 1), (3, "m2", 2), (5, "m2", 3)):
        line.in_force(model_id, at, version)
    for number, name in enumerate("abcde"):
        line.sample(name, 1.5 + number, Strategy.UNCERTAIN if name == "d" else Strategy.PASS_AUDIT)
    row = line.rows(6)["A"]
    assert (row.since, row.recipe and row.recipe.version) == (hour(3), 3)
    assert row.chosen == {"PASS_AUDIT": 2, "UNCERTAIN": 1}


def test_a_recipe_that_has_not_begun_begins_no_count(line: Line) -> None:
    line.in_force("m1", 1, 1)
    line.in_force("m2", 5, 2)
    line.sample("a", 2)
    assert line.rows(4)["A"].samples == 1
    assert line.rows(6)["A"].samples == 0


def test_a_sample_is_labelled_once_a_person_named_it_and_not_before(line: Line) -> None:
    line.in_force("m1", 1, 1)
    for name in "abc":
        line.sample(name, 2)
    line.said("a", 3)
    line.said("b", 3, bad=True, corrected_label=None)  # bad, and nobody says what
    row = line.rows(4)["A"]
    assert (row.labelled, row.unlabelled, row.next) == (1, 2, Next.LABEL)


def test_corrections_are_the_decisions_that_say_other_than_the_verdict(line: Line) -> None:
    line.in_force("m1", 1, 1)
    line.said("old", 0.5)
    line.said("escape", 2)
    line.said("fine", 2, Outcome.OK, bad=False)
    line.said("overkill", 2, Outcome.NG, bad=False)
    line.said("right", 2, Outcome.NG)
    line.said("taken back", 2, Outcome.NG, bad=False)
    earlier = uuid5(NAMESPACE, f"said {'taken back'} {2}")
    line.said("taken back", 3, Outcome.NG, finding=ReworkFinding.WITHDRAWN, supersedes=earlier)
    row = line.rows(4)["A"]
    assert (row.escapes, row.overkill) == (1, 1)


def test_what_comes_next_goes_from_the_first_model_to_an_approval(line: Line) -> None:
    line.sample("a", 0)
    assert line.rows(1)["A"].next is Next.FIRST_MODEL
    line.in_force("m1", 1, 1)
    assert line.rows(2)["A"].next is Next.SAMPLE
    line.sample("b", 2)
    assert line.rows(3)["A"].next is Next.LABEL
    line.said("b", 3)
    assert line.rows(4)["A"].next is Next.WAIT
    for number in range(ENOUGH):
        line.sample(f"c{number}", 4)
        line.said(f"c{number}", 4)
    assert line.rows(5)["A"].next is Next.RETRAIN
    line.propose(ProposalState.PROPOSED)
    assert line.rows(6)["A"].next is Next.DECIDE
    line.propose(ProposalState.REJECTED)
    assert line.rows(7)["A"].next is Next.RETRAIN


def test_a_proposal_for_every_sku_has_a_row_that_counts_them_all(line: Line) -> None:
    line.in_force("m1", 1, 1)
    line.sample("a", 2, sku="A")
    line.sample("b", 2, sku="B")
    assert set(line.rows(3)) == {"A", "B"}
    line.propose(ProposalState.PROPOSED, sku="*")
    rows = line.rows(3)
    assert {sku: row.samples for sku, row in rows.items()} == {"*": 2, "A": 1, "B": 1}
    assert rows["*"].next is Next.DECIDE


def test_a_recipe_alone_is_a_row(line: Line) -> None:
    line.in_force("m1", 1, 1)
    assert [row.scope for row in line.standing.rows(hour(2))] == [Scope("p1", "l1", "*")]


def test_what_no_row_can_count_again_is_forgotten(line: Line) -> None:
    later = KEPT / timedelta(hours=1) + 10
    line.in_force("m1", 1, 1)
    line.sample("a", 2)
    line.said("a", 2)
    line.in_force("m2", later, 2)
    line.sample("b", later + 1)
    assert line.rows(later + 2)["A"].samples == 1
    assert len(line.standing._samples) == 1
    assert len(line.standing._heads) == 0
