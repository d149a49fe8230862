"""Two presses make a decision: what each key makes of a half-made one, and which class stands on CONFIRM."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from schemas.records import DefectDetected, Disposition, Finding, Outcome, ReworkFinding, VerdictIssued
from streams.bus.subscriber import Received
from streams.downstream.rework.cases import Case, case_of_defect
from streams.downstream.rework.decisions import Decision
from streams.inspection.decide import Judgement, Reason
from streams.web.station.draft import Draft, defect_labels, first_label, press
from tests.builders import frame, verdict

GOOD = frozenset({"good"})


def case(scores: dict[str, float], *found: str, **changes: object) -> Case:
    """A case whose verdict gave these scores and found these defects."""
    findings = tuple(Finding(label=label, score=scores.get(label, 0.9), threshold=0.5) for label in found)
    judged: VerdictIssued = verdict(frame(), Judgement(Outcome.NG, Reason.SCORE, findings=findings, scores=scores))
    defect = DefectDetected(verdict=judged, image_ref="file:///x")
    return dataclasses.replace(case_of_defect(Received(defect, 0, 0, datetime.now(UTC), None)), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("keys", "finding", "disposition"),
    [
        ("1r", ReworkFinding.CONFIRMED, Disposition.REWORK),
        ("1s", ReworkFinding.CONFIRMED, Disposition.SCRAP),
        ("2a", ReworkFinding.FALSE_REJECT, Disposition.USE_AS_IS),
        ("3b", ReworkFinding.INCONCLUSIVE, Disposition.RETURN),
        ("44", ReworkFinding.NOT_FOUND, Disposition.UNKNOWN),
    ],
)
def test_two_presses_make_a_decision(keys: str, finding: ReworkFinding, disposition: Disposition) -> None:
    once = press(Draft(label="scratch"), keys[0])
    assert isinstance(once, Draft)

    decided = press(once, keys[1])

    label = "scratch" if finding is ReworkFinding.CONFIRMED else None
    assert decided == Decision(finding, label, disposition)


@pytest.mark.parametrize("key", ["r", "s", "a", "b", "x", "enter", "5", "0"])
def test_nothing_is_decided_before_a_finding(key: str) -> None:
    assert press(Draft(), key) == Draft()


@pytest.mark.parametrize("key", ["r", "s", "a", "b"])
def test_a_part_that_was_not_found_goes_nowhere(key: str) -> None:
    not_found = Draft(finding=ReworkFinding.NOT_FOUND)

    assert press(not_found, key) == not_found


def test_the_finding_can_be_changed_before_the_second_press() -> None:
    confirmed = press(Draft(), "1")
    assert isinstance(confirmed, Draft)

    assert press(confirmed, "2") == Draft(finding=ReworkFinding.FALSE_REJECT)


def test_the_same_finding_twice_decides_nothing() -> None:
    confirmed = press(Draft(), "1")
    assert isinstance(confirmed, Draft)

    assert press(confirmed, "1") == confirmed


def test_choosing_a_class_confirms_and_the_note_goes_along() -> None:
    draft = Draft(label="scratch").with_comment("  at the rim ").with_label("dent")

    assert press(draft, "r") == Decision(ReworkFinding.CONFIRMED, "dent", Disposition.REWORK, "at the rim")


def test_classes_come_by_likelihood_without_the_good_ones_and_the_sum_of_all() -> None:
    shown = case({"good": 0.1, "scratch": 0.3, "dent": 0.6}, "*", "dent")

    assert defect_labels(shown, (), GOOD) == ["dent", "scratch"]
    assert first_label(shown, GOOD) == "dent"


def test_classes_that_only_other_cases_of_the_model_know_come_last() -> None:
    shown, other = case({"dent": 0.6}), case({"stain": 0.9})
    stranger = case({"rust": 0.9}, model_id="another")

    assert defect_labels(shown, (other, stranger), GOOD) == ["dent", "stain"]


def test_a_blind_case_suggests_no_class_and_orders_them_by_the_alphabet() -> None:
    blind = case({"scratch": 0.9, "dent": 0.1}, "scratch", review=2)

    assert first_label(blind, GOOD) is None
    assert defect_labels(blind, (), GOOD) == ["dent", "scratch"]


def test_an_unsure_verdict_suggests_its_likeliest_defect() -> None:
    assert first_label(case({"good": 0.5, "scratch": 0.2, "dent": 0.3}), GOOD) == "dent"
    assert first_label(case({}), GOOD) is None
