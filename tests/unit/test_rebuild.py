"""A decision made again: the same bits, within tolerance, or different, and why."""

from __future__ import annotations

import dataclasses

import pytest

from schemas.records import Fallback, Outcome, Precision, Reason
from streams.archive.rebuild import GOOD, Answer, judged_again, rejected_again
from streams.inspection.decide import Provenance, judge, rejected
from tests.builders import ROLES, frame, recipe, verdict

HERE = Provenance(model_id="m1", preprocess_sha256="p", device="openvino:CPU", precision=Precision.FP32)
SCORES = [0.2, 0.7, 0.1]
WAS = verdict(frame(1), judge(SCORES, ROLES, recipe()), provenance=HERE)
TOLERANCE = 0.01


def test_the_same_bits_are_the_same() -> None:
    again = judged_again(WAS, judge(SCORES, ROLES, recipe()), HERE, TOLERANCE)
    assert (again.answer, again.was, again.came, again.largest) == (Answer.SAME, "NG", "NG", 0.0)
    assert again.answer in GOOD


@pytest.mark.parametrize(
    ("by", "why"),
    [
        (HERE, "openvino:CPU FP32 on another processor or of another version"),
        (dataclasses.replace(HERE, device="torch:cuda"), "openvino:CPU FP32 then, torch:cuda FP32 now"),
        (dataclasses.replace(HERE, precision=Precision.BF16), "openvino:CPU FP32 then, openvino:CPU BF16 now"),
    ],
)
def test_other_bits_are_within_tolerance_or_different_and_the_engines_are_named(by: Provenance, why: str) -> None:
    near = judged_again(WAS, judge([0.205, 0.695, 0.1], ROLES, recipe()), by, TOLERANCE)
    assert near.answer is Answer.WITHIN_TOLERANCE
    assert near.says.endswith(why)
    assert near.largest == pytest.approx(0.005)
    far = judged_again(WAS, judge([0.15, 0.75, 0.1], ROLES, recipe()), by, TOLERANCE)
    assert far.answer is Answer.DIFFERENT
    assert "by up to 0.05, allowed are 0.01" in far.says


def test_another_outcome_label_preprocessing_or_set_of_classes_is_different_however_near() -> None:
    on_the_limit = recipe(thresholds={"scratch": 0.7001, "dent": 0.5})
    assert judged_again(WAS, judge(SCORES, ROLES, on_the_limit), HERE, TOLERANCE).answer is Answer.DIFFERENT
    both = recipe(thresholds={"scratch": 0.5, "dent": 0.05})
    assert judged_again(WAS, judge(SCORES, ROLES, both), HERE, TOLERANCE).answer is Answer.DIFFERENT
    other = dataclasses.replace(HERE, preprocess_sha256="q")
    changed = judged_again(WAS, judge(SCORES, ROLES, recipe()), other, TOLERANCE)
    assert changed.answer is Answer.DIFFERENT
    assert "the preprocessing has changed: p then, q now" in changed.says
    fewer = dataclasses.replace(judge(SCORES, ROLES, recipe()), scores={"scratch": 0.7})
    assert judged_again(WAS, fewer, HERE, TOLERANCE).answer is Answer.DIFFERENT


def test_a_picture_that_was_refused_must_be_refused_for_the_same_reason() -> None:
    was = verdict(frame(2), rejected(Reason.CORRUPT, "no picture"))
    assert was.outcome is Outcome.ERROR
    assert rejected_again(was, rejected(Reason.CORRUPT, "")).answer is Answer.SAME
    assert rejected_again(was, rejected(Reason.TOO_LARGE, "")).answer is Answer.DIFFERENT


def test_a_picture_that_was_refused_must_count_as_what_its_recipe_said() -> None:
    by = recipe(error_action=Fallback.NG)
    was = verdict(frame(2), rejected(Reason.CORRUPT, "no picture", by))
    again = rejected_again(was, rejected(Reason.CORRUPT, "no picture", by))
    assert (again.answer, again.was, again.came) == (Answer.SAME, "NG", "NG")
    assert rejected_again(was, rejected(Reason.CORRUPT, "no picture", recipe())).answer is Answer.DIFFERENT
