"""Plots of reports as SVG text: the same figures give the same bytes. Direct labels, each plot says n."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, ScalarFormatter

from streams.replay.whatif import Point
from streams.reports.svg import BLUE, GREY, ORANGE, STYLE, svg_of


def shift_chart(shifts: Sequence[float], a: str, b: str) -> str:
    """How far scores moved, as a histogram with a logarithmic count."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.6), layout="constrained")
        axes = figure.subplots()
        axes.hist(shifts, bins=np.linspace(-1, 1, 81).tolist(), color=BLUE, log=True)
        axes.axvline(0, color=GREY, linewidth=0.8)
        axes.set_xlabel(f"defect score of {b} less that of {a}")
        axes.set_ylabel("frames (log)")
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.set_title(f"Score shift, n = {len(shifts)}", loc="left", fontsize=9)
        return svg_of(figure)


def curve_chart(points: Sequence[Point], name: str, present: float | None) -> str:
    """Escape and overkill over one class's threshold, with their 95 % intervals."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.subplots()
        for what, color in (("escape", ORANGE), ("overkill", BLUE)):
            known = [(p.threshold, getattr(p.rates, what).estimate) for p in points]
            drawn = [(x, e.value, e.low, e.high) for x, e in known if e.value is not None]
            if drawn:
                xs, values, lows, highs = (list(column) for column in zip(*drawn, strict=True))
                axes.plot(xs, values, color=color, linewidth=1.6)
                axes.fill_between(xs, lows, highs, color=color, alpha=0.15, linewidth=0)
                axes.annotate(what, (xs[-1], values[-1]), color=color, xytext=(4, 0), textcoords="offset points")
        if present is not None:
            axes.axvline(present, color=GREY, linewidth=0.8, linestyle="--")
            axes.annotate("present", (present, 1.0), color=GREY, xytext=(3, -8), textcoords="offset points")
        n = sum(points[0].rates.counts.values()) if points else 0
        axes.set(xlim=(0, 1.12), ylim=(0, 1), xlabel=f"threshold of {name}", ylabel="share")
        axes.set_title(f"Escape and overkill, n = {n}", loc="left", fontsize=9)
        return svg_of(figure)
