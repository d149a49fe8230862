"""What a line's periods put on their shortlists."""

from __future__ import annotations

import dataclasses
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Finding, Outcome, Reason, Strategy, VerdictIssued
from streams.downstream.sampling.audits import AuditDay, expected_shares
from streams.downstream.sampling.line import Line, Shortlist
from streams.downstream.sampling.plan import Plan, draw
from tests.contracts.samples import verdict
from tests.sampling_world import a_plan

START = datetime(2026, 3, 2, 12, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
PLAN = a_plan()


def judged(n: int, at: datetime = START, **changes: Any) -> VerdictIssued:
    fields: dict[str, Any] = {
        "plant": "p1",
        "line": "l1",
        "source_timestamp": at,
        "source_offset": n,
        "image_sha256": f"{n:016x}" + "0" * 48,
    }
    return verdict(n, **fields | changes)


def passed(n: int, at: datetime = START, **changes: Any) -> VerdictIssued:
    return judged(n, at, outcome=Outcome.OK, findings=(), scores={"good": 0.9, "scratch": 0.1}, **changes)


def rejected(n: int, at: datetime = START, label: str = "scratch", score: float = 0.9, **changes: Any) -> VerdictIssued:
    return judged(n, at, findings=(Finding(label=label, score=score, threshold=0.5),), **changes)


def unsure(n: int, at: datetime = START) -> VerdictIssued:
    return judged(n, at, outcome=Outcome.UNSURE, findings=(), scores={"good": 0.55, "scratch": 0.45})


def closed(verdicts: list[VerdictIssued], start: datetime = START, plan: Plan = PLAN) -> dict[Strategy, Shortlist]:
    line = Line(("p1", "l1"), plan)
    for v in verdicts:
        line.verdict(v, v.source_timestamp)
    return {shortlist.strategy: shortlist for shortlist in line.close(start, set())}


def numbers(shortlist: Shortlist) -> list[int]:
    return [c.verdict.trigger_seq for c in shortlist.candidates]


ALL = a_plan(budget=9_600, shares={Strategy.PASS_AUDIT: 1.0})  # 100 audits a period


def test_every_pass_is_audited_where_the_budget_has_room_and_each_with_certainty() -> None:
    audits = closed([passed(n) for n in range(20)], plan=ALL)[Strategy.PASS_AUDIT]
    assert sorted(numbers(audits)) == list(range(20))
    assert {c.inclusion for c in audits.candidates} == {1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"simulated": True},
        {"run": "replay-1"},
        {"reason": Reason.LATE},
        {"outcome": Outcome.ERROR, "reason": Reason.CORRUPT},
        {"outcome": Outcome.NG, "reason": Reason.CORRUPT},
    ],
)
def test_replays_and_late_or_unreadable_frames_are_no_samples(changes: dict[str, Any]) -> None:
    base = passed(1) if "outcome" not in changes else judged(1)
    shortlists = closed([dataclasses.replace(base, findings=(), **changes)], plan=ALL)
    assert not any(shortlist.candidates for shortlist in shortlists.values())


def test_an_equal_file_counts_once_in_the_population_of_audits() -> None:
    twice = [passed(1), passed(2, image_sha256=passed(1).image_sha256), passed(3)]
    assert sorted(numbers(closed(twice, plan=ALL)[Strategy.PASS_AUDIT])) == [1, 3]


def test_a_picture_that_is_a_sample_already_is_no_part_of_the_population() -> None:
    line = Line(("p1", "l1"), ALL)
    for n in range(3):
        line.verdict(passed(n), START)
    audits = line.close(START, {passed(1).image_sha256[:16].encode()})[0]
    assert sorted(numbers(audits)) == [0, 2]
    assert "2 different pictures" in audits.candidates[0].why


def test_uncertain_are_the_unsure_and_those_rejected_by_a_hair_the_nearest_first() -> None:
    near = closed([passed(1), rejected(2, score=0.56), rejected(3, score=0.7), unsure(4), rejected(5, score=0.51)])
    assert numbers(near[Strategy.UNCERTAIN]) == [4, 5, 2]
    assert all(c.why.endswith(".") for c in near[Strategy.UNCERTAIN].candidates)


def test_novel_are_the_unsure_and_rejected_that_are_least_like_any_good_part() -> None:
    plan = a_plan(shares={Strategy.NOVEL: 0.5})
    seen = [
        judged(1, outcome=Outcome.UNSURE, findings=(), novelty=0.4, detail="novelty 0.4000 is above 0.2000"),
        rejected(2, novelty=0.7),
        judged(3, outcome=Outcome.UNSURE, findings=(), novelty=None),
        passed(4, novelty=0.1),
    ]
    found = closed(seen, plan=plan)[Strategy.NOVEL]
    assert numbers(found) == [2, 1]
    assert "Its novelty is 0.700" in found.candidates[0].why


def collected(n: int, scores: dict[str, float], **changes: Any) -> VerdictIssued:
    """A frame of a recipe that only collects."""
    return judged(n, outcome=Outcome.ERROR, reason=Reason.UNQUALIFIED, findings=(), scores=scores, **changes)


