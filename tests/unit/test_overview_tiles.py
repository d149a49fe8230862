"""Tiles of lines: their word, their speed and the plan."""

from __future__ import annotations

import pytest

from schemas.records import Mode, Severity
from streams.downstream.overview.tiles import TREND, parse_plan
from streams.downstream.overview.view import LineState, Tile
from streams.errors import CallerError
from tests.overview import alarm, fold, in_force, minute, read, span, view_of, window


def tile_of(now: float, *windows: int, **changes: object) -> Tile:
    return view_of(fold(*(window(n, **changes) for n in windows), l1=30), span(0, 60), now=now).tiles[0]


def test_a_line_with_frames_runs_at_the_speed_of_its_newest_whole_windows() -> None:
    tile = tile_of(10.5, *range(11))
    assert tile.state is LineState.RUNNING
    assert (tile.parts_per_min, tile.planned_parts_per_min) == (20, 30)
    assert tile.newest_at == minute(10)


def test_the_running_window_slows_nobody_down() -> None:
    windows = [window(n) for n in range(10)] + [window(10, parts={"OK": 1})]
    assert view_of(fold(*windows), span(0, 60), now=10.5).tiles[0].parts_per_min == 20


def test_a_line_that_began_just_now_is_measured_since_then() -> None:
    assert tile_of(10.5, 8, 9, 10).parts_per_min == 20
    assert tile_of(10.5, 10).parts_per_min is None


def test_a_line_without_frames_idles_but_one_in_its_first_window_runs() -> None:
    assert tile_of(20, *range(10)).state is LineState.IDLE
    assert tile_of(20, *range(10)).parts_per_min == 0
    assert tile_of(10.5, 10).state is LineState.RUNNING


def test_parts_that_go_by_uninspected_are_the_worst_that_can_be_said() -> None:
    found = fold(*(window(n) for n in range(9)), window(9, frames=0, parts={"NOT_INSPECTED": 3}))
    found.alarm(read(alarm("a", severity=Severity.CRITICAL)))
    assert view_of(found, span(0, 60), now=10.5).tiles[0].state is LineState.NOT_INSPECTED
    found.window(read(window(10)))
    assert view_of(found, span(0, 60), now=10.5).tiles[0].state is LineState.ALARM


@pytest.mark.parametrize(
    ("names", "mode"),
    [
        (("A@2",), Mode.ACT),
        (("A@2", "B@3"), Mode.ADVISE),
        (("A@2", "B@3", "*@4"), Mode.COLLECT),
        (("A@9",), Mode.UNKNOWN),
        (("A@0",), Mode.ADVISE),  # the model's own limits
        ((), Mode.UNKNOWN),
    ],
)
def test_a_line_is_as_binding_as_the_least_binding_recipe_at_work(names: tuple[str, ...], mode: Mode) -> None:
    found = fold(window(9, recipes=dict.fromkeys(names, 1)))
    for version, known in ((2, Mode.ACT), (3, Mode.ADVISE), (4, Mode.COLLECT)):
        found.recipe(read(in_force("A", version, mode=known, effective_at=minute(1))))
    assert view_of(found, span(0, 60), now=10.5).tiles[0].mode is mode


def test_the_trend_has_gaps_where_there_are_no_windows() -> None:
    trend = tile_of(10, 7, 9).trend
    assert len(trend) == TREND
    assert trend[-3:] == (20, None, 20)


def test_a_plan_names_lines_and_parts_a_minute() -> None:
    assert parse_plan(" line-1=60, line-2=45.5 ,") == {"line-1": 60, "line-2": 45.5}
    assert parse_plan("") == {}


@pytest.mark.parametrize("text", ["line-1", "=4", "line-1=x", "line-1=0", "line-1=-1", "a=inf", "a=nan", "a=1,a=2"])
def test_a_plan_that_can_be_none_is_refused(text: str) -> None:
    with pytest.raises(CallerError, match="planned_parts_per_min"):
        parse_plan(text)
