"""Kappas against published examples, and which outcomes are compared."""

from __future__ import annotations

import pytest

from schemas.records import Outcome, ReworkFinding
from streams.downstream.rework.agreement import agreement, cohen_kappa, fleiss_kappa
from tests.rework import outcome

WORKED_EXAMPLE = (  # known from many texts on the method: 14 raters, 10 subjects, 5 categories
    (0, 0, 0, 0, 14),
    (0, 2, 6, 4, 2),
    (0, 0, 3, 5, 6),
    (0, 3, 9, 2, 0),
    (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0),
    (3, 2, 6, 3, 0),
    (2, 5, 3, 2, 2),
    (6, 5, 2, 1, 0),
    (0, 2, 2, 3, 7),
)


def pairs_of(table: list[list[int]]) -> list[tuple[int, int]]:
    return [(i, j) for i, row in enumerate(table) for j, n in enumerate(row) for _ in range(n)]


def test_fleiss_kappa_of_the_worked_example() -> None:
    assert fleiss_kappa(WORKED_EXAMPLE) == pytest.approx(0.210, abs=0.0005)


def test_cohens_kappa_and_its_error_of_the_textbook_example() -> None:
    """Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, table 18.1: kappa 0.68, error 0.087."""
    kappa = cohen_kappa(pairs_of([[75, 1, 4], [5, 4, 1], [0, 0, 10]]))
    assert kappa is not None
    assert kappa.value == pytest.approx(0.676, abs=0.0005)
    assert (kappa.high - kappa.low) / 2 / 1.96 == pytest.approx(0.088, abs=0.0005)
    assert kappa.n == 100


def test_full_agreement_is_1_and_opposition_is_minus_1() -> None:
    full, opposed = cohen_kappa(pairs_of([[5, 0], [0, 5]])), cohen_kappa(pairs_of([[0, 5], [5, 0]]))
    assert full is not None
    assert opposed is not None
    assert (full.value, full.low, full.high) == (1.0, 1.0, 1.0)
    assert opposed.value == -1.0


@pytest.mark.parametrize("pairs", [[], [("a", "a")] * 9])
def test_kappa_is_undefined_without_ratings_and_where_all_are_the_same(pairs: list[tuple[str, str]]) -> None:
    assert cohen_kappa(pairs) is None
    assert fleiss_kappa([[2]] * len(pairs)) is None


@pytest.mark.parametrize("counts", [[[1, 0]], [[2, 0], [3, 0]]])
def test_items_with_too_few_or_unequal_ratings_are_refused(counts: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="the same number of ratings, at least 2; came"):
        fleiss_kappa(counts)


def test_first_decisions_are_compared_with_blind_reviews_of_the_same_verdict() -> None:
    good, bad = ReworkFinding.FALSE_REJECT, ReworkFinding.CONFIRMED
    log = []
    for n, (first, second) in enumerate([(bad, bad), (bad, bad), (good, good), (bad, good)]):
        log.append(outcome(n, f"{n} first", finding=first, corrected_label=None))
        log.append(outcome(n, f"{n} second", finding=second, corrected_label="dent" if n == 1 else None, review=2))
    log.append(outcome(9, "never reviewed"))
    log.append(outcome(0, "lost the race", finding=good))
    found = agreement(log)
    assert (found.reviewed, found.finding and found.finding.n) == (4, 4)
    assert found.finding is not None
    assert found.finding.value == pytest.approx(0.5)  # 3 of 4 agree, 1/2 by chance
    assert found.label is not None
    assert found.label.value == pytest.approx((1 / 2 - 5 / 16) / (1 - 5 / 16))  # 2 of 4, and dent is no scratch
    assert found.finding_fleiss == pytest.approx((0.75 - 0.53125) / (1 - 0.53125))
    assert found.label_fleiss is not None


def test_withdrawn_decisions_parts_not_found_and_missing_labels_are_no_ratings() -> None:
    log = [
        outcome(1, "a"),
        outcome(1, "b", review=2),
        outcome(1, "c", "a", finding=ReworkFinding.WITHDRAWN),
        outcome(2, "d"),
        outcome(2, "e", review=2, finding=ReworkFinding.NOT_FOUND),
        outcome(3, "f", corrected_label=None, verdict_outcome=Outcome.OK),
        outcome(3, "g", review=2, finding=ReworkFinding.INCONCLUSIVE),
    ]
    found = agreement(log)
    assert found.reviewed == 2
    assert found.finding is not None
    assert (found.finding.n, found.label) == (1, None)
