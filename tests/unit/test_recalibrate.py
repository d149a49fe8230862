"""Thresholds by rules, temperature at the line's own share of defects, and a band that people can take."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.artifact import F32, Artifact
from models.calibrate import (
    F64,
    LeastCostRule,
    NoMoreOverkillRule,
    OverkillRule,
    ThresholdRule,
    ZeroEscapeRule,
    band_for,
    natural_weights,
    softmax,
    threshold_by,
)
from models.errors import DatasetError
from models.evaluate import any_defect, rejected
from models.recalibrate import Plan, measured, recalibrate
from tests.models_fixture import tiny_artifact

AT = datetime(2026, 3, 1, tzinfo=UTC)
SCORES = st.lists(st.tuples(st.floats(0, 1, width=32), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: 0 < sum(bad for _, bad in rows) < len(rows)
)


def arrays(rows: list[tuple[float, bool]]) -> tuple[F64, np.ndarray]:
    return np.array([score for score, _ in rows], np.float64), np.array([bad for _, bad in rows])


@given(SCORES)
def test_zero_escape_rejects_every_bad_part_and_no_higher_threshold_does(rows: list[tuple[float, bool]]) -> None:
    together, bad = arrays(rows)
    threshold = threshold_by(ZeroEscapeRule(), together, bad)
    assert (together[bad] >= threshold).all()
    assert (together[bad] < threshold + 1.1e-4).any()


@given(SCORES, st.sampled_from([0.0, 0.1, 0.5]))
def test_at_a_given_overkill_no_lower_threshold_keeps_it(rows: list[tuple[float, bool]], most: float) -> None:
    together, bad = arrays(rows)
    threshold = threshold_by(OverkillRule(most), together, bad)
    if threshold < 1:
        assert (together[~bad] >= threshold).mean() <= most
    if threshold > 0:
        assert (together[~bad] >= threshold - 1.01e-4).mean() > most


@given(SCORES, st.floats(0.1, 1000), st.floats(0.01, 0.5))
def test_no_threshold_costs_less_than_the_cheapest(rows: list[tuple[float, bool]], price: float, share: float) -> None:
    together, bad = arrays(rows)
    rule = LeastCostRule(price, 1.0, share)

    def cost(cut: float) -> float:
        escape, overkill = (together[bad] < cut).mean(), (together[~bad] >= cut).mean()
        return float(share * price * escape + (1 - share) * overkill)

    chosen = cost(threshold_by(rule, together, bad))
    assert chosen <= min(cost(cut) for cut in np.linspace(0, 1, 101).round(4)) + 1e-6


def test_an_escape_that_costs_more_lowers_the_threshold() -> None:
    together = np.array([0.1, 0.2, 0.3, 0.6, 0.4, 0.5, 0.7, 0.8])
    bad = np.array([False] * 4 + [True] * 4)
    dear, cheap = (threshold_by(LeastCostRule(price, 1.0, 0.5), together, bad) for price in (10.0, 0.1))
    assert 0.3 < dear <= 0.4
    assert 0.6 < cheap <= 0.7


def test_the_band_is_as_wide_as_people_can_take_at_the_lines_share_of_defects() -> None:
    together = np.concatenate([np.arange(100) / 200, [0.3, 0.9]])
    bad = np.array([False] * 100 + [True] * 2)
    weights = natural_weights(bad, 0.01)
    assert weights.sum() == pytest.approx(1)
    band = band_for(together, weights, 0.5, 0.05)
    asked = (together < 0.5) & (together >= 0.5 - band)
    assert 0.04 < weights[asked].sum() <= 0.05
    assert band_for(together, weights, 0.5, 0.0) == 0
    assert band_for(together, weights, 0.5, 1.0) == pytest.approx(0.4999, abs=2e-4)


def drawn(artifact: Artifact, seed: int = 0, n: int = 400) -> tuple[F32, np.ndarray]:
    """Scores and classes as a model that is too sure of itself gives them: half of the parts are bad."""
    rng, classes = np.random.default_rng(seed), len(artifact.classes)
    good = next(i for i, item in enumerate(artifact.classes) if item.role == "good")
    labels = np.where(rng.random(n) < 0.5, good, rng.integers(0, classes, n))
    logits = rng.normal(0, 1, (n, classes)) + 2 * np.eye(classes)[labels]
    return softmax((4 * logits).astype(np.float32), 1.0), labels


PLAN = Plan(rule=ZeroEscapeRule(), prevalence=0.01, reviewed=0.9)


def test_a_calibrated_model_decides_as_was_said_and_loads_with_its_golden_vectors() -> None:
    before = tiny_artifact()
    scores, labels = drawn(before)
    found = recalibrate(before, scores, labels, PLAN, AT)
    after = found.artifact
    assert found.escape.count == 0
    assert found.escape.high == pytest.approx(1 - 0.025 ** (1 / found.escape.total))
    assert after.temperature > before.temperature, "it was too sure"
    assert after.golden_labels() == before.golden_labels()
    assert after.metrics["calibrated_from"] == before.sha256
    assert all(np.array_equal(after.weights[name], before.weights[name]) for name in after.weights)
    new = softmax(before.temperature * np.log(np.maximum(scores, 1e-12)), after.temperature)
    bad = np.array([item.role == "defect" for item in after.classes])[labels]
    assert rejected(new, after.classes, after.any_defect_threshold)[bad].all()
    assert found.overkill.count == rejected(new, after.classes, after.any_defect_threshold)[~bad].sum()
    assert after.reference is not None
    assert after.reference.good == (~bad).sum()
    assert after.reference.score[-1] == pytest.approx(any_defect(new, after.classes)[~bad].max(), rel=1e-3)


def test_calibrating_by_what_it_already_is_changes_next_to_nothing() -> None:
    before = tiny_artifact()
    scores, labels = drawn(before)
    once = recalibrate(before, scores, labels, PLAN, AT).artifact
    new = softmax(before.temperature * np.log(np.maximum(scores, 1e-12)), once.temperature)
    twice = recalibrate(once, new, labels, PLAN, AT).artifact
    assert twice.temperature == pytest.approx(once.temperature, rel=0.05)
    assert twice.any_defect_threshold == pytest.approx(once.any_defect_threshold, abs=0.02)


@pytest.mark.parametrize(("bad", "said"), [(False, "good parts alone"), (True, "bad parts alone")])
def test_without_defects_or_without_good_parts_it_refuses(bad: bool, said: str) -> None:
    artifact = tiny_artifact()
    scores, labels = drawn(artifact)
    roles = np.array([item.role == "defect" for item in artifact.classes])
    chosen = roles[labels] == bad
    with pytest.raises(DatasetError, match=f"can't be chosen on {said}"):
        recalibrate(artifact, scores[chosen], labels[chosen], PLAN, AT)
    with pytest.raises(DatasetError, match="can't be chosen on no picture"):
        recalibrate(artifact, scores[:0], labels[:0], PLAN, AT)


@pytest.mark.parametrize("rule", [ZeroEscapeRule(), LeastCostRule(100, 1, 0.01), OverkillRule(0.02)])
def test_more_rejects_than_people_can_look_at_are_said_and_leave_no_band(rule: ThresholdRule) -> None:
    artifact = tiny_artifact()
    scores, labels = drawn(artifact)
    found = recalibrate(artifact, scores, labels, Plan(rule=rule, prevalence=0.3, reviewed=0.001), AT)
    assert found.too_many
    assert found.asked == 0


def test_figures_at_old_thresholds_are_gone_and_new_ones_are_of_pictures_that_chose_nothing() -> None:
    before = tiny_artifact()
    found = recalibrate(before, *drawn(before), PLAN, AT)
    assert "test" not in found.artifact.metrics
    scores, labels = drawn(before, seed=1)
    test = measured(found, before, scores, labels).metrics["test"]
    new = softmax(before.temperature * np.log(np.maximum(scores, 1e-12)), found.artifact.temperature)
    bad = np.array([item.role == "defect" for item in before.classes])[labels]
    assert test["escape"]["count"] == (any_defect(new, before.classes)[bad] < found.threshold).sum()


def test_where_good_and_bad_are_told_apart_the_allowed_overkill_is_not_used_up() -> None:
    together, bad = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert threshold_by(OverkillRule(0.5), together, bad) == pytest.approx(0.1001, abs=2e-4)
    assert threshold_by(NoMoreOverkillRule(0.5), together, bad) == pytest.approx(0.45, abs=0.01)
    assert threshold_by(NoMoreOverkillRule(0.0), together, bad) == pytest.approx(0.5, abs=0.01)


def test_where_they_overlap_it_finds_as_much_as_the_allowed_overkill_does() -> None:
    together, bad = np.array([0.1, 0.6, 0.4, 0.9]), np.array([False, False, True, True])
    for share in (0.0, 0.5):
        found = threshold_by(NoMoreOverkillRule(share), together, bad)
        limit = threshold_by(OverkillRule(share), together, bad)
        assert (together[bad] >= found).sum() == (together[bad] >= limit).sum()
        assert (together[~bad] >= found).mean() <= share
