"""Views of the overview's fold: sums, revisions, scopes, and what stands beside the windows."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import AlarmRaised, LineWindow, Outcome, PartOutcome, ReworkFinding, Severity
from streams.downstream.overview.fold import Fold
from streams.downstream.overview.uninspected import Uninspected
from streams.downstream.overview.view import What
from streams.downstream.rework.cases import Scope
from streams.downstream.statistics.totals import newest, totals
from tests import rework
from tests.overview import EVERYTHING, START, alarm, fold, in_force, minute, part, read, span, view_of, window

COUNTS = st.dictionaries(st.sampled_from(["OK", "NG", "UNSURE", "NOT_INSPECTED"]), st.integers(0, 50))
WINDOWS = st.lists(
    st.builds(
        window,
        st.integers(0, 90),
        line=st.sampled_from(["l1", "l2"]),
        revision=st.integers(0, 3),
        frames=st.integers(0, 100),
        outcomes=COUNTS,
        parts=COUNTS,
        reworked=COUNTS,
        labels=st.dictionaries(st.sampled_from(["scratch", "dent"]), st.integers(0, 9)),
        latency_counts=st.lists(st.integers(0, 9), max_size=52).map(tuple),
        missing_triggers=st.integers(0, 3),
    ),
    max_size=30,
    unique_by=lambda w: (w.line, w.window_start, w.revision),
)


def positive(counts: dict[str, int]) -> dict[str, int]:
    return {name: n for name, n in counts.items() if n}


@given(WINDOWS, st.randoms(), st.booleans(), st.integers(1, 91))
def test_a_view_and_its_steps_come_to_the_totals_of_the_newest_revisions(
    windows: list[LineWindow], order: Any, live: bool, until: int
) -> None:
    order.shuffle(windows)
    view = view_of(fold(*windows), span(0, until, live=live), now=until)
    counted = [w for w in newest(windows).values() if view.span.start <= w.window_start < view.span.end]
    expected = totals(counted)
    assert view.frames == expected.frames == sum(step.frames for step in view.series)
    assert view.parts == positive(dict(expected.parts))
    for name in ("outcomes", "parts", "reworked"):
        steps: Counter[str] = Counter()
        for step in view.series:
            steps.update(getattr(step, name))
        assert positive(dict(steps)) == positive(dict(getattr(expected, name)))
    assert view.latency.p95_ms == expected.latency_ms(0.95)
    assert sum(view.latency.counts) == sum(expected.latency_counts)
    assert sum(point.n for point in view.chart.points) == view.first_pass_yield.total
    assert sum(bar.count for bar in view.pareto) == sum(expected.labels.values())


def test_a_span_has_at_most_sixty_steps_of_whole_windows() -> None:
    for windows, step in [(1, 1), (60, 1), (61, 2), (300, 5), (480, 10), (1440, 30), (7 * 1440, 240)]:
        view = view_of(fold(), span(0, windows), now=windows)
        assert view.step == timedelta(minutes=step)
        assert len(view.series) <= 60


def test_steps_of_a_live_span_stand_still_while_it_moves() -> None:
    one, next_one = (view_of(fold(window(0)), span(n, 480 + n, live=True), now=480 + n) for n in (3, 4))
    assert [step.start for step in one.series] == [step.start for step in next_one.series]


def test_a_step_is_final_only_when_it_is_over_and_all_its_windows_are() -> None:
    windows = [window(n, final=n != 3) for n in range(8)]
    view = view_of(fold(*windows), span(0, 120), now=7)
    assert [step.final for step in view.series[:4]] == [True, False, True, False]


def test_yield_counts_inspected_parts_of_pass_one_only() -> None:
    view = view_of(fold(window(0, parts={"OK": 8, "NG": 2, "NOT_INSPECTED": 5}, reworked={"OK": 99})), span(0, 60))
    assert (view.first_pass_yield.count, view.first_pass_yield.total) == (8, 10)
    assert view.first_pass_yield.value == 0.8
    assert view.missing.parts_not_inspected == 5


def test_a_scope_shows_its_stations_and_tiles_of_all_lines_of_the_plant() -> None:
    found = fold(window(0), window(0, line="l2"), window(0, plant="p2"))
    view = view_of(found, span(0, 60), scope=Scope("p1", "l1"))
    assert view.frames == 20
    assert [(tile.plant, tile.line) for tile in view.tiles] == [("p1", "l1"), ("p1", "l2")]
    assert len(view.stations) == 3


def test_a_view_is_made_once_until_something_changes() -> None:
    found = fold(window(0))
    first = view_of(found, span(0, 60))
    assert view_of(found, span(0, 60)) is first
    found.window(read(window(1)))
    again = view_of(found, span(0, 60))
    assert (first.frames, again.frames) == (20, 40)
    assert again.version > first.version


def test_a_view_of_very_many_windows_serves_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.downstream.overview.fold.AT_ONCE", 0)
    monkeypatch.setattr("streams.downstream.overview.fold.WINDOWS_PER_S", 60)
    found = fold(window(0))
    view_of(found, span(0, 60), now=10)
    found.window(read(window(1)))
    assert view_of(found, span(0, 60), now=10 + 0.9 / 60).frames == 20
    assert view_of(found, span(0, 60), now=10 + 1.1 / 60).frames == 40


def test_a_late_revision_that_is_older_changes_nothing() -> None:
    found = fold(window(0, revision=2))
    before = found.version
    found.window(read(window(0, revision=1, frames=5)))
    assert found.version == before
    assert view_of(found, span(0, 60)).frames == 20


def test_a_changeover_is_where_another_recipe_or_model_begins() -> None:
    found = fold(*(window(n, recipes={"A@1" if n < 3 else "A@2": 20}, models={"m1": 20}) for n in range(6)))
    changes = view_of(found, span(0, 60)).changeovers
    assert [(c.at, c.kind, c.before, c.after) for c in changes] == [(minute(3), "recipe", "A@1", "A@2")]


def test_a_changeover_within_a_window_is_told_once() -> None:
    found = fold(window(0), window(1, recipes={"A@1": 9, "B@1": 11}), window(2, recipes={"B@1": 20}))
    assert [(c.at, c.after) for c in view_of(found, span(0, 60)).changeovers] == [(minute(1), "B@1")]


def test_the_newest_state_of_an_alarm_counts_and_open_ones_come_first() -> None:
    found = fold(window(0))
    closed = alarm("a", cleared=minute(2), at=minute(2), since=minute(1))
    states: list[AlarmRaised] = [closed, alarm("a", since=minute(1)), alarm("b"), alarm("c", since=minute(3))]
    for state in [*states, alarm("d", subject="p1/l9/s1"), alarm("e", cleared=minute(-9))]:
        found.alarm(read(state))
    shown = view_of(found, span(0, 60), scope=Scope("p1", "l1")).alarms
    assert list(shown) == [states[3], states[2], closed]


@pytest.mark.parametrize("subject", ["", "p1/l1", "p1/l1/s1/c1/x", "<b>/l1/s1"])
def test_an_alarm_about_no_station_is_refused(subject: str) -> None:
    with pytest.raises(ValueError, match=r"subject|key"):
        fold().alarm(read(alarm("a", subject=subject)))


def test_uninspected_parts_are_blocks_the_newest_first() -> None:
    found = fold(window(0))
    outcomes = [PartOutcome.NOT_INSPECTED] * 3 + [PartOutcome.OK] + [PartOutcome.NOT_INSPECTED] * 2
    for n, outcome in enumerate(outcomes):
        found.part(read(part(n, n, outcome)))
    assert [block.count for block in view_of(found, span(0, 60)).missing.blocks] == [2, 3]
    assert view_of(found, span(1, 60)).missing.blocks == ()


def test_blocks_of_parts_read_later_stand_before_those_known() -> None:
    found, older = fold(window(0)), Uninspected()
    found.part(read(part(9, 300)))
    for n in range(4):
        older.take(part(n, n))
    found.older_parts(older)
    assert [block.count for block in view_of(found, span(0, 60)).missing.blocks] == [1, 4]


def test_recipes_in_force_are_those_of_the_stations_line() -> None:
    found = fold(window(0), window(0, line="l2"))
    for sku, version, line in [("A", 1, "l1"), ("A", 2, "l1"), ("*", 7, "l1"), ("B", 1, "l2")]:
        found.recipe(read(in_force(sku, version, line=line, effective_at=minute(version))))
    shown = {i.station[1]: [(r.sku, r.version) for r in i.recipes] for i in view_of(found, span(0, 60), 5).in_force}
    assert shown == {"l1": [("A", 2)], "l2": [("B", 1)]}
    assert view_of(found, span(0, 60)).in_force[0].models == ("m1",)


def judged_fold() -> Fold:
    """Ten rejects of which four were decided, and four audits of which two were."""
    found = Fold({}, 60_000)
    found.window(read(window(0, **rework_station(), frames=100, outcomes={"OK": 90, "NG": 10})))
    for n in range(10):
        found.defect(rework.read(rework.defect(n), n))
    for n in range(20, 24):
        found.sample(rework.read(rework.sample(n, inclusion_probability=0.1), n))
    for n in (0, 1, 2, 3, 20, 21):
        bad = n in (0, 1, 2, 20)
        finding = ReworkFinding.CONFIRMED if bad else ReworkFinding.FALSE_REJECT
        came_from: dict[str, Any] = {
            "verdict_outcome": Outcome.OK if n >= 20 else Outcome.NG,
            "inspected_at": rework.at(n),
        }
        changes = {**came_from, "finding": finding, "review": 1}
        found.outcome(rework.read(rework.outcome(n, f"o{n}", **changes), n))
    return found


def rework_station() -> dict[str, str]:
    verdict = rework.defect(0).verdict
    return {"plant": verdict.plant, "line": verdict.line, "station": verdict.station}


def test_estimates_are_of_decided_looks_at_frames_of_the_span() -> None:
    view = view_of(judged_fold(), span(0, 60))
    assert (view.escape.value, view.escape.n) == (0.5, 2)
    assert view.overkill.value == pytest.approx(0.25 * 10 / 100)
    assert view.overkill.n == 4
    assert view.audits_waiting == 2
    assert view.tiles[0].open_rework == 6
    assert view_of(judged_fold(), span(1, 60)).escape.n == 0


def test_escapes_and_overkill_are_listed_newest_first() -> None:
    found = judged_fold()
    stations = found.covered(EVERYTHING)
    ids = {what: [o.verdict_id for _, o in found.findings.judged(stations, span(0, 60), what)] for what in What}
    assert ids[What.ESCAPES] == [rework.verdict_id(20)]
    assert ids[What.OVERKILL] == [rework.verdict_id(3)]


def test_what_is_over_is_forgotten_and_what_is_open_stays() -> None:
    found = judged_fold()
    found.window(read(window(5)))
    found.alarm(read(alarm("open")))
    found.alarm(read(alarm("closed", cleared=START)))
    found.forget(minute(2), START)
    view = view_of(found, span(-60, 60))
    assert view.frames == 20
    assert view.escape.n == view.overkill.n == 0
    assert [a.alarm_id for a in view.alarms] == [alarm("open").alarm_id]
    assert sum(tile.open_rework for tile in view.tiles) == 6
    found.forget(minute(2), minute(2))
    assert sum(tile.open_rework for tile in view_of(found, span(-60, 60)).tiles) == 0


def test_a_withdrawn_decision_opens_the_case_again() -> None:
    found = judged_fold()
    found.outcome(rework.read(rework.outcome(0, "w", "o0", finding=ReworkFinding.WITHDRAWN, review=1), 99))
    assert view_of(found, span(0, 60)).tiles[0].open_rework == 7


@pytest.mark.parametrize("changes", [{"station": "a/b"}, {"width_ms": 0}, {"frames": -1}, {"frames": 2**40}])
def test_a_window_that_can_be_none_is_refused(changes: dict[str, Any]) -> None:
    found = fold()
    with pytest.raises((ValueError, OverflowError)):
        found.window(read(window(0, **changes)))
    assert view_of(found, span(0, 60)).frames == 0


def test_alarms_below_warning_are_counted_and_raise_no_alarm() -> None:
    found = fold(*(window(n) for n in range(10)))
    found.alarm(read(alarm("a", severity=Severity.INFO)))
    tile = view_of(found, span(0, 60), now=10).tiles[0]
    assert (tile.state, tile.alarms) == ("RUNNING", 1)
