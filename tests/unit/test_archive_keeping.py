"""Which pictures of passed frames are kept: the probabilities are those of the draws, the budget holds, tries agree."""

from __future__ import annotations

from uuid import uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Mode, Outcome, Reason
from streams.archive.keeping import UNDECIDED, Allowance, Passed, choose, kept_for
from streams.archive.periods import Period, is_closed, next_period, period_at
from streams.archive.verdicts import LiveOutcomes
from streams.inspection.decide import judge, rejected, unqualified
from tests.builders import NAMESPACE, ROLES, frame, recipe, verdict


def passed(count: int, nbytes: int = 100) -> list[Passed]:
    return [Passed(n % 3, n, uuid5(NAMESPACE, str(n)), nbytes) for n in range(count)]


def test_what_did_not_pass_is_always_kept_and_what_has_no_verdict_too() -> None:
    assert [kept_for(o) for o in (Outcome.NG, Outcome.UNSURE, Outcome.ERROR)] == ["NG", "UNSURE", "ERROR"]
    assert kept_for(Outcome.OK) is None
    assert kept_for(Outcome.ERROR, collected=True) is None
    assert kept_for(None) == kept_for(Outcome.UNKNOWN) == UNDECIDED


@given(count=st.integers(0, 200), share=st.floats(0, 1), budget=st.integers(0, 30_000), seed=st.text(max_size=5))
def test_the_budget_is_never_passed_and_the_probability_is_the_expected_share(
    count: int, share: float, budget: int, seed: str
) -> None:
    chosen = choose(passed(count), Allowance(share, budget), seed)
    assert sum(frame.nbytes for frame in chosen.frames) <= budget
    assert 0 <= chosen.probability <= share * (1 + 1e-9) or count == 0
    assert abs(len(chosen.frames) - chosen.probability * count) < 1 + 1e-9
    assert choose(list(reversed(passed(count))), Allowance(share, budget), seed) == chosen


def test_over_many_periods_each_frame_is_kept_as_often_as_its_probability_says() -> None:
    frames, times = passed(7), 3000
    kept = dict.fromkeys((f.offset for f in frames), 0)
    for period in range(times):
        chosen = choose(frames, Allowance(0.25, 10**9), f"l/{period}")
        assert chosen.probability == pytest.approx(0.25)
        for one in chosen.frames:
            kept[one.offset] += 1
    for count in kept.values():
        assert count / times == pytest.approx(0.25, abs=0.03)  # 3.8 standard deviations


def test_of_a_frame_the_first_verdict_says_its_outcome_and_whether_it_was_only_collected() -> None:
    outcomes = LiveOutcomes("lineside.frames", {0: (0, 5)})
    corrupt, collects = rejected(Reason.CORRUPT, ""), unqualified("", {"good": 1.0}, recipe(mode=Mode.COLLECT))
    judged = (collects, corrupt, judge([1, 0, 0], ROLES, recipe()), unqualified("no recipe"))
    for offset, judgement in enumerate(judged):
        outcomes.add(0, verdict(frame(offset), judgement, offset))
    outcomes.add(0, verdict(frame(0), judge([1, 0, 0], ROLES, recipe()), 0))  # a later one counts for nothing
    told = [(outcomes.outcome(0, offset), outcomes.collected(0, offset)) for offset in range(5)]
    assert told == [
        (Outcome.ERROR, True),
        (Outcome.ERROR, False),
        (Outcome.OK, False),
        (Outcome.UNSURE, False),
        (None, False),
    ]


def test_periods_lie_on_a_fixed_grid_and_close_when_nothing_can_join_any_more() -> None:
    assert period_at(7_300, 1000) == Period(7000, 8000)
    assert next_period({0: 9_100, 1: None, 2: 7_300}, 1000) == Period(7000, 8000)
    assert next_period({0: None}, 1000) is None
    assert is_closed(Period(7000, 8000), [True, True], 0, 500)
    assert not is_closed(Period(7000, 8000), [True, False], 8_400, 500)
    assert is_closed(Period(7000, 8000), [True, False], 8_500, 500)
