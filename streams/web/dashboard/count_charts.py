"""The charts of counts: defects by label, and frames by latency. Pure: view → option and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from streams.downstream.overview.view import Latency, ParetoBar
from streams.downstream.statistics.latency import EDGES_MS
from streams.web.dashboard.strokes import HIDDEN, NORMAL, SMALL, Chart, Row, count_axis, frame, line_style
from streams.web.dashboard.wording import Model, Wording, printable

PARETO_BARS = 8
RATIO = EDGES_MS[1] / EDGES_MS[0]
TICKS = [decade + math.log10(digit) for decade in range(6) for digit in (1, 2, 5)]  # in powers of ten of a millisecond


def pareto_chart(bars: Sequence[ParetoBar], words: Wording) -> Chart | None:
    """NG frames by label; the cumulated share stands at its bar as text, not on a second axis. None without any."""
    if not bars:
        return None
    t, rest = words.t, bars[PARETO_BARS:]
    shown = bars[:PARETO_BARS]
    rows: list[Row] = [[bar.label, printable(bar.label), bar.count, _bar_text(bar, words)] for bar in shown]
    if rest:
        others = sum(bar.count for bar in rest)
        rows.append([None, t("others", n=len(rest)), others, _bar_text(ParetoBar("", others, 1.0), words)])
    option = frame(left=124, right=124, top=4, bottom=4)
    option["xAxis"] = {"type": "value", "min": 0, "show": False}
    label = {"color": "$text", "fontSize": NORMAL, "width": 112, "overflow": "truncate", "interval": 0}
    option["yAxis"] = {"type": "category", "inverse": True, "axisLine": line_style("$line"), "axisTick": HIDDEN}
    option["yAxis"]["axisLabel"] = label
    text = {"show": True, "position": "right", "color": "$text", "fontSize": NORMAL, "formatter": "@column:3"}
    bar = {"type": "bar", "encode": {"x": 2, "y": 1}, "itemStyle": {"color": "$chart-1"}}
    option["series"] = [bar | {"barCategoryGap": "32%", "barMaxWidth": 28, "label": text}]
    return Chart(option, rows, [["", 1, "text"], [t("ng_frames"), 2, "count"]])


def _bar_text(bar: ParetoBar, words: Wording) -> str:
    return f"{words.count(bar.count)}  ·  {words.t('cumulated', share=words.t.percent(bar.cumulated, 0))}"


def latency_chart(latency: Latency, words: Wording) -> Chart | None:
    """Frames by latency, on a logarithmic axis, with quantiles and the deadline. None without frames."""
    held = [bucket for bucket, count in enumerate(latency.counts) if count]
    if not held:
        return None
    t = words.t
    deadline = (t("deadline_at", ms=words.ms(latency.deadline_ms)), latency.deadline_ms)
    marks = [("p50", latency.p50_ms), ("p95", latency.p95_ms), ("p99", latency.p99_ms), deadline]
    places = [math.log10(value) for _, value in marks if value]
    rows = [_bucket(bucket, latency.counts[bucket]) for bucket in range(held[0], held[-1] + 1)]
    option = frame(left=56, right=24, top=40, bottom=44)
    option["xAxis"] = _log_axis(t("latency_axis"), min([*places, rows[0][1]]) - 0.1, max([*places, rows[-1][1]]) + 0.1)
    option["yAxis"] = count_axis()
    bars = {"type": "bar", "encode": {"x": 1, "y": 2}, "itemStyle": {"color": "$chart-1"}, "barCategoryGap": "8%"}
    option["series"] = [bars | {"markLine": _marks(marks)}]
    return Chart(option, rows, [["", 3, "text"], [t("frames"), 2, "count"]])


def _bucket(bucket: int, count: int) -> Row:
    """A bucket, the middle of its bar, its count and its edges in words. The outermost are as wide as the others."""
    low = EDGES_MS[bucket - 1] if bucket else EDGES_MS[0] / RATIO
    high = EDGES_MS[bucket] if bucket < len(EDGES_MS) else EDGES_MS[-1] * RATIO
    words = f"{low:.3g}\N{EN DASH}{high:.3g} ms" if bucket < len(EDGES_MS) else f"> {low:.3g} ms"
    return [bucket, round(math.log10(low * high) / 2, 4), count, words]


def _log_axis(name: str, low: float, high: float) -> Model:
    return {
        "type": "value",
        "min": low,
        "max": high,
        "name": name,
        "nameLocation": "middle",
        "nameGap": 28,
        "nameTextStyle": {"color": "$muted", "fontSize": SMALL},
        "axisLabel": {
            "color": "$muted",
            "fontSize": SMALL,
            "formatter": "@power",
            "hideOverlap": True,
            "customValues": TICKS,
        },
        "axisTick": {"customValues": TICKS},
        "axisLine": line_style("$line"),
        "splitLine": HIDDEN,
    }


def _marks(marks: Sequence[tuple[str, float | None]]) -> Model:
    """Lines at the quantiles and, last, at the deadline; whose name stands above theirs."""
    data = []
    for i, (name, value) in enumerate(marks):
        if value:
            is_deadline = i == len(marks) - 1
            style = {"color": "$ng-fill", "width": 2} if is_deadline else {"color": "$text", "width": 1}
            label = {"color": "$ng" if is_deadline else "$text", "distance": 19 if is_deadline else 4}
            data.append({"name": name, "xAxis": round(math.log10(value), 4), "lineStyle": style, "label": label})
    label = {"show": True, "formatter": "{b}", "position": "end", "fontSize": SMALL}
    return {"silent": True, "symbol": "none", "label": label, "lineStyle": {"type": "solid"}, "data": data}
