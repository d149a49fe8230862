"""What all charts are made of: frames, axes, lines, points and bars as ECharts' options. Pure.

Place in the flow: the charts put these together; the browser puts in the theme and the language. In an option a colour
is a token (`$ng-fill` is the theme's variable) and a formatter the name of one of the browser's functions
(`@percent`). Foreign texts stand in rows and names alone, never in keys or formatters. Knows no view.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from streams.downstream.overview.view import Span, View
from streams.web.dashboard.wording import Model, Wording

Row = list[Any]
Tip = list[list[Any]]
"""Word, column, function that formats it: what the tooltip tells of a row."""
SMALL, NORMAL = 12, 13
HATCH: Model = {"symbol": "rect", "dashArrayX": [1, 0], "dashArrayY": [2, 3], "rotation": -0.785, "color": "$surface"}
HIDDEN = {"show": False}


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. The browser answers a click with the first column of the row that was hit."""

    option: Model
    rows: list[Row]
    tip: Tip = field(default_factory=list)
    offset: timedelta = timedelta()
    step: timedelta = timedelta()

    def model(self) -> Model:
        ms = {"offset": self.offset, "step": self.step}
        return {"option": self.option, "rows": self.rows, "tip": self.tip} | {
            key: round(value.total_seconds() * 1000) for key, value in ms.items()
        }


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Places times, in milliseconds shifted to the plant's offset at the span's start: ticks fall on its hours."""

    offset: timedelta

    @classmethod
    def of(cls, view: View, words: Wording) -> TimeAxis:
        return cls(view.span.start.astimezone(words.t.zone).utcoffset() or timedelta())

    def place(self, at: datetime) -> int:
        return round((at + self.offset).timestamp() * 1000)

    def time(self, place: float) -> datetime:
        """Where a place came from. OverflowError or ValueError for what is no time."""
        return datetime.fromtimestamp(place / 1000, UTC) - self.offset

    def option(self, span: Span) -> Model:
        return {
            "type": "time",
            "min": self.place(span.start),
            "max": self.place(span.end),
            "axisLabel": {"color": "$muted", "hideOverlap": True, "formatter": "@clock", "fontSize": SMALL},
            "axisLine": line_style("$line"),
            "axisTick": line_style("$line"),
            "splitLine": HIDDEN,
        }


TOOLTIP: Model = {
    "formatter": "@tip",
    "confine": True,
    "backgroundColor": "$surface",
    "borderColor": "$edge",
    "padding": [8, 12],
    "textStyle": {"color": "$text", "fontSize": NORMAL},
}


def frame(left: int, right: int, top: int, bottom: int) -> Model:
    """A chart's ground with room around it, in pixels."""
    return {
        "animation": False,
        "grid": {"left": left, "right": right, "top": top, "bottom": bottom},
        "textStyle": {"fontFamily": "Inter, system-ui, sans-serif", "color": "$text"},
        "tooltip": TOOLTIP | {"trigger": "item"},
    }


def time_frame(span: Span, axis: TimeAxis, **room: int) -> Model:
    """A chart over time."""
    pointer = {"type": "line", "lineStyle": {"color": "$edge", "type": "solid"}, "label": HIDDEN}
    tooltip = TOOLTIP | {"trigger": "axis", "axisPointer": pointer}
    return frame(**room) | {"useUTC": True, "xAxis": axis.option(span), "tooltip": tooltip}


def count_axis(formatter: str = "@count") -> Model:
    """An axis of values that begins at zero."""
    return {
        "type": "value",
        "min": 0,
        "splitNumber": 4,
        "axisLabel": {"color": "$muted", "fontSize": SMALL, "formatter": formatter},
        "splitLine": line_style("$grid"),
    }


def bounded(axis: Model, end: float | str | None) -> Model:
    """The axis with an end of its own, which is no round number and so has no label."""
    return axis | {"max": end, "axisLabel": axis["axisLabel"] | {"showMaxLabel": False}}


def step_line(name: str, column: int) -> Model:
    """A limit that holds a window long, named at its end."""
    style = {"color": "$muted", "width": 1.2}
    label = {"show": True, "formatter": "{a}", "color": "$muted", "fontSize": SMALL, "distance": 8}
    line = {"type": "line", "name": name, "step": "middle", "symbol": "none", "silent": True}
    return line | {"encode": {"x": 0, "y": column}, "lineStyle": style, "itemStyle": style, "endLabel": label}


def line(column: int) -> Model:
    style = {"color": "$edge", "width": 1.2}
    return {"type": "line", "symbol": "none", "silent": True, "encode": {"x": 0, "y": column}, "lineStyle": style}


def points(column: int, symbol: str, size: int, **style: Any) -> Model:
    marks = {"type": "scatter", "symbol": symbol, "symbolSize": size, "encode": {"x": 0, "y": column}}
    return marks | {"itemStyle": style, "z": 5}


def stacked_bar(column: int, colour: str, decal: Model | None = None) -> Model:
    style: Model = {"color": colour} | ({"decal": decal} if decal else {})
    bar: Model = {"type": "bar", "stack": "parts", "encode": {"x": 0, "y": column}, "itemStyle": style}
    return bar | {"barCategoryGap": "16%", "barMaxWidth": 28}


def level(name: str, at: float, position: str) -> Model:
    """A named level across the chart."""
    label = {"show": True, "formatter": "{b}", "position": position, "color": "$text", "fontSize": SMALL}
    style = {"color": "$text", "type": "dashed", "width": 1}
    data = [{"name": name, "yAxis": at}]
    return {"silent": True, "symbol": "none", "lineStyle": style, "label": label, "data": data}


def line_style(colour: str) -> Model:
    return {"lineStyle": {"color": colour}}


def digits(share: float | None) -> float | None:
    return None if share is None else round(share, 5)
