"""Figures of comparisons and of thresholds, each against counting by hand or by other code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.measures import mcnemar
from models.views import any_wrong
from schemas.records import Outcome
from streams.errors import CallerError
from streams.inspection.decide import ClassRoles, judge
from streams.replay.comparison import compare, holm
from streams.replay.decided import Decision, Decisions, decisions_of
from streams.replay.page import answer, comparison_page
from streams.replay.truth import NO_OK, Truth, Truths, rates
from streams.replay.whatif import Limits, curve, outcomes, recommended, scored
from tests.builders import LONG_AGO, recipe

OK, NG, UNSURE = Outcome.OK, Outcome.NG, Outcome.UNSURE
FACTS = {"plant": "p", "line": "p/l1", "sku": "A", "camera": "c", "view": 1, "station": "s", "day": "2026-01-01"}


def decision(number: int, outcome: Outcome, score: float = 0.1, **facts: Any) -> Decision:
    told = {**FACTS, "recipe_version": 1, "part_id": f"P{number}", **facts}
    scores = {"good": 1 - score, "scratch": score, "dent": 0.0}
    return Decision((f"f{number}", 1), outcome, scores, score, facts.get("label"), "none", told)


def side(run: str, *decided: Decision, left_out: Mapping[str, int] | None = None) -> Decisions:
    return Decisions(run, {d.key: d for d in decided}, left_out or {}, frozenset(d.key for d in decided))


def test_mcnemar_is_the_two_sided_exact_binomial() -> None:
    assert mcnemar(0, 0) is None
    assert mcnemar(1, 5) == pytest.approx(2 * (1 + 6) / 64)
    assert mcnemar(5, 1) == mcnemar(1, 5)
    assert mcnemar(3, 3) == 1.0


def test_holm_adjusts_step_by_step() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


def test_flips_are_counted_in_both_directions_and_by_group() -> None:
    a = side("a", *(decision(n, [OK, NG, OK, UNSURE][n % 4], line=f"l{n % 2}") for n in range(40)))
    b = side("b", *(decision(n, [NG, NG, OK, OK][n % 4], 0.7, line=f"l{n % 2}") for n in range(40)))
    found = compare(a, b, Truths("labels", {}))
    assert (found.whole.passes_only_a, found.whole.passes_only_b, found.whole.same) == (10, 10, 20)
    assert found.matrix == {"NG>NG": 10, "OK>NG": 10, "OK>OK": 10, "UNSURE>OK": 10}
    lines = {g.value: (g.passes_only_a, g.passes_only_b) for g in found.groups if g.group == "line"}
    assert lines == {"l0": (10, 0), "l1": (0, 10)}
    assert found.shift.mean == pytest.approx(0.6)


def test_runs_over_different_frames_are_refused_unless_their_common_ones_are_asked_for() -> None:
    a, b = side("a", decision(1, OK), decision(2, OK)), side("b", decision(2, OK), decision(3, NG), decision(4, NG))
    with pytest.raises(CallerError, match="1 only in a, 2 only in b, 1 in both; compare those alone with --intersect"):
        compare(a, b, Truths("labels", {}))
    assert compare(a, b, Truths("labels", {}), intersect=True).pairs == 1


def test_a_picture_that_could_not_be_read_is_no_reject_whatever_its_recipe_makes_of_it() -> None:
    came = [("NG", "SCORE"), ("NG", "CORRUPT"), ("NG", "LATE"), ("ERROR", "CORRUPT")]
    table = pa.Table.from_pylist(
        [
            {**FACTS, "frame_id": f"f{n}", "attempt": 1, "outcome": outcome, "reason": reason, "label": None,
             "source_timestamp": LONG_AGO, "scores": "{}", "findings": "[]"}
            for n, (outcome, reason) in enumerate(came)
        ]
    )  # fmt: skip
    found = decisions_of("a", table, {})
    assert [d.outcome for d in found.by_frame.values()] == [NG, Outcome.ERROR, Outcome.ERROR]
    assert found.left_out == {"LATE": 1}


def test_rates_weight_every_part_by_the_inverse_of_its_probability() -> None:
    decided = side("a", decision(1, OK), decision(2, NG), decision(3, OK), decision(4, NG)).by_frame
    truths = Truths(
        "labels",
        {
            ("f1", 1): Truth(True, 0.1, OK),  # a bad part that passed: stands for ten
            ("f2", 1): Truth(True, 1.0, NG),
            ("f3", 1): Truth(False, 0.25, OK),
            ("f4", 1): Truth(False, 1.0, NG),
        },
    )
    found = rates(decided, truths)
    assert found.escape.estimate.value == pytest.approx(10 / 11)
    assert found.overkill.estimate.value == pytest.approx(1 / 5)


def test_without_a_passed_frame_of_known_truth_there_is_no_rate_but_a_reason() -> None:
    decided = side("a", decision(1, OK), decision(2, NG)).by_frame
    found = rates(decided, Truths("labels", {("f1", 1): Truth(True, None, OK), ("f2", 1): Truth(True, 1.0, NG)}))
    assert (found.escape.estimate.value, found.escape.why_not) == (None, NO_OK)
    assert (found.overkill.estimate.value, found.overkill.why_not) == (None, NO_OK)


@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30),
    limits=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    any_limit=st.none() | st.floats(0, 1),
    band=st.floats(0, 0.5),
)
def test_thresholds_decide_as_inspection_would(
    rows: list[tuple[float, float]], limits: tuple[float, float], any_limit: float | None, band: float
) -> None:
    names, thresholds = ("good", "scratch", "dent"), {"scratch": limits[0], "dent": limits[1]}
    if any_limit is not None:
        thresholds["*"] = any_limit
    decided = {}
    for n, (scratch, dent) in enumerate(rows):
        scores = {"good": 0.5, "scratch": scratch, "dent": dent}
        decided[f"f{n}", 1] = Decision((f"f{n}", 1), OK, scores, any_wrong([scratch, dent], [0.5]), None, "none", FACTS)
    asked = Limits(thresholds, band)
    roles = ClassRoles(names, frozenset({"scratch", "dent"}))
    made = recipe(thresholds=thresholds, unsure_band=band)
    expected = [judge([0.5, s, d], roles, made).outcome for s, d in rows]
    assert outcomes(scored(decided, asked), asked) == expected


def test_what_is_novel_stays_unsure_whatever_the_thresholds_are() -> None:
    """The limit is not in the run: the least novel picture that was UNSURE for it tells it, model by model."""
    judged = [
        (OK, 0.1, 0.20, "", "m1"),
        (UNSURE, 0.1, 0.31, "novelty 0.3100 is above 0.3000: like no good part seen", "m1"),
        (UNSURE, 0.45, 0.10, "", "m1"),  # near its limit, not novel
        (NG, 0.7, 0.40, "", "m1"),
        (NG, 0.7, 0.25, "", "m1"),
        (OK, 0.1, 0.50, "", "m2"),  # another model, of whose limit nothing is known
    ]
    made = [
        decision(n, outcome, score, novelty=novelty, detail=detail, model_sha256=model)
        for n, (outcome, score, novelty, detail, model) in enumerate(judged)
    ]
    lax = Limits({"scratch": 0.9, "dent": 0.9}, 0.0)
    assert outcomes(scored({d.key: d for d in made}, lax), lax) == [OK, UNSURE, OK, UNSURE, OK, OK]
    strict = Limits({"scratch": 0.05, "dent": 0.9}, 0.0)
    assert set(outcomes(scored({d.key: d for d in made}, strict), strict)) == {NG}


def test_the_highest_threshold_within_an_escape_rate_is_recommended() -> None:
    decided = {d.key: d for d in (decision(n, OK, n / 10) for n in range(10))}
    truths = Truths("labels", {("f%d" % n, 1): Truth(n >= 5, 1.0, OK) for n in range(10)})  # noqa: UP031
    limits = Limits({"scratch": 0.9, "dent": 0.5}, 0.0)
    points = curve(scored(decided, limits), limits, "scratch", truths)
    best = recommended(points, 0.0, None)
    assert best is not None
    assert best.threshold == pytest.approx(0.5)
    assert recommended(points, None, 0.0).threshold == pytest.approx(0.41)  # type: ignore[union-attr]
    assert recommended(points[:0], 0.0, None) is None


def test_the_report_is_the_same_every_time_and_takes_no_harm_from_what_parts_are_called() -> None:
    evil = "<script>alert(1)</script>"
    a, b = side("a", decision(1, OK, part_id=evil)), side("b", decision(1, NG, 0.9, part_id=evil))
    found = compare(a, b, Truths("labels", {}))
    made = [comparison_page(found, {"model_id": evil}, lambda pair: "gone & away", 5) for _ in range(2)]
    assert made[0] == made[1]
    assert "<script" not in made[0]
    assert "&lt;script&gt;" in made[0]
    assert "gone &amp; away" in made[0]
    assert "can't say" in answer(found).replace("&#39;", "'")
