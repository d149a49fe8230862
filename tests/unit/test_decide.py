"""The pure core: which verdict follows from scores, recipe and time."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import Fallback, Mode, Outcome, Reason
from streams.inspection.decide import (
    ANY_DEFECT,
    DETAIL_MAX_CHARS,
    Judgement,
    Provenance,
    is_collected,
    issue,
    judge,
    late,
    rejected,
    remaining_ms,
    unqualified,
    verdict_id,
)
from streams.inspection.fallback import is_fallback, is_unreadable
from tests.builders import CODEC, LONG_AGO, ROLES, frame, recipe, source, verdict

BINARY = {"scratch": 0.5, "dent": 0.75}  # exact in binary, so that "at the threshold" means it


@pytest.mark.parametrize(
    ("scratch", "outcome"),
    [
        (0.0, Outcome.OK),
        (0.2499, Outcome.OK),
        (0.25, Outcome.UNSURE),  # threshold less unsure_band
        (0.4999, Outcome.UNSURE),
        (0.5, Outcome.NG),
        (1.0, Outcome.NG),
    ],
)
def test_a_score_is_ng_from_its_threshold_on_and_unsure_within_the_band_below(scratch: float, outcome: Outcome) -> None:
    judged = judge([1 - scratch, scratch, 0.0], ROLES, recipe(thresholds=BINARY, unsure_band=0.25))
    assert (judged.outcome, judged.reason) == (outcome, Reason.SCORE)
    assert judged.scores == {"good": 1 - scratch, "scratch": scratch, "dent": 0.0}


def test_without_a_band_nothing_is_unsure() -> None:
    assert judge([0.51, 0.49, 0.0], ROLES, recipe(unsure_band=0.0)).outcome is Outcome.OK


def test_the_score_of_a_good_class_decides_nothing() -> None:
    assert judge([0.0, 0.1, 0.1], ROLES, recipe()).outcome is Outcome.OK


def test_several_defects_are_all_found_with_the_surest_first() -> None:
    judged = judge([0.0, 0.5, 0.875], ROLES, recipe(thresholds=BINARY))
    assert [(f.label, f.score, f.threshold) for f in judged.findings] == [("dent", 0.875, 0.75), ("scratch", 0.5, 0.5)]


def test_ok_and_unsure_carry_no_findings() -> None:
    assert judge([0.6, 0.4, 0.0], ROLES, recipe()).findings == ()


def test_defects_that_are_small_alone_are_found_by_their_sum_where_the_recipe_limits_it() -> None:
    scores = [0.25, 0.375, 0.375]
    assert judge(scores, ROLES, recipe(unsure_band=0.0)).outcome is Outcome.OK
    judged = judge(scores, ROLES, recipe(unsure_band=0.0, thresholds={"scratch": 0.5, "dent": 0.5, ANY_DEFECT: 0.75}))
    assert judged.outcome is Outcome.NG
    assert [(f.label, f.score) for f in judged.findings] == [(ANY_DEFECT, 0.75)]


def test_the_sum_of_rounded_scores_is_never_above_one() -> None:
    judged = judge([0.0, 0.75, 0.75], ROLES, recipe(thresholds={"scratch": 0.5, "dent": 0.5, ANY_DEFECT: 0.5}))
    assert max(f.score for f in judged.findings) == 1.0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_score_that_is_no_number_is_an_error_wherever_it_stands(bad: float, place: int) -> None:
    scores = [0.1, 0.1, 0.1]
    scores[place] = bad
    judged = judge(scores, ROLES, recipe())
    assert (judged.outcome, judged.reason) == (Outcome.ERROR, Reason.NON_FINITE)
    assert judged.is_unreadable


def test_a_defect_without_a_threshold_is_for_a_person_and_named() -> None:
    judged = judge([1.0, 0.0, 0.0], ROLES, recipe(thresholds={"scratch": 0.5}))
    assert (judged.outcome, judged.reason) == (Outcome.UNSURE, Reason.UNQUALIFIED)
    assert "dent" in judged.detail
    assert judged.scores["good"] == 1.0
    assert judged.is_defect


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("label", ["scratch", ANY_DEFECT])
def test_a_threshold_that_no_score_can_reach_or_compare_with_lets_nothing_pass(label: str, bad: float) -> None:
    judged = judge([0.0, 1.0, 0.0], ROLES, recipe(thresholds={"scratch": 0.5, "dent": 0.5} | {label: bad}))
    assert judged.reason is Reason.UNQUALIFIED


def test_thresholds_of_classes_that_the_model_has_not_are_ignored() -> None:
    judged = judge([1.0, 0.0, 0.0], ROLES, recipe(thresholds={"scratch": 0.5, "dent": 0.5, "stain": 0.0}))
    assert judged.outcome is Outcome.OK


def test_scores_of_another_number_of_classes_are_refused() -> None:
    with pytest.raises(ValueError):
        judge([0.5, 0.5], ROLES, recipe())


@pytest.mark.parametrize("scores", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.6, 0.4, 0.0]])
@pytest.mark.parametrize("changes", [{}, {"thresholds": {}}, {"unsure_band": math.nan}])
def test_a_recipe_that_only_collects_keeps_the_scores_and_decides_nothing(
    scores: list[float], changes: dict[str, Any]
) -> None:
    judged = judge(scores, ROLES, recipe(mode=Mode.COLLECT, version=7, **changes))
    assert (judged.outcome, judged.reason, judged.findings) == (Outcome.ERROR, Reason.UNQUALIFIED, ())
    assert list(judged.scores.values()) == scores
    assert judged.detail == "recipe version 7 only collects"
    assert is_collected(judged)


def test_what_is_collected_keeps_its_novelty_and_a_score_that_is_no_number_is_an_error_still() -> None:
    novel = replace(ROLES, novel_above=1.0)
    judged = judge([0.9, 0.1, 0.0, 7.5], novel, recipe(mode=Mode.COLLECT))
    assert (judged.novelty, is_collected(judged)) == (7.5, True)
    assert judge([math.nan, 0.1, 0.0], ROLES, recipe(mode=Mode.COLLECT)).reason is Reason.NON_FINITE


@given(
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_a_part_passes_only_where_every_defect_is_below_threshold_and_band(
    scores: list[float], scratch: float, dent: float, band: float
) -> None:
    judged = judge(scores, ROLES, recipe(thresholds={"scratch": scratch, "dent": dent}, unsure_band=band))
    passes = scores[1] < scratch - band and scores[2] < dent - band
    assert (judged.outcome is Outcome.OK) == passes
    assert (judged.outcome is Outcome.NG) == (scores[1] >= scratch or scores[2] >= dent) == bool(judged.findings)


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (Fallback.NG, Outcome.NG),
        (Fallback.UNSURE, Outcome.UNSURE),
        (Fallback.NOT_INSPECTED, Outcome.ERROR),
        (Fallback.UNKNOWN, Outcome.ERROR),
    ],
)
def test_a_late_frame_gets_the_recipes_action_and_is_never_ok_a_defect_or_a_dead_letter(
    action: Fallback, outcome: Outcome
) -> None:
    judged = late(recipe(late_action=action), 12.0)
    assert (judged.outcome, judged.reason) == (outcome, Reason.LATE)
    assert not judged.is_defect
    assert not judged.is_unreadable
    assert "12 ms" in judged.detail


def test_a_late_frame_without_recipe_counts_as_not_inspected() -> None:
    assert late(None, 1.0).outcome is Outcome.ERROR


@pytest.mark.parametrize(
    ("action", "outcome"),
    [
        (Fallback.NG, Outcome.NG),
        (Fallback.UNSURE, Outcome.UNSURE),
        (Fallback.NOT_INSPECTED, Outcome.ERROR),
        (Fallback.UNKNOWN, Outcome.ERROR),
    ],
)
@pytest.mark.parametrize("reason", [Reason.CORRUPT, Reason.IMAGE_UNAVAILABLE, Reason.ENGINE_FAILED])
def test_an_unreadable_frame_gets_the_recipes_action_keeps_its_reason_and_is_a_dead_letter_and_no_defect(
    reason: Reason, action: Fallback, outcome: Outcome
) -> None:
    judged = rejected(reason, "damaged", recipe(error_action=action))
    assert (judged.outcome, judged.reason, judged.detail) == (outcome, reason, "damaged")
    assert (judged.is_defect, judged.is_unreadable) == (False, True)


def test_scores_that_are_no_numbers_get_the_recipes_action_for_unreadable_frames_too() -> None:
    judged = judge([math.nan, 0.9, 0.0], ROLES, recipe(error_action=Fallback.NG))
    assert (judged.outcome, judged.reason, judged.findings) == (Outcome.NG, Reason.NON_FINITE, ())
    assert (judged.is_defect, judged.is_unreadable) == (False, True)


def test_an_unreadable_frame_without_recipe_or_of_one_that_only_collects_counts_as_not_inspected() -> None:
    for by in (None, recipe(mode=Mode.COLLECT, error_action=Fallback.NG)):
        assert rejected(Reason.CORRUPT, "damaged", by).outcome is Outcome.ERROR


def test_a_fallback_is_known_by_its_reason_alone() -> None:
    inspected = {reason for reason in Reason if not is_fallback(reason)}
    assert inspected == {Reason.SCORE, Reason.UNQUALIFIED}
    assert {reason for reason in Reason if is_fallback(reason) and not is_unreadable(reason)} == {Reason.LATE}


def test_what_a_person_must_look_at_is_a_defect_and_what_could_not_be_read_a_dead_letter() -> None:
    kinds = [
        (Judgement(Outcome.OK, Reason.SCORE), (False, False)),
        (Judgement(Outcome.NG, Reason.SCORE), (True, False)),
        (Judgement(Outcome.UNSURE, Reason.SCORE), (True, False)),
        (unqualified("no recipe"), (True, False)),
        (rejected(Reason.CORRUPT, "damaged"), (False, True)),
        (unqualified("no model", recipe=recipe(mode=Mode.COLLECT)), (False, False)),
    ]
    for judged, kind in kinds:
        assert (judged.is_defect, judged.is_unreadable) == kind


def test_a_rejections_detail_is_bounded_whatever_it_quotes() -> None:
    assert len(rejected(Reason.SHA256_MISMATCH, "x" * 10_000_000).detail) == DETAIL_MAX_CHARS


def test_without_a_deadline_there_is_time_for_ever() -> None:
    assert remaining_ms(frame(deadline_ms=None), LONG_AGO, LONG_AGO + timedelta(days=9)) == math.inf


def test_age_is_the_gateways_time_and_the_time_since_the_append() -> None:
    """trigger ── 300 ms gateway ──▶ append ── 200 ms ──▶ now; 500 ms of 1,000 are left."""
    now = LONG_AGO + timedelta(milliseconds=200)
    assert remaining_ms(frame(deadline_ms=1000, gateway_ms=300), LONG_AGO, now) == pytest.approx(500)


def test_a_frame_past_its_deadline_has_less_than_nothing_left() -> None:
    now = LONG_AGO + timedelta(milliseconds=1500)
    assert remaining_ms(frame(deadline_ms=1000), LONG_AGO, now) == pytest.approx(-500)


def test_a_worker_clock_behind_the_brokers_makes_no_frame_younger_than_its_time_at_the_gateway() -> None:
    """The worker reads one hour before the append: the frame counts as just appended."""
    now = LONG_AGO - timedelta(hours=1)
    assert remaining_ms(frame(deadline_ms=1000, gateway_ms=300), LONG_AGO, now) == pytest.approx(700)


@given(st.timedeltas(timedelta(days=-9000), timedelta(days=9000)))
def test_the_cameras_clock_has_no_say(wander: timedelta) -> None:
    one = frame(deadline_ms=1000, gateway_ms=300, captured_at=LONG_AGO + wander)
    assert remaining_ms(one, LONG_AGO, LONG_AGO) == pytest.approx(700)


def test_a_redriven_frame_has_no_deadline() -> None:
    assert remaining_ms(frame(deadline_ms=1, attempt=2), LONG_AGO, LONG_AGO + timedelta(days=1)) == math.inf


def test_verdict_ids_never_change() -> None:
    """Golden: another value would make every verdict of the past a stranger to its frame's redelivery."""
    assert str(verdict_id(UUID(int=7), 1)) == "5c1e0dc0-d654-5789-9dcf-1e067a0c5250"
    assert str(verdict_id(UUID(int=7), 2, "r1")) == "d9bfa380-6736-5a80-aede-9a00751d9455"


