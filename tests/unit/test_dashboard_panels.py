"""What the dashboard makes of a view: charts, panels, tables, and the pictures behind a mark."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from models.evaluate import Rate, rate
from schemas.records import AlarmKind, Estimate, Mode
from streams.downstream.overview.view import (
    Changeover,
    Choice,
    Latency,
    LineState,
    Missing,
    ParetoBar,
    Span,
    Tile,
    View,
    WindowSum,
)
from streams.downstream.rework.agreement import Agreement
from streams.downstream.rework.cases import Scope
from streams.downstream.statistics.control_chart import Sample, p_chart
from streams.downstream.statistics.latency import BUCKETS, bucket
from streams.web.dashboard.address import Address, Calendar, parse_shifts
from streams.web.dashboard.choices import wanted
from streams.web.dashboard.count_charts import PARETO_BARS, latency_chart, pareto_chart
from streams.web.dashboard.panels import PANELS, TABLES
from streams.web.dashboard.strokes import TimeAxis
from streams.web.dashboard.tables import csv_table
from streams.web.dashboard.tiles import bar, tiles
from streams.web.dashboard.time_charts import CONTROLLED, PROVISIONAL, SIGNAL, control_chart, pace_chart
from streams.web.dashboard.wording import Wording
from streams.web.i18n import Texts
from tests.contracts.samples import ALARM

START = datetime(2026, 7, 31, 6, 0, tzinfo=UTC)
STEP = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")
WORDS = Wording(Texts("en", "dashboard", BERLIN), START + 60 * STEP)
CALENDAR = Calendar(BERLIN, parse_shifts("06:00,14:00,22:00"), STEP)
NONE = Rate(0, 0, None, None, None)
HOSTILE = "@tip$ng-fill<img src=x>"


def view(bad: tuple[int, ...] = (2,) * 12, n: int = 100, **changes: Any) -> View:
    """A view of one window a minute, `bad` of `n` parts each, the last one not final yet."""
    series = tuple(
        WindowSum(
            start=START + i * STEP,
            width=STEP,
            final=i < len(bad) - 1,
            frames=n,
            outcomes={"OK": n - b, "NG": b},
            parts={"OK": n - b, "NG": b} if n else {},
            reworked={},
            missing_triggers=0,
            deadline_missed=0,
            latency_p50_ms=40.0,
            latency_p95_ms=60.0,
        )
        for i, b in enumerate(bad)
    )
    counts = [0] * BUCKETS
    counts[bucket(40)], counts[bucket(90)] = 95, 5
    fields: dict[str, Any] = {
        "version": 1,
        "made_at": START + 12 * STEP,
        "newest_at": START + 12 * STEP,
        "through": {0: 41},
        "span": Span(START, START + len(bad) * STEP),
        "step": STEP,
        "tiles": (_tile(),),
        "stations": (("p1", "l1", "s1"),),
        "frames": n * len(bad),
        "parts": {"OK": n * len(bad) - sum(bad), "NG": sum(bad)},
        "parts_per_min": float(n),
        "first_pass_yield": rate(n * len(bad) - sum(bad), n * len(bad)),
        "series": series,
        "chart": p_chart([Sample(START + i * STEP, n, b) for i, b in enumerate(bad)]),
        "changeovers": (),
        "pareto": (ParetoBar("scratch", 20, 20 / 24), ParetoBar(HOSTILE, 4, 1.0)),
        "escape": Estimate(value=0.008, low=0.005, high=0.012, n=412),
        "overkill": Estimate(),
        "audits_waiting": 3,
        "agreement": Agreement(0, None, None, None, None),
        "latency": Latency(tuple(counts), 40.0, 90.0, 95.0, 120, 0, 100),
        "missing": Missing(0, 0, 0, {}, ()),
        "alarms": (),
        "in_force": (),
        "waiting": None,
    }
    return View(**fields | changes)


def _tile(**changes: Any) -> Tile:
    fields: dict[str, Any] = {
        "plant": "p1",
        "line": "l1",
        "state": LineState.RUNNING,
        "parts_per_min": 58.2,
        "planned_parts_per_min": 60.0,
        "first_pass_yield": rate(98, 100),
        "not_inspected": 0,
        "open_rework": 3,
        "alarms": 0,
        "trend": (58.0, None, 59.0),
        "newest_at": START,
        "mode": Mode.UNKNOWN,
    }
    return Tile(**fields | changes)


EMPTY = view(bad=(), frames=0, parts={}, pareto=(), latency=Latency((), None, None, None, None, 0, 0), tiles=())


def test_a_window_that_is_not_final_is_drawn_hollow() -> None:
    chart = control_chart(view(), WORDS)
    assert chart is not None
    *final, last = chart.rows
    assert all(row[CONTROLLED] is not None and row[PROVISIONAL] is None for row in final)
    assert last[PROVISIONAL] == 0.02
    assert last[CONTROLLED] is None


def test_a_point_out_of_control_is_a_signal_with_the_name_of_its_rule() -> None:
    chart = control_chart(view(bad=(2, 2, 2, 2, 2, 2, 25, 2, 2)), WORDS)
    assert chart is not None
    out = chart.rows[6]
    assert out[SIGNAL] == 0.25
    assert out[9].startswith("beyond 3\N{GREEK SMALL LETTER SIGMA}")


def test_a_run_of_signals_is_named_once() -> None:
    chart = control_chart(view(bad=(1,) * 30 + (30, 31, 32, 33) + (1,) * 30), WORDS)
    assert chart is not None
    signals = [row for row in chart.rows if row[SIGNAL] is not None]
    assert len(signals) >= 4
    assert sum(1 for row in signals[:6] if row[10]) <= 2
    assert all(row[9] for row in signals)


def test_limits_of_a_window_that_has_just_begun_do_not_stretch_the_axis() -> None:
    young = view()
    points = (*young.chart.points[:-1], replace(young.chart.points[-1], n=1, bad=0, share=0.0, upper=1.0))
    chart = control_chart(replace(young, chart=replace(young.chart, points=points)), WORDS)
    assert chart is not None
    assert chart.option["yAxis"]["max"] < 0.2


def test_a_changeover_is_a_flag_at_its_time_and_names_what_came() -> None:
    change = Changeover(START + 5 * STEP, ("p1", "l1", "s1"), "recipe", "A@4", "A@5")
    chart = control_chart(view(changeovers=(change,)), WORDS)
    assert chart is not None
    [flag] = chart.option["series"][-1]["markLine"]["data"]
    assert flag["name"] == "recipe A@5"
    assert flag["xAxis"] == TimeAxis.of(view(), WORDS).place(change.at)


def test_pace_is_stacked_from_zero_and_has_the_plan_as_a_level() -> None:
    chart = pace_chart(view(), WORDS, 60.0)
    assert chart is not None
    assert chart.option["yAxis"]["min"] == 0
    assert chart.option["series"][0]["markLine"]["data"] == [{"name": "plan 60", "yAxis": 60.0}]
    assert chart.rows[0][1] == 98.0  # final: solid
    assert chart.rows[-1][1] is None  # not final: hatched


def test_pareto_says_the_cumulated_share_and_sums_up_the_rest() -> None:
    n = PARETO_BARS + 3
    bars = [ParetoBar(f"d{i}", 10, (i + 1) / n) for i in range(n)]
    chart = pareto_chart(bars, WORDS)
    assert chart is not None
    assert chart.rows[0][3] == "10  ·  Σ 9\N{NO-BREAK SPACE}%"
    assert chart.rows[-1][:3] == [None, "3 others", 30]


def test_foreign_texts_stand_in_rows_alone() -> None:
    chart = pareto_chart(view().pareto, WORDS)
    assert chart is not None
    assert HOSTILE in [row[1] for row in chart.rows]
    assert HOSTILE not in json.dumps(chart.option)


def test_latency_lies_on_a_named_logarithmic_axis_with_its_deadline() -> None:
    chart = latency_chart(view().latency, WORDS)
    assert chart is not None
    assert "logarithmic" in chart.option["xAxis"]["name"]
    names = [mark["name"] for mark in chart.option["series"][0]["markLine"]["data"]]
    assert names == ["p50", "p95", "p99", "deadline 120\N{NO-BREAK SPACE}ms"]
    assert sum(row[2] for row in chart.rows) == 100


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("shown", [view(), EMPTY], ids=["full", "empty"])
def test_every_panel_can_be_sent_in_every_language(shown: View, language: str) -> None:
    words = Wording(Texts(language, "dashboard", BERLIN), WORDS.now)
    for make in PANELS.values():
        assert json.loads(json.dumps(make(shown, words, Address())))["title"]
    assert json.dumps([tiles(shown, words, Address(), CALENDAR), bar(shown, words, Address(), CALENDAR)])


def test_what_is_empty_says_why_and_what_to_do() -> None:
    for name in ("control", "pareto", "pace", "latency"):
        empty = PANELS[name](EMPTY, WORDS, Address())["empty"]
        assert empty["why"]
        assert empty["what"]


def test_missing_triggers_are_not_called_everything_inspected() -> None:
    words = Texts("en", "dashboard", BERLIN)
    shown = view(missing=Missing(4, 0, 0, {}, ()))
    assert PANELS["missing"](shown, WORDS, Address())["empty"]["why"] == words("triggers_missing")
    assert PANELS["missing"](view(), WORDS, Address())["empty"]["why"] == words("all_inspected")


def test_an_estimate_shows_its_interval_and_audits_and_an_unknown_one_what_to_do() -> None:
    escape, overkill, _ = PANELS["quality"](view(), WORDS, Address())["estimates"]
    assert (escape["value"], escape["range"]) == ("0.80\N{NO-BREAK SPACE}%", "[0.50\N{EN DASH}1.20]")
    assert escape["note"] == "412 audits · 3 waiting"
    assert "rework station" in overkill["hint"]


def test_a_line_that_runs_well_is_quiet_and_one_with_an_alarm_is_not() -> None:
    shown = view(tiles=(_tile(), _tile(line="l2", state=LineState.ALARM, alarms=1)))
    running, alarmed = tiles(shown, WORDS, Address(), CALENDAR)["tiles"]
    assert (running["quiet"], alarmed["quiet"]) == (True, False)
    assert running["unit"] == "of 60 parts/min"


def test_a_tile_says_whether_verdicts_move_parts_and_that_a_line_inspects_nothing_on_purpose() -> None:
    of = [_tile(mode=Mode.ACT), _tile(mode=Mode.ADVISE), _tile(mode=Mode.COLLECT, state=LineState.NOT_INSPECTED)]
    words = [tile["word"] for tile in tiles(view(tiles=of), WORDS, Address(), CALENDAR)["tiles"]]
    assert words == ["Running · acts", "Running · advises", "Collects, decides nothing"]


@pytest.mark.parametrize("name", TABLES)
def test_tables_have_a_header_and_as_many_cells_in_each_row(name: str) -> None:
    header, *rows = csv.reader(io.StringIO(csv_table(name, view()).decode("utf-8-sig")))
    assert all(len(row) == len(header) for row in rows)


def test_a_label_that_a_spreadsheet_would_calculate_is_defused() -> None:
    text = csv_table("pareto", view(pareto=(ParetoBar("=1+1", 1, 1.0),))).decode("utf-8-sig")
    assert "\r\n'=1+1,1,1.0," in text


def test_a_point_opens_the_frames_of_its_window_that_were_not_ok() -> None:
    place = TimeAxis.of(view(), WORDS).place(START + 3 * STEP + STEP / 2)
    found = wanted("control", place, view(), Scope(), WORDS)
    assert found is not None
    assert found.span == Span(START + 3 * STEP, START + 4 * STEP)
    assert found.choice == Choice(outcomes=("NG", "UNSURE"))


def test_a_bar_opens_the_frames_with_its_label() -> None:
    found = wanted("pareto", "scratch", view(), Scope(), WORDS)
    assert found is not None
    assert found.choice == Choice(outcomes=("NG",), label="scratch")


@pytest.mark.parametrize(
    ("panel", "key"),
    [
        ("control", 1e300),
        ("control", float("nan")),
        ("pace", "SCRAPPED"),
        ("pareto", {"label": 1}),
        ("pareto", "x" * 1000),
        ("latency", 10**6),
        ("latency", -1),
        ("quality", "kappa"),
        ("missing", "block:nobody"),
        ("tiles", ["p1", "l9", "yield"]),
        ("tiles", "l1"),
        (None, None),
        ("nothing", 1),
    ],
)
def test_what_there_is_not_opens_nothing(panel: Any, key: Any) -> None:
    assert wanted(panel, key, view(), Scope(), WORDS) is None


def test_an_alarm_about_a_camera_says_in_words_what_is_wrong_and_shows_it() -> None:
    shown = replace(
        ALARM,
        kind=AlarmKind.PICTURE_DRIFT,
        subject="p1/l1/s1/top",
        detail="A: sharpness 0.002, usual 0.006 to 0.008: out of focus?",
        evidence=(f"file:///store/ab/{'ab' * 32}.png", "file:///etc/passwd", f"s3://store/{'cd' * 32}.jpg"),
    )
    (row,) = PANELS["alarms"](view(alarms=(shown,)), WORDS, Address())["rows"]
    assert row["detail"] == "l1 / s1 / top · A: sharpness 0.002, usual 0.006 to 0.008: out of focus?"
    assert row["pictures"] == [f"/pictures/{'ab' * 32}", f"/pictures/{'cd' * 32}"]
    (plain,) = PANELS["alarms"](view(alarms=(replace(ALARM, evidence=()),)), WORDS, Address())["rows"]
    assert "pictures" not in plain
