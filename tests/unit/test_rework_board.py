"""The board as a fold of topics: which cases there are, in which order, for whom."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Outcome, PartOutcome, ReworkFinding, Strategy
from streams.downstream.rework.board import Board
from streams.downstream.rework.cases import CaseKey, Scope
from streams.downstream.rework.chains import Standing
from streams.downstream.rework.review import drawn
from tests.contracts.samples import DEFECT, LOCATED
from tests.rework import EVERYTHING, at, claim, defect, handled, key, located, outcome, part, read, sample, verdict_id


def board(share: float = 0.0, scope: Scope = EVERYTHING) -> Board:
    return Board(scope, share)


def with_defects(*numbers: int, share: float = 0.0) -> Board:
    made = board(share)
    for place, n in enumerate(numbers):
        made.defect(read(defect(n), place))
    return made


def order_of(made: Board, order: Any = "oldest", operator: str = "ana") -> list[UUID]:
    return [case.verdict_id for case in made.open_cases(order, operator)]


def ids(*numbers: int) -> list[UUID]:
    return [verdict_id(n) for n in numbers]


# --- which cases ----------------------------------------------------------------------------------------------------


def test_a_case_carries_what_is_needed_to_look_and_decide() -> None:
    made = board()
    made.defect(read(defect(3, 0.75, source_timestamp=at(3), gateway_ms=500), 11, 4))
    case = made.case(key(3))
    assert case is not None
    assert (case.label, case.score, case.threshold) == ("scratch", 0.75, 0.5)
    assert (case.inspected_at, case.partition, case.offset, case.appended_at) == (at(2.5), 7, 11, at(4))
    assert (case.image_ref, case.verdict, case.blind) == (DEFECT.image_ref, case.defect and case.defect.verdict, False)
    assert case.station_key == b"leipzig/L1/S2"


def test_an_unsure_frame_without_a_finding_is_a_case_without_label_and_score() -> None:
    made = board()
    made.defect(read(defect(1, outcome=Outcome.UNSURE, findings=())))
    (case,) = made.open_cases("worst", "ana")
    assert (case.label, case.score, case.outcome) == (None, None, Outcome.UNSURE)


def test_the_first_record_of_a_verdict_is_the_case() -> None:
    made = with_defects(1)
    made.defect(read(defect(1, 0.6), 5))
    case = made.case(key(1))
    assert case is not None
    assert (case.score, case.offset) == (0.9, 0)


def test_simulated_verdicts_and_other_lines_are_no_cases() -> None:
    made = board(scope=Scope("leipzig", "L1"))
    made.defect(read(defect(1, simulated=True)))
    made.defect(read(defect(2, line="L2")))
    made.defect(read(defect(3, station="S9")))
    assert order_of(made) == ids(3)


def test_a_pass_audit_is_a_blind_case_and_other_samples_are_none() -> None:
    made = board()
    made.sample(read(sample(1)))
    made.sample(read(sample(2, strategy=Strategy.UNCERTAIN)))
    (case,) = made.open_cases("oldest", "ana")
    assert (case.verdict_id, case.blind, case.trigger_seq, case.label) == (verdict_id(1), True, None, "ok")
    assert dataclasses.astuple(made.counts()) == (0, 1, 0, 0)


@pytest.mark.parametrize("changes", [{"station": "a/b"}, {"gateway_ms": 2**62}])
def test_a_defect_that_can_be_no_case_is_refused(changes: dict[str, Any]) -> None:
    made = board()
    with pytest.raises(ValueError, match=r"came|can't be part of a key"):
        made.defect(read(defect(1, **changes)))
    assert made.counts().open == 0


# --- closing and opening --------------------------------------------------------------------------------------------


def test_a_sample_of_what_was_only_collected_is_a_blind_case_whatever_its_strategy() -> None:
    made = board()
    made.sample(read(sample(1, strategy=Strategy.UNCERTAIN, verdict_outcome=Outcome.ERROR)))
    (case,) = made.open_cases("oldest", "ana")
    assert (case.blind, case.outcome) == (True, Outcome.ERROR)


def test_an_outcome_closes_a_case_and_its_withdrawal_opens_it_again() -> None:
    made = with_defects(1)
    made.outcome(read(outcome(1, "a")))
    assert order_of(made) == []
    assert made.decision(key(1)) == outcome(1, "a")
    made.outcome(read(outcome(1, "b", "a", finding=ReworkFinding.WITHDRAWN), 1))
    assert order_of(made) == ids(1)
    assert made.decision(key(1)) is None
    made.outcome(read(outcome(1, "c", "b"), 2))
    assert made.decision(key(1)) == outcome(1, "c", "b")


def test_of_two_decisions_at_once_the_first_in_the_log_counts() -> None:
    made = with_defects(1)
    made.outcome(read(outcome(1, "a", operator="ana")))
    made.outcome(read(outcome(1, "b", operator="bob"), 1))
    assert made.decision(key(1)) == outcome(1, "a", operator="ana")
    assert (made.counted(outcome(1, "a")), made.counted(outcome(1, "b"))) == (True, False)


def test_an_outcome_read_before_its_defect_closes_the_case() -> None:
    made = board()
    made.outcome(read(outcome(1, "a")))
    made.defect(read(defect(1)))
    assert order_of(made) == []
    assert made.counts().decided == 1


# --- order ----------------------------------------------------------------------------------------------------------


def test_oldest_goes_by_the_time_of_inspection_and_worst_by_score() -> None:
    made = board()
    for place, (n, score) in enumerate([(3, 0.6), (1, 0.7), (2, 0.95)]):
        made.defect(read(defect(n, score), place))
    made.defect(read(defect(0, outcome=Outcome.UNSURE, findings=()), 3))
    assert order_of(made, "oldest") == ids(0, 1, 2, 3)
    assert order_of(made, "worst") == ids(2, 1, 3, 0)


def test_the_views_of_a_part_stand_together_where_its_first_or_worst_stands() -> None:
    made = board()
    for n, name, score in [(1, "A", 0.6), (2, "B", 0.7), (3, "A", 0.99), (4, "C", 0.8)]:
        made.defect(read(defect(n, score, part_id=name), n))
    assert order_of(made, "oldest") == ids(1, 3, 2, 4)
    assert order_of(made, "worst") == ids(1, 3, 4, 2)
    made.outcome(read(outcome(1, "a")))
    assert order_of(made, "oldest") == ids(2, 3, 4)


def test_parts_without_an_id_stand_in_their_physical_order_within_a_camera() -> None:
    """The broker's times of one camera's frames crossed on the way; those of another camera keep their places."""
    made = board()
    for place, (n, seq, camera) in enumerate([(1, 11, "top"), (2, 500, "side"), (3, 10, "top"), (4, 12, "top")]):
        made.defect(read(defect(n, part_id=None, trigger_seq=seq, camera=camera), place))
    assert order_of(made) == ids(3, 2, 1, 4)


def test_a_queue_of_50_000_cases_is_quick() -> None:
    made = board(0.05)
    for n in range(50_000):
        made.defect(read(defect(n, 0.5 + n % 97 / 200, part_id=f"P{n}" if n % 2 else None), n))
    made.open_cases("oldest", "ana")
    made.open_cases("worst", "ana")
    took = []
    for order in ("oldest", "worst", "oldest", "worst"):
        made.outcome(read(outcome(len(took), str(len(took)), operator="ana"), len(took)))
        began = time.thread_time()
        assert len(made.open_cases(order, "ana")) == 49_999 - len(took)  # type: ignore[arg-type]
        took.append(time.thread_time() - began)
    assert min(took) < 0.15, took  # of processor time; 0.05 s on a free core


# --- blind second reviews -------------------------------------------------------------------------------------------


def test_a_decided_case_comes_back_blind_to_everybody_but_the_first_operator() -> None:
    made = with_defects(1, share=1.0)
    made.outcome(read(outcome(1, "a", operator="ana")))
    assert order_of(made, operator="ana") == []
    (case,) = made.open_cases("oldest", "bob")
    assert (case.key, case.blind) == (key(1, 2), True)
    assert (made.may_decide(case.key, "ana"), made.may_decide(case.key, "bob")) == (False, True)
    made.outcome(read(outcome(1, "b", operator="bob", review=2), 1))
    assert order_of(made, operator="cy") == []


def test_the_second_look_goes_with_the_first_decision() -> None:
    made = with_defects(1, share=1.0)
    made.outcome(read(outcome(1, "a", operator="ana")))
    made.outcome(read(outcome(1, "b", "a", operator="ana", finding=ReworkFinding.WITHDRAWN), 1))
    assert [case.key for case in made.open_cases("oldest", "bob")] == [key(1)]


def test_a_part_that_nobody_found_is_not_looked_for_twice() -> None:
    made = with_defects(1, share=1.0)
    made.outcome(read(outcome(1, "a", finding=ReworkFinding.NOT_FOUND)))
    assert made.counts().open == 0


def test_who_reviewed_blindly_does_not_decide_the_reopened_case() -> None:
    made = with_defects(1, share=1.0)
    made.outcome(read(outcome(1, "a", operator="ana")))
    made.outcome(read(outcome(1, "b", operator="bob", review=2), 1))
    made.outcome(read(outcome(1, "c", "a", operator="ana", finding=ReworkFinding.WITHDRAWN), 2))
    assert order_of(made, operator="bob") == []
    assert order_of(made, operator="ana") == ids(1)


def test_the_draw_takes_about_the_share_and_a_larger_share_contains_the_smaller() -> None:
    twentieth = {n for n in range(4000) if drawn(verdict_id(n), 0.05)}
    tenth = {n for n in range(4000) if drawn(verdict_id(n), 0.1)}
    assert 140 < len(twentieth) < 260
    assert twentieth < tenth
    assert not any(drawn(verdict_id(n), 0.0) for n in range(100))
    assert all(drawn(verdict_id(n), 1.0) for n in range(100))


# --- claims, parts, blocks ------------------------------------------------------------------------------------------


def test_a_case_that_another_holds_is_shown_as_held_and_not_hidden() -> None:
    made = with_defects(1)
    made.claim(read(claim(1, "bob")))
    assert order_of(made, operator="ana") == ids(1)
    holder = made.holder(key(1), at(59))
    assert holder is not None
    assert holder.operator == "bob"
    assert made.holder(key(1), at(60)) is None


def test_a_part_is_found_with_its_open_cases_first() -> None:
    made = board()
    for n in (1, 2, 3):
        made.defect(read(defect(n, part_id="A"), n))
    made.outcome(read(outcome(1, "a")))
    assert [case.verdict_id for case in made.find("A", "ana")] == ids(2, 3, 1)
    assert made.find("B", "ana") == []


def test_what_others_decided_is_hidden_from_who_may_still_review_it_blindly() -> None:
    made = with_defects(1, share=1.0)
    made.outcome(read(outcome(1, "a", operator="ana"), seconds=9))
    assert [case.key for case in made.find("P1", "bob")] == [key(1, 2)]
    assert [case.key for case in made.find("P1", "ana")] == [key(1)]
    assert [event.record for event in made.history("P1", "bob")] == [defect(1)]
    assert [event.record for event in made.history("P1", "ana")] == [defect(1), outcome(1, "a", operator="ana")]


def test_the_history_of_a_part_is_all_that_is_known_oldest_first() -> None:
    made = board()
    repaired = part(2, part_id="A", pass_no=2, outcome=PartOutcome.OK)
    withdrawn = outcome(1, "b", "a", finding=ReworkFinding.WITHDRAWN)
    made.outcome(read(outcome(1, "a"), 0, 20))
    made.outcome(read(outcome(1, "too late"), 1, 21))
    made.outcome(read(withdrawn, 2, 30))
    made.part(read(repaired, 0, 40))
    made.part(read(part(3, part_id="B"), 1, 41))
    made.defect(read(defect(1, part_id="A"), 0, 10))
    assert [(event.record, event.standing) for event in made.history("A")] == [
        (defect(1, part_id="A"), Standing.STANDS),
        (outcome(1, "a"), Standing.SUPERSEDED),
        (outcome(1, "too late"), Standing.NEVER_COUNTED),
        (withdrawn, Standing.STANDS),
        (repaired, Standing.STANDS),
    ]


def feed_parts(made: Board, *parts: Any) -> None:
    for offset, each in enumerate(parts):
        made.part(read(each, offset, offset))


def test_uninspected_parts_are_one_block_until_an_inspected_one_comes() -> None:
    made = board()
    good = part(3, outcome=PartOutcome.OK)
    feed_parts(made, part(1), part(2), good, part(4, outcome=PartOutcome.NG), part(5))
    assert [(block.first.part_id, block.count) for block in made.blocks()] == [("P1", 2), ("P5", 1)]


def test_a_block_that_was_dealt_with_is_gone_and_what_joins_it_later_is_not() -> None:
    made = board()
    feed_parts(made, part(1), part(2))
    (block,) = made.blocks()
    assert made.handling(block) is None
    made.audit(read(handled(part(1), part(2))))
    assert made.blocks() == []
    assert made.handling(block) == handled(part(1), part(2))
    made.part(read(part(3), 2))
    assert [(b.first.part_id, b.count) for b in made.blocks()] == [("P3", 1)]


def test_an_entry_that_names_no_known_last_part_deals_with_the_first_alone() -> None:
    made = board()
    feed_parts(made, part(1), part(2))
    made.audit(read(handled(part(1), part(99))))
    assert [(b.first.part_id, b.count) for b in made.blocks()] == [("P2", 1)]


@pytest.mark.parametrize("after", [None, "", "[]", '"x"', '{"last": 1}', "{}", "[" * 100_000])
def test_an_entry_about_a_block_that_makes_no_sense_is_refused(after: str | None) -> None:
    with pytest.raises(ValueError):  # whatever JSON or UUID say
        board().audit(read(handled(part(1), part(2), after=after)))


def test_closed_cases_older_than_the_history_are_forgotten_and_open_ones_stay() -> None:
    made = with_defects(1, 2)
    made.outcome(read(outcome(1, "a"), 0, 10))
    made.outcome(read(outcome(3, "of a case that never came"), 1, 10))
    made.part(read(part(1), 0, 10))
    made.claim(read(claim(1, "ana"), 0, 10))
    made.forget(at(5))
    assert made.case(key(1)) is not None
    made.forget(at(3600))
    assert (made.case(key(1)), made.decision(key(1)), made.decision(key(3))) == (None, None, None)
    assert (order_of(made), made.history("P1"), made.blocks()) == (ids(2), (), [])
    assert made.find("P1", "ana") == []


# --- any interleaving -----------------------------------------------------------------------------------------------

TOPICS: dict[str, list[Any]] = {
    "defect": [defect(1, part_id="A"), defect(2, part_id=None), defect(3, part_id="A"), defect(2, 0.6), defect(5)],
    "sample": [sample(4), sample(5), sample(6, strategy=Strategy.RARE)],
    "outcome": [
        outcome(1, "a", operator="ana"),
        outcome(1, "b", operator="bob"),
        outcome(4, "c", operator="ana"),
        outcome(1, "d", "a", operator="ana", finding=ReworkFinding.WITHDRAWN),
        outcome(4, "e", operator="bob", review=2),
        outcome(1, "f", "d", operator="cy"),
        outcome(2, "g", operator="bob"),
    ],
    "claim": [claim(1, "ana"), claim(1, "bob"), claim(3, "bob"), claim(3, "bob", released=True), claim(2, "cy")],
    "part": [part(1), part(2), part(3, outcome=PartOutcome.NG, part_id="A"), part(4)],
    "audit": [handled(part(1), part(2)), handled(part(1), part(1), action="block.inspect-by-hand")],
}


def what_shows(made: Board) -> Any:
    keys = [CaseKey(verdict_id(n), review) for n in range(1, 7) for review in (1, 2)]
    return (
        [made.open_cases(order, who) for order in ("oldest", "worst") for who in ("ana", "bob", "cy")],  # type: ignore[arg-type]
        [made.holder(k, at(30)) for k in keys],
        [made.decision(k) for k in keys],
        [made.find(p, who) for p in ("A", "P4", "P5") for who in ("ana", "dan")],
        [made.history(p, who) for p in ("A", "P4", "P5") for who in (None, "dan")],
        made.blocks(),
        made.counts(),
    )


def folded(feeding: list[str]) -> Any:
    made, taken = board(0.5), dict.fromkeys(TOPICS, 0)
    for name in feeding:
        feed: Callable[[Any], None] = getattr(made, name)
        feed(read(TOPICS[name][taken[name]], taken[name], taken[name]))
        taken[name] += 1
    return what_shows(made)


IN_TURN = [name for name, records in TOPICS.items() for _ in records]


@given(st.permutations(IN_TURN))
def test_any_interleaving_of_topics_gives_the_same_board(feeding: list[str]) -> None:
    assert folded(feeding) == folded(IN_TURN)


# --- where the defects lie ------------------------------------------------------------------------------------------


def test_places_come_before_or_after_their_defect_and_belong_to_it_alone() -> None:
    made = board()
    made.located(read(located(1)))
    made.defect(read(defect(1)))
    made.defect(read(defect(2)))
    first, second = made.open_cases("oldest", "ana")
    assert [place.label for place in made.places(first)] == ["scratch"]
    assert made.places(second) == ()
    made.located(read(located(2)))
    assert len(made.places(second)) == 1


def test_places_stay_when_a_later_look_finds_nothing_and_give_way_to_newer_ones() -> None:
    made = with_defects(1)
    (case,) = made.open_cases("oldest", "ana")
    made.located(read(located(1, places=())))
    assert made.places(case) == ()
    made.located(read(located(1), 1))
    made.located(read(located(1, places=()), 2))
    assert [place.label for place in made.places(case)] == ["scratch"]
    made.located(read(located(1, places=LOCATED.places * 2), 3))
    assert len(made.places(case)) == 2


def test_places_are_not_shown_blindly_not_of_other_lines_and_not_kept_for_ever() -> None:
    made = board(scope=Scope("leipzig", "L1"))
    made.sample(read(sample(1)))
    made.located(read(located(1)))
    (audit,) = made.open_cases("oldest", "ana")
    assert made.places(audit) == ()
    made.defect(read(defect(2)))
    made.located(read(located(2, line="L2")))
    assert made.places(made.open_cases("oldest", "ana")[-1]) == ()
    made.located(read(located(3), seconds=10))
    made.forget(at(60))
    made.defect(read(defect(3)))
    assert made.places(made.open_cases("oldest", "ana")[-1]) == ()
