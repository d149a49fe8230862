"""The p-chart and its run rules, on known sequences."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.downstream.statistics.control_chart import (
    BEYOND_3_SIGMA,
    FOUR_OF_FIVE_BEYOND_1_SIGMA,
    NINE_ON_ONE_SIDE,
    SIX_IN_A_TREND,
    TWO_OF_THREE_BEYOND_2_SIGMA,
    PChart,
    Sample,
    newest_point,
    p_chart,
)
from tests.line_stats import START

N = 10_000  # so many that the binomial is as good as normal; sigma of the share 0.1 is then 0.003
CALM = (1010, 990, 1012, 985, 1003, 1015, 991, 1008, 988, 998)


def chart(*counts: int, n: int = N) -> PChart:
    return p_chart([Sample(START + timedelta(minutes=i), n, bad) for i, bad in enumerate(counts)])


def rules_of(*counts: int, n: int = N) -> dict[str, list[int]]:
    """Where each rule is completed, counted from the first of `counts`; a calm hour of 0.1 lies before and behind."""
    before = CALM * 6
    found: dict[str, list[int]] = {}
    for place, point in enumerate(chart(*before, *counts, n=n).points[len(before) :]):
        for rule in point.rules:
            found.setdefault(rule, []).append(place)
    return found


def test_centre_and_limits_are_those_of_the_textbook_where_n_is_large() -> None:
    """Three sigma of 0.1 with n = 10,000: 0.1 -+ 0.009 (Montgomery, Statistical Quality Control, 7.2)."""
    found = chart(900, 1000, 1100)
    assert found.centre == pytest.approx(0.1)
    assert (found.points[0].lower, found.points[0].upper) == pytest.approx((0.091, 0.109), abs=0.0003)


def test_a_calm_line_breaks_no_rule() -> None:
    assert all(not point.rules for point in chart(*CALM * 3).points)


@pytest.mark.parametrize("bad", [1094, 906])
def test_rule_1_one_point_beyond_three_sigma(bad: int) -> None:
    assert rules_of(1000, bad, 1000) == {BEYOND_3_SIGMA: [1]}


@pytest.mark.parametrize("bad", [1088, 912])
def test_rule_1_a_point_just_within_three_sigma_is_none(bad: int) -> None:
    assert rules_of(1000, bad, 1000) == {}


@pytest.mark.parametrize("side", [1, -1])
def test_rule_2_nine_in_a_row_on_one_side(side: int) -> None:
    up_and_down = [1000 + side * step for step in (20, 8, 22, 9, 18, 8, 22, 10, 20)]
    assert rules_of(1000 - side * 20, *up_and_down[:8]) == {}
    assert rules_of(1000 - side * 20, *up_and_down) == {NINE_ON_ONE_SIDE: [9]}


@pytest.mark.parametrize("side", [1, -1])
def test_rule_3_six_rising_or_falling(side: int) -> None:
    steps = [1000 + side * step for step in (-20, -12, -5, 3, 11, 18)]
    assert rules_of(1000, *steps[:5]) == {}
    assert rules_of(1000 + side * 5, *steps) == {SIX_IN_A_TREND: [6]}


def test_rule_3_a_standstill_ends_a_trend() -> None:
    assert rules_of(1005, 980, 988, 995, 995, 1003, 1011, 1018) == {}


@pytest.mark.parametrize("side", [1, -1])
def test_rule_5_two_of_three_beyond_two_sigma_on_the_same_side(side: int) -> None:
    assert rules_of(1000 + side * 70, 1000, 1000 + side * 70) == {TWO_OF_THREE_BEYOND_2_SIGMA: [2]}
    assert rules_of(1000 + side * 70, 1000 - side * 70) == {}


@pytest.mark.parametrize("side", [1, -1])
def test_rule_6_four_of_five_beyond_one_sigma_on_the_same_side(side: int) -> None:
    out = 1000 + side * 42
    assert rules_of(1000, out, out, 1000 - side * 10, out) == {}
    assert rules_of(1000, out, out, 1000 - side * 10, out, out) == {FOUR_OF_FIVE_BEYOND_1_SIGMA: [5]}


def test_a_rule_is_completed_only_by_a_point_that_is_itself_out() -> None:
    assert rules_of(1000, 1070, 1070, 1000)[TWO_OF_THREE_BEYOND_2_SIGMA] == [2]


def test_limits_are_wider_where_n_is_small() -> None:
    points = p_chart([Sample(START, 1000, 100), Sample(START, 100, 10), Sample(START, 10, 1)]).points
    uppers = [point.upper or 0 for point in points]
    assert uppers == sorted(uppers)
    assert points[2].lower == 0


def test_no_bad_part_among_few_is_no_signal_however_often() -> None:
    """1 % bad and 20 parts a window: most windows have none, and that must say nothing."""
    samples = [Sample(START + timedelta(minutes=i), 20, 0) for i in range(40)]
    samples[3] = samples[17] = samples[31] = Sample(START, 20, 3)
    quiet = [point for point in p_chart(samples).points if point.bad == 0]
    assert all(not point.rules for point in quiet)
    assert all(point.lower == 0 for point in quiet)


def test_one_bad_part_among_few_is_no_alarm_where_bad_parts_are_rare() -> None:
    """The normal limit, 0.005 + 3 x 0.0091, would call 2 of 60 out of control: 4 % of all windows."""
    samples = [Sample(START, 60, int(i % 10 < 3)) for i in range(60)]
    assert p_chart([*samples, Sample(START, 60, 2)]).points[-1].rules == ()


def test_a_window_without_parts_has_no_share_and_no_limits_and_runs_go_on_over_it() -> None:
    samples = [Sample(START, N, 1000 + step) for step in (-200, 20, 22, 21, 23, 20)]
    samples += [Sample(START, 0, 0)] + [Sample(START, N, 1000 + step) for step in (22, 20, 23, 21)]
    points = p_chart(samples).points
    assert (points[6].share, points[6].lower, points[6].upper, points[6].rules) == (None, None, None, ())
    assert NINE_ON_ONE_SIDE in points[-1].rules


@pytest.mark.parametrize("bad", [0, 10])
def test_all_good_and_all_bad_are_in_control(bad: int) -> None:
    points = chart(*[bad] * 30, n=10).points
    assert all(
        (point.lower, point.share, point.upper, point.rules) == (bad / 10, bad / 10, bad / 10, ()) for point in points
    )


def test_nothing_gives_an_empty_chart() -> None:
    assert p_chart([]) == PChart(None, ())
    assert chart(0, 0, n=0).centre is None


def test_more_bad_parts_than_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="came 3 of 2"):
        Sample(START, 2, 3)


@given(st.lists(st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=40))
def test_exactly_the_points_outside_the_limits_are_beyond_three_sigma(drawn: list[tuple[int, int]]) -> None:
    for point in p_chart([Sample(START, n, bad) for n, bad in drawn]).points:
        if point.share is not None:
            assert point.lower is not None
            assert point.upper is not None
            assert (BEYOND_3_SIGMA in point.rules) == (not point.lower <= point.share <= point.upper)


def test_charts_and_intervals_load_nothing_more_than_was_loaded_before_the_work() -> None:
    """In a fresh process: an import of a second on the event loop would hold up every window."""
    code = (
        "import sys\n"
        "from datetime import UTC, datetime, timedelta\n"
        "from streams.downstream.sampling.estimates import overkill_estimate\n"
        "from streams.downstream.statistics.control_chart import Sample, import_costly, p_chart\n"
        "import_costly()\n"
        "loaded = set(sys.modules)\n"
        "start = datetime(2026, 3, 2, tzinfo=UTC)\n"
        "chart = p_chart([Sample(start + timedelta(minutes=n), 100, n % 5) for n in range(25)])\n"
        "assert len(chart.points) == 25 and overkill_estimate(8, 2, 10, 100).high is not None\n"
        "print(sorted(name for name in set(sys.modules) - loaded))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "[]\n", done.stdout + done.stderr


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=40))
def test_the_newest_point_is_the_last_one_of_the_chart(counts: list[tuple[int, int]]) -> None:
    samples = [Sample(START + timedelta(minutes=i), max(pair), min(pair)) for i, pair in enumerate(counts)]
    assert newest_point(samples) == p_chart(samples).points[-1]
