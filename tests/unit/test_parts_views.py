"""What the views of a part say together."""

from __future__ import annotations

import pytest

from schemas.records import Fallback, Mode, Outcome, PartOutcome, PartReason, Reason
from streams.downstream.parts.views import View, judged, labels, mode
from streams.inspection.decide import Judgement, judge, rejected
from tests.builders import ROLES, recipe
from tests.parts import COLLECTED, ERROR, LATE, NG, OK, UNSURE, view

NOT_INSPECTED = PartOutcome.NOT_INSPECTED
LATE_NG = Judgement(Outcome.NG, Reason.LATE)
LATE_UNSURE = Judgement(Outcome.UNSURE, Reason.LATE)
CORRUPT_NG = rejected(Reason.CORRUPT, "", recipe(error_action=Fallback.NG))
CORRUPT_UNSURE = rejected(Reason.CORRUPT, "", recipe(error_action=Fallback.UNSURE))
LATE_OK = Judgement(Outcome.OK, Reason.LATE)  # nobody issues that


def views(*judgements: Judgement | None) -> dict[int, View]:
    came = {n: j for n, j in enumerate(judgements, 1) if j is not None}
    return {n: View.of(view("P", n, len(judgements), j), n) for n, j in came.items()}


@pytest.mark.parametrize(
    ("judgements", "outcome", "reason", "detail"),
    [
        ((OK, OK), PartOutcome.OK, PartReason.VIEWS, ""),
        ((OK, UNSURE), PartOutcome.UNSURE, PartReason.VIEWS, ""),
        ((NG, OK), PartOutcome.NG, PartReason.VIEWS, "view 1 NG"),
        ((NG, None, LATE, ERROR), PartOutcome.NG, PartReason.VIEWS, "view 1 NG; view 2 of 4 missing; view 3 late; "
         "view 4 not inspected: CORRUPT"),
        ((OK, None, OK, None), NOT_INSPECTED, PartReason.MISSING_VIEW, "views 2 and 4 of 4 missing"),
        ((OK, None, None, None, UNSURE), NOT_INSPECTED, PartReason.MISSING_VIEW, "views 2 to 4 of 5 missing"),
        ((OK, LATE), NOT_INSPECTED, PartReason.LATE_VIEW, "view 2 late"),
        ((LATE, UNSURE, ERROR), NOT_INSPECTED, PartReason.LATE_VIEW, "view 1 late; view 3 not inspected: CORRUPT"),
        ((OK, ERROR, UNSURE), NOT_INSPECTED, PartReason.ERROR_VIEW, "view 2 not inspected: CORRUPT"),
        ((OK, LATE_NG), PartOutcome.NG, PartReason.VIEWS, "view 2 NG"),
        ((OK, LATE_UNSURE), PartOutcome.UNSURE, PartReason.VIEWS, ""),
        ((OK, CORRUPT_NG), PartOutcome.NG, PartReason.VIEWS, "view 2 NG"),
        ((OK, CORRUPT_UNSURE), PartOutcome.UNSURE, PartReason.VIEWS, ""),
        ((OK, LATE_OK), NOT_INSPECTED, PartReason.LATE_VIEW, "view 2 late"),
        ((COLLECTED, COLLECTED), NOT_INSPECTED, PartReason.VIEWS, "views 1 and 2 only collected"),
        ((COLLECTED, OK, UNSURE), NOT_INSPECTED, PartReason.VIEWS, "view 1 only collected"),
        ((COLLECTED, NG), PartOutcome.NG, PartReason.VIEWS, "view 2 NG; view 1 only collected"),
        ((COLLECTED, None), NOT_INSPECTED, PartReason.MISSING_VIEW, "view 2 of 2 missing; view 1 only collected"),
        ((COLLECTED, ERROR), NOT_INSPECTED, PartReason.ERROR_VIEW, "view 2 not inspected: CORRUPT; "
         "view 1 only collected"),
    ],
)  # fmt: skip
def test_the_worst_that_is_certain_decides(
    judgements: tuple[Judgement | None, ...], outcome: PartOutcome, reason: PartReason, detail: str
) -> None:
    came = judged(views(*judgements), len(judgements))

    assert (came.outcome, came.reason, came.detail) == (outcome, reason, detail)


def test_a_part_whose_views_contradict_each_other_is_never_ok() -> None:
    came = judged(views(OK, OK), 2, ["its views disagree on how many there are"])

    assert (came.outcome, came.reason) == (NOT_INSPECTED, PartReason.ERROR_VIEW)


def test_two_thousand_million_missing_views_are_one_range() -> None:
    came = judged(views(OK), 2**31 - 1)

    assert came.detail == "views 2 to 2147483647 of 2147483647 missing"


def test_labels_come_surest_first_and_once() -> None:
    scratch, both = judge([0, 0.6, 0.4], ROLES, recipe()), judge([0, 0.5, 0.9], ROLES, recipe())

    assert labels(views(scratch, both).values()) == ("dent", "scratch")


def test_only_a_part_whose_views_all_may_act_may_be_moved() -> None:
    acting = View.of(view("P", 1), 0)
    advising = View(acting.shown, 1, (), Mode.ADVISE, None, None)

    assert mode([acting, acting]) is Mode.ACT
    assert mode([acting, advising]) is Mode.ADVISE
