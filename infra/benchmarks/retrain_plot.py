"""The plot of `retrain_loop.py`: what passes of the new kind over time, and both figures before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from models.evaluate import rate
from schemas.records import Outcome, VerdictIssued
from streams.reports.svg import BLUE, GREY, ORANGE, STYLE, svg_of

BINS = 12  # of each stretch


def plotted(found: Mapping[str, Any], verdicts: Sequence[VerdictIssued], old: Sequence[str], new: str) -> str:
    """SVG. Intervals cover 95 % (Clopper and Pearson 1934)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        _over_time(left, found, verdicts, new)
        _before_after(right, found, old, new)
        return svg_of(figure)


def _over_time(axes: Any, found: Mapping[str, Any], verdicts: Sequence[VerdictIssued], new: str) -> None:
    """Two stretches, one behind the other: the retraining between them is cut out."""
    for place, name in enumerate(("begun", "after")):
        start, end = (datetime.fromisoformat(at) for at in found["spans"][name])
        for color, label, wrong in ((ORANGE, new, Outcome.OK), (BLUE, "good", Outcome.NG)):
            its = [v for v in verdicts if v.label == label and start <= v.source_timestamp <= end]
            at = [min(BINS - 1, int(BINS * ((v.source_timestamp - start) / (end - start)))) for v in its]
            shares = [_rate([v.outcome is wrong for v, b in zip(its, at, strict=True) if b == n]) for n in range(BINS)]
            xs = np.arange(BINS) + 0.5 + place * (BINS + 1)
            values, lows, highs = (np.array([getattr(s, k) for s in shares], float) for k in ("value", "low", "high"))
            axes.errorbar(xs, values, yerr=[values - lows, highs - values], color=color, marker="o", markersize=3,
                          linewidth=1, elinewidth=0.6)  # fmt: skip
    axes.axvline(BINS + 0.5, color=GREY, linestyle="--", linewidth=0.8)
    axes.annotate("retrained, approved, swapped", (BINS + 0.5, 1.13), ha="center", color=GREY, annotation_clip=False)
    axes.annotate(f"{new.replace('_', ' ')} that passes", (0.2, 1.02), color=ORANGE)
    axes.annotate("good parts rejected", (0.2, 0.06), color=BLUE)
    axes.set(xlim=(0, 2 * BINS + 1), ylim=(-0.02, 1.1), ylabel="share", xticks=[])
    axes.set_xlabel(
        f"time, {found['begun']['frames']} and {found['after']['frames']} frames; frames lost: {found['frames_lost']}"
    )


def _before_after(axes: Any, found: Mapping[str, Any], old: Sequence[str], new: str) -> None:
    rows = [(f"{kind.replace('_', ' ')} passes", kind) for kind in (new, *old)] + [("good is rejected", None)]
    for side, color, up in (("begun", GREY, 0.15), ("after", BLUE, -0.15)):
        rates = [found[side][kind]["passes"] if kind else found[side]["overkill"] for _, kind in rows]
        values, lows, highs = (np.array([r[key] for r in rates], float) for key in ("value", "low", "high"))
        places = np.arange(len(rows))[::-1] + up
        axes.errorbar(values, places, xerr=[values - lows, highs - values], fmt="o", color=color, markersize=4)
    axes.annotate("before", (0, 1.02), xycoords="axes fraction", color=GREY)
    axes.annotate("after one retraining", (1, 1.02), xycoords="axes fraction", color=BLUE, ha="right")
    names = [
        f"{text}, n = {found['after'][kind]['passes']['total'] if kind else found['after']['overkill']['total']}"
        for text, kind in rows
    ]
    axes.set_yticks(range(len(rows))[::-1], names)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(rows) - 0.4), xlabel="share")


def _rate(wrong: Sequence[bool]) -> Any:
    return rate(sum(wrong), len(wrong))
