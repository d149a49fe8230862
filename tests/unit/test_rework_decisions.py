"""What can be decided, and the record of it."""

from __future__ import annotations

from uuid import UUID

import pytest

from schemas.records import Disposition, Outcome, ReworkFinding
from streams.downstream.rework.cases import Case, case_of_defect, case_of_sample
from streams.downstream.rework.decisions import (
    COMMENT_MAX,
    NAME_MAX,
    Decision,
    Signature,
    checked,
    outcome_of,
    withdrawal_of,
)
from streams.errors import CallerError
from tests.rework import at, defect, read, sample

BY = Signature(UUID(int=5), "ana", "R1", at(9))
CONFIRMED = ReworkFinding.CONFIRMED


def case(n: int = 1) -> Case:
    return case_of_defect(read(defect(n)))


@pytest.mark.parametrize("finding", [ReworkFinding.UNKNOWN, ReworkFinding.WITHDRAWN])
def test_what_is_no_finding_of_a_person_is_refused(finding: ReworkFinding) -> None:
    with pytest.raises(CallerError, match=f"a finding is one of CONFIRMED, .*; came {finding}"):
        checked(Decision(finding))


def test_texts_are_bounded_and_can_be_written() -> None:
    with pytest.raises(CallerError, match="at most 2000 characters; came 2001"):
        checked(Decision(CONFIRMED, comment="x" * (COMMENT_MAX + 1)))
    with pytest.raises(CallerError, match="at most 64 characters"):
        checked(Decision(CONFIRMED, label="x" * (NAME_MAX + 1)))
    assert checked(Decision(CONFIRMED, label="  ", comment="a\ud800b")) == Decision(CONFIRMED, None, comment="a?b")


def test_the_record_names_the_case_and_who_decided() -> None:
    record = outcome_of(case(), Decision(CONFIRMED, "dent", Disposition.SCRAP, "edge"), BY, None)
    assert (record.outcome_id, record.operator, record.rework_station, record.decided_at) == (
        *(BY.outcome_id, "ana", "R1"),
        at(9),
    )
    assert (record.predicted_label, record.corrected_label, record.supersedes) == ("scratch", "dent", None)
    assert (record.sample_id, record.inspected_at, record.review) == (None, at(1), 1)


def test_the_models_own_label_is_no_correction() -> None:
    assert outcome_of(case(), Decision(CONFIRMED, "scratch"), BY, None).corrected_label is None


def test_what_a_person_names_without_seeing_the_models_label_is_kept_though_it_is_the_same() -> None:
    case = case_of_sample(read(sample(1, predicted_label="scratch", verdict_outcome=Outcome.ERROR)))
    assert outcome_of(case, Decision(ReworkFinding.CONFIRMED, "scratch"), BY, None).corrected_label == "scratch"


def test_an_audits_record_names_its_sample() -> None:
    audit = case_of_sample(read(sample(1)))
    assert outcome_of(audit, Decision(CONFIRMED, "dent"), BY, None).sample_id == sample(1).sample_id


def test_a_withdrawal_supersedes_and_says_nothing_of_the_part() -> None:
    record = outcome_of(case(), Decision(CONFIRMED, "dent", Disposition.SCRAP, "edge"), BY, None)
    back = withdrawal_of(record, Signature(UUID(int=6), "bob", "R2", at(10)))
    assert (back.supersedes, back.finding, back.operator) == (record.outcome_id, ReworkFinding.WITHDRAWN, "bob")
    assert (back.corrected_label, back.disposition, back.comment) == (None, Disposition.UNKNOWN, "")