def test_of_what_is_only_collected_the_closest_calls_are_uncertain_and_nothing_is_an_audit_of_a_pass() -> None:
    verdicts = [collected(1, {"good": 0.9, "scratch": 0.1}), collected(2, {"good": 0.45, "scratch": 0.55})]
    verdicts += [collected(3, {"good": 0.7, "scratch": 0.3}), collected(4, {}), passed(5)]
    shortlists = closed(verdicts)
    uncertain = shortlists[Strategy.UNCERTAIN]
    assert numbers(uncertain) == [2, 3, 1]
    assert uncertain.candidates[0].why == (
        "The recipe only collects; the model says scratch with 0.55, 0.10 ahead of all else."
    )
    assert numbers(shortlists[Strategy.PASS_AUDIT]) == [5]


def test_of_what_is_only_collected_the_least_like_good_parts_are_novel() -> None:
    scores = {"good": 1.0}
    verdicts = [collected(n, scores, novelty=float(n)) for n in (1, 2, 3)]
    plan = a_plan(shares={Strategy.NOVEL: 1.0})
    assert numbers(closed(verdicts, plan=plan)[Strategy.NOVEL]) == [3, 2, 1]


def test_what_is_unsure_for_another_reason_than_a_score_says_so() -> None:
    novel = judged(
        1, outcome=Outcome.UNSURE, findings=(), detail="novelty 0.4000 is above 0.2000: like no good part seen"
    )
    (candidate,) = closed([novel])[Strategy.UNCERTAIN].candidates
    assert candidate.why == "The model was unsure: novelty 0.4000 is above 0.2000: like no good part seen."


def test_rare_are_classes_with_few_sightings_since_yesterday() -> None:
    """yesterday 400 scratches ── today 1 dent, 1 scratch: only the dent is rare"""
    before = [rejected(n, START - timedelta(days=1)) for n in range(400)]
    found = closed([*before, rejected(1_000, label="dent"), rejected(1_001)])[Strategy.RARE]
    assert numbers(found) == [1_000]
    assert "1 of this line's 402 defects" in found.candidates[0].why


def test_what_comes_after_a_period_changes_nothing_in_its_shortlists() -> None:
    now = [passed(n) for n in range(50)] + [rejected(n, label="dent") for n in range(50, 60)]
    later = [rejected(n, START + QUARTER, label="dent") for n in range(100, 200)]
    assert closed(now) == closed(now + later)


@given(st.randoms(use_true_random=False), st.integers(1, 300))
def test_the_order_in_which_verdicts_come_changes_nothing(rng: random.Random, count: int) -> None:
    verdicts = [(passed, unsure, rejected)[n % 3](n) for n in range(count)]
    shuffled = rng.sample(verdicts, count)
    assert closed(verdicts) == closed(shuffled)


def test_another_seed_draws_other_passes() -> None:
    verdicts = [passed(n) for n in range(500)]
    draws = [closed(verdicts, plan=dataclasses.replace(ALL, seed=seed))[Strategy.PASS_AUDIT] for seed in (1, 1, 2)]
    assert numbers(draws[0]) == numbers(draws[1]) != numbers(draws[2])


def test_what_a_period_leaves_over_later_ones_may_spend() -> None:
    line, allowed = Line(("p1", "l1"), PLAN), []
    for number in range(8):
        start = START.replace(hour=0) + number * QUARTER
        line.verdict(unsure(number, start), start)
        most = next(s for s in line.close(start, set()) if s.strategy is Strategy.UNCERTAIN).most
        allowed.append(most)
        line.spend(start, Strategy.UNCERTAIN, most if number > 4 else 0)
    assert allowed == [1, 1, 2, 2, 3, 3, 0, 1]  # 40 a day over 96 periods


volumes = st.lists(st.integers(0, 5_000), min_size=24, max_size=24)


@given(volumes, volumes, st.integers(0, 300), st.floats(0, 1, exclude_max=True))
def test_audits_keep_the_days_budget_and_leave_no_pass_without_a_chance(
    yesterday: list[int], today: list[int], budget: int, start: float
) -> None:
    day = AuditDay(budget, start, expected_shares(yesterday))
    allotments = [day.allot(slot, population) for slot, population in enumerate(today)]
    assert sum(a.count for a in allotments) <= budget
    for allotment, population in zip(allotments, today, strict=True):
        assert allotment.count <= population
        assert 0 <= allotment.inclusion <= 1
        assert (allotment.inclusion > 0) == (population > 0 and budget > 0)


def test_the_number_of_audits_is_the_one_promised_on_average() -> None:
    starts, counts, promised = 2_000, [0.0] * 24, [0.0] * 24
    for number in range(starts):
        day = AuditDay(37, draw(number, "start"), expected_shares([10] * 12 + [40] * 12))
        for slot in range(24):
            allotment = day.allot(slot, 30)
            counts[slot] += allotment.count / starts
            promised[slot] = 30 * allotment.inclusion
    assert counts == pytest.approx(promised, abs=0.06)


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": 0},
        {"period_s": 7},
        {"period_s": 0},
        {"shares": {Strategy.RARE: 1.2}},
        {"shares": {Strategy.UNKNOWN: 0.1}},
        {"shares": {Strategy.RARE: -0.1}},
        {"shares": {Strategy.RARE: float("nan")}},
        {"near_bits": 65},
    ],
)
def test_a_plan_that_cannot_be_kept_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        a_plan(**changes)
