"""What pass audits and decided rejects say about a line, and how often the intervals hold what they promise."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from uuid import UUID, uuid5

import numpy as np
import pytest
from scipy.stats import beta

from schemas.records import Estimate, ReworkFinding, ReworkOutcome
from streams.downstream.sampling.estimates import Audit, effective, escape_estimate, is_bad, overkill_estimate
from tests.contracts.samples import NAMESPACE, OUTCOME

CONFIRMED, FALSE_REJECT, WITHDRAWN = ReworkFinding.CONFIRMED, ReworkFinding.FALSE_REJECT, ReworkFinding.WITHDRAWN
DAY = datetime(2026, 3, 2, tzinfo=UTC)


def outcome(
    name: str, finding: ReworkFinding = CONFIRMED, supersedes: str | None = None, of: str = "v", review: int = 1
) -> ReworkOutcome:
    return dataclasses.replace(
        OUTCOME,
        outcome_id=uuid5(NAMESPACE, name),
        verdict_id=uuid5(NAMESPACE, of),
        finding=finding,
        supersedes=supersedes and uuid5(NAMESPACE, supersedes),
        review=review,
    )


def head(*log: ReworkOutcome, review: int = 1) -> UUID | None:
    found = effective(log, review).get(uuid5(NAMESPACE, "v"))
    return found and found.outcome_id


A, B = outcome("a"), outcome("b", FALSE_REJECT)


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ([A], "a"),
        ([A, B], "a"),  # two at once: the first in the log wins
        ([A, A], "a"),
        ([A, outcome("b", supersedes="a")], "b"),
        ([outcome("b", supersedes="a"), A], "a"),  # what names no present head doesn't count
        ([A, outcome("b", supersedes="a"), outcome("c", supersedes="a")], "b"),
        ([A, outcome("b", supersedes="a"), outcome("c", supersedes="b")], "c"),
        ([A, outcome("b", WITHDRAWN, "a")], None),
        ([A, outcome("b", WITHDRAWN, "a"), outcome("c", FALSE_REJECT, "b")], "c"),
        ([A, outcome("b", WITHDRAWN, "a"), outcome("c", FALSE_REJECT)], None),
        ([outcome("r", review=2), A], "a"),
    ],
)
def test_the_head_of_the_chain_of_supersedes_counts(log: list[ReworkOutcome], expected: str | None) -> None:
    assert head(*log) == (expected and uuid5(NAMESPACE, expected))


def test_each_review_and_each_verdict_has_a_head_of_its_own() -> None:
    log = [A, outcome("r", FALSE_REJECT, review=2), outcome("w", of="other")]
    assert {o.outcome_id for o in effective(log).values()} == {uuid5(NAMESPACE, "a"), uuid5(NAMESPACE, "w")}
    assert head(*log, review=2) == uuid5(NAMESPACE, "r")


@pytest.mark.parametrize("finding", ReworkFinding)
def test_only_confirmed_and_false_reject_say_whether_a_part_is_bad(finding: ReworkFinding) -> None:
    assert is_bad(outcome("x", finding)) is {CONFIRMED: True, FALSE_REJECT: False}.get(finding)


def clopper_pearson(bad: int, n: int) -> tuple[float, float]:
    return (
        float(beta.ppf(0.025, bad, n - bad + 1)) if bad else 0.0,
        float(beta.ppf(0.975, bad + 1, n - bad)) if bad < n else 1.0,
    )


@pytest.mark.parametrize(("bad", "n"), [(0, 10), (1, 10), (5, 100), (10, 10)])
def test_equal_probabilities_give_clopper_and_pearsons_interval(bad: int, n: int) -> None:
    found = escape_estimate([Audit(0.01, i < bad) for i in range(n)])
    low, high = clopper_pearson(bad, n)
    assert (found.value, found.low, found.high, found.n) == (
        pytest.approx(bad / n),
        pytest.approx(low),
        pytest.approx(high),
        n,
    )


def test_a_look_that_was_less_likely_weighs_more() -> None:
    found = escape_estimate([Audit(0.1, True), Audit(0.4, False), Audit(0.4, False)])
    assert found.value == pytest.approx(10 / 15)
    assert found.high is not None
    assert found.high - (found.low or 0) > np.subtract(*clopper_pearson(2, 3)[::-1])


def test_nothing_is_known_without_looks() -> None:
    assert escape_estimate([]) == overkill_estimate(0, 0, 9, 100) == overkill_estimate(3, 1, 4, 0) == Estimate()


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1])
def test_a_probability_that_is_none_is_refused(probability: float) -> None:
    with pytest.raises(ValueError, match="inclusion probability"):
        escape_estimate([Audit(probability, True)])


def test_overkill_is_the_share_of_false_among_decided_rejects_times_rejects_a_frame() -> None:
    low, high = clopper_pearson(5, 20)
    found = overkill_estimate(confirmed=15, false_rejects=5, rejects=40, frames=1000)
    assert (found.value, found.low, found.high) == (0.01, pytest.approx(low * 0.04), pytest.approx(high * 0.04))
    assert found.n == 20