def test_each_frame_attempt_and_run_has_its_own_verdict_id() -> None:
    ids = {verdict_id(UUID(int=f), a, run) for f in (1, 2) for a in (1, 2) for run in ("live", "r1", "shadow:m1")}
    assert len(ids) == 12


def test_a_verdict_carries_identity_recipe_and_provenance_and_survives_the_codec() -> None:
    judged = judge([0.0, 0.9, 0.1], ROLES, recipe(version=7, mode=Mode.ADVISE))
    provenance = Provenance(model_id="m1", model_sha256="a" * 64, device="fake:CPU", batch_size=3, decode_ms=1.5)
    one = frame(5, part_id="P", view=2, views=3, label="scratch", gateway_ms=11)
    made = verdict(one, judged, offset=9, recipe=recipe(version=7, mode=Mode.ADVISE), provenance=provenance)
    assert CODEC.decode(CODEC.encode(made), type(made)) == made
    assert made.frame_id == one.frame_id
    assert (made.part_id, made.view, made.views, made.label, made.gateway_ms) == ("P", 2, 3, "scratch", 11)
    assert (made.recipe_version, made.mode, made.model_id, made.batch_size) == (7, Mode.ADVISE, "m1", 3)
    assert (made.source_partition, made.source_offset, made.source_timestamp) == (0, 9, LONG_AGO)
    assert not made.simulated


