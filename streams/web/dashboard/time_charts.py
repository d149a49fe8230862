"""The charts over time: the control chart of parts not OK, and parts a minute. Pure: view → option and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from streams.downstream.overview.view import Changeover, Span, View, WindowSum
from streams.downstream.statistics.control_chart import ChartPoint
from streams.web.dashboard.strokes import (
    HATCH,
    SMALL,
    Chart,
    Row,
    TimeAxis,
    Tip,
    bounded,
    count_axis,
    digits,
    level,
    line,
    points,
    stacked_bar,
    step_line,
    time_frame,
)
from streams.web.dashboard.wording import Model, Wording, printable

PART_STATES = ("OK", "NG", "UNSURE", "NOT_INSPECTED")
EDGE = 0.15  # of the span: a flag that stands there would be cut off
FLAG_WORDS = 2  # changeovers that one flag tells; of more it says how many
CONTROLLED, PROVISIONAL, SIGNAL = 1, 2, 3  # columns: a point stands in the one that says how it is drawn


def control_chart(view: View, words: Wording) -> Chart | None:
    """The p-chart: share of parts not OK with its limits a point, run rules and changeovers. None without parts."""
    t, centre = words.t, view.chart.centre
    if centre is None:
        return None
    axis = TimeAxis.of(view, words)
    option = time_frame(view.span, axis, left=56, right=112, top=44, bottom=28)
    option["yAxis"] = bounded(count_axis("@percent"), _top(view))
    option["series"] = [
        step_line(t("upper_limit"), 6),
        step_line(t("lower_limit"), 5),
        line(4) | {"markLine": level(t("centre", share=t.percent(centre)), digits(centre) or 0.0, "end")},
        points(CONTROLLED, "circle", 5, color="$text"),
        points(PROVISIONAL, "circle", 7, color="$surface", borderColor="$text", borderWidth=1.5),
        points(SIGNAL, "triangle", 11, color="$ng-fill", borderColor="$surface", borderWidth=1)
        | {"label": _rule_label(), "labelLayout": "@inside", "z": 6},
        _flags(_grouped(view.changeovers, view.step), view.span, axis, words),
    ]
    tip: Tip = [
        [t("not_ok_share"), 4, "percent"],
        [t("bad"), 8, "count"],
        [t("parts_inspected"), 7, "count"],
        [t("upper_limit"), 6, "percent"],
        [t("lower_limit"), 5, "percent"],
        [t("rules"), 9, "text"],
    ]
    return Chart(option, _control_rows(view, axis, words), tip, axis.offset, view.step)


def _top(view: View) -> float | None:
    """The end of the axis: of every share, but of final limits alone; the few parts of a window that has just begun
    have limits far out."""
    finals = {window.start: window.final for window in view.series}
    shares = [point.share or 0.0 for point in view.chart.points]
    limits = [point.upper or 0.0 for point in view.chart.points if finals.get(point.start, True)]
    return digits(1.2 * max(shares + limits)) or None


def _control_rows(view: View, axis: TimeAxis, words: Wording) -> list[Row]:
    finals = {window.start: window.final for window in view.series}
    rows: list[Row] = []
    told_at, was_signal = None, False
    for point in view.chart.points:
        if point.share is None:
            continue
        names = [words.word("rule", rule) for rule in point.rules]
        is_new = bool(names) and not was_signal and (told_at is None or point.start - told_at > view.span.length / 8)
        told_at, was_signal = point.start if is_new else told_at, bool(names)
        place = axis.place(point.start + view.step / 2)
        rows.append([place, *_placed(point, finals), ", ".join(names), _short(names) if is_new else ""])
    return rows


def _short(names: Sequence[str]) -> str:
    """The first rule, and how many more."""
    return names[0] + (f" +{len(names) - 1}" if len(names) > 1 else "")


def _placed(point: ChartPoint, finals: Mapping[datetime, bool]) -> Row:
    is_final = finals.get(point.start, True)
    column = PROVISIONAL if not is_final else SIGNAL if point.rules else CONTROLLED
    shares = [digits(point.share) if column == own else None for own in (CONTROLLED, PROVISIONAL, SIGNAL)]
    return [*shares, digits(point.share), digits(point.lower), digits(point.upper), point.n, point.bad]


def pace_chart(view: View, words: Wording, plan: float | None = None) -> Chart | None:
    """Parts a minute by outcome, one bar a step; hatched until final. None where nothing was counted."""
    t, axis = words.t, TimeAxis.of(view, words)
    rows = [_pace_row(window, axis) for window in view.series if window.parts or window.frames]
    if not rows:
        return None
    option = time_frame(view.span, axis, left=44, right=16, top=20, bottom=28)
    option["yAxis"] = count_axis()
    bars = [(1, "$chart-ok", None), (5, "$chart-ok", HATCH), (2, "$ng-fill", None), (3, "$unsure-fill", None)]
    option["series"] = [stacked_bar(*bar) for bar in [*bars, (4, "$uninspected-fill", None)]]
    if plan is not None:
        option["series"][0]["markLine"] = level(t("plan", n=words.plan(plan)), plan, "insideEndTop")
        option["yAxis"] = bounded(count_axis(), f"@atLeast:{plan * 1.15:.1f}")
    tip: Tip = [[t("pace_unit"), 6, "decimal"]]
    tip += [[t(f"state_{name}"), 7 + i, "count"] for i, name in enumerate(PART_STATES)]
    tip.append([t("missing_triggers"), 11, "count"])
    return Chart(option, rows, tip, axis.offset, view.step)


def _pace_row(window: WindowSum, axis: TimeAxis) -> Row:
    minutes = window.width.total_seconds() / 60
    counts = [window.parts.get(name, 0) for name in PART_STATES]
    good, *others = (round(count / minutes, 2) for count in counts)
    final, provisional = (good, None) if window.final else (None, good)
    place, total = axis.place(window.start + window.width / 2), round(sum(counts) / minutes, 2)
    return [place, final, *(pace or None for pace in others), provisional, total, *counts, window.missing_triggers]


def _rule_label() -> Model:
    label = {"show": True, "formatter": "@column:10", "position": "top", "distance": 7, "color": "$ng"}
    return label | {"fontSize": SMALL, "fontWeight": 600, "textBorderColor": "$surface", "textBorderWidth": 3}


def _grouped(changeovers: Sequence[Changeover], step: timedelta) -> list[list[Changeover]]:
    """Changeovers that one flag can stand for: a few steps apart at most."""
    groups: list[list[Changeover]] = []
    for changeover in sorted(changeovers, key=lambda changeover: changeover.at):
        if groups and changeover.at - groups[-1][0].at <= 3 * step:
            groups[-1].append(changeover)
        else:
            groups.append([changeover])
    return groups


def _flags(groups: Sequence[Sequence[Changeover]], span: Span, axis: TimeAxis, words: Wording) -> Model:
    """Dashed lines that say what was changed over to, at two heights in turn; near an edge, towards the middle."""
    data = []
    for i, group in enumerate(groups):
        along = (group[0].at - span.start) / span.length
        align = "left" if along < EDGE else "right" if along > 1 - EDGE else "center"
        label = {"distance": 4 + 16 * (i % 2), "align": align}
        data.append({"name": _flag(group, words), "xAxis": axis.place(group[0].at), "label": label})
    label = {"show": True, "formatter": "{b}", "position": "end", "color": "$text", "fontSize": SMALL}
    style = {"color": "$chart-1", "type": "dashed", "width": 1.5}
    mark = {"silent": True, "symbol": "none", "label": label, "lineStyle": style, "data": data}
    return {"type": "line", "data": [], "markLine": mark}


def _flag(group: Sequence[Changeover], words: Wording) -> str:
    news = list(dict.fromkeys(f"{words.word('changed', c.kind)} {printable(c.after)}" for c in group))
    more = len(news) - FLAG_WORDS
    return " · ".join(news[:FLAG_WORDS]) + (f" +{more}" if more > 0 else "")