def test_without_a_recipe_the_verdict_names_none() -> None:
    made = verdict(frame(), unqualified("no recipe"), recipe=None)
    assert (made.recipe_version, made.mode, made.model_id) == (None, Mode.UNKNOWN, None)


def test_a_late_verdict_names_the_recipes_model_though_it_was_not_asked() -> None:
    made = verdict(frame(), late(recipe(), 1.0))
    assert (made.model_id, made.model_sha256, made.batch_size) == ("m1", None, 0)


@pytest.mark.parametrize(("after_ms", "met"), [(999, True), (1000, True), (1001, False)])
def test_deadline_met_says_whether_the_decision_came_in_time(after_ms: int, met: bool) -> None:
    decided_at = LONG_AGO + timedelta(milliseconds=after_ms)
    one = frame(deadline_ms=1000)
    assert verdict(one, judge([1, 0, 0], ROLES, recipe()), decided_at=decided_at).deadline_met is met


def test_a_replays_verdict_is_simulated_and_has_its_own_id() -> None:
    live = verdict(frame(), late(recipe(), 1.0))
    replayed = issue(
        frame(),
        late(recipe(), 1.0),
        source(timestamp=LONG_AGO),
        recipe=recipe(),
        provenance=Provenance(),
        received_at=LONG_AGO,
        decided_at=LONG_AGO,
        run="r1",
    )
    assert replayed == replace(live, run="r1", simulated=True, verdict_id=verdict_id(frame().frame_id, 1, "r1"))
