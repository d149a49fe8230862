"""The plots of an evaluation as SVG text: the same figures give the same bytes. Direct labels, each plot says n."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from models.evaluate import Rate
from models.measures import Bin
from streams.reports.svg import BLUE, GREY, ORANGE, STYLE, svg_of


def scores_chart(good: Sequence[float], bad: Sequence[float], threshold: float | None) -> str:
    """How the bad-part scores of good and bad parts lie, with a logarithmic count."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.6), layout="constrained")
        axes = figure.subplots()
        bins = np.linspace(0, 1, 51).tolist()
        for name, scores, color, place in (("good", good, BLUE, 0.0), ("bad", bad, ORANGE, 1.0)):
            if len(scores):
                axes.hist(scores, bins=bins, color=color, alpha=0.7, log=True)
            text = f"{name}, n = {len(scores)}"
            axes.annotate(text, (place, 1.02), xycoords="axes fraction", color=color, ha="right" if place else "left")
        _at_threshold(axes, threshold)
        axes.set(xlim=(0, 1), xlabel="score of being bad", ylabel="pictures (log)")
        return svg_of(figure)


def training_chart(losses: Sequence[float], aurocs: Sequence[float]) -> str:
    """By epoch: the mean loss of training, and how well the validation split was ordered after it."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 2.2), layout="constrained")
        for axes, (name, values, color) in zip(
            figure.subplots(1, 2), (("loss, train", losses, ORANGE), ("AUROC, validation", aurocs, BLUE)), strict=True
        ):
            epochs = range(1, len(values) + 1)
            axes.plot(epochs, values, color=color, linewidth=1.2, marker="o", markersize=2.5)
            axes.set_title(f"{name}, n = {len(values)} epochs", loc="left", fontsize=9)
            axes.set(xlabel="epoch", xlim=(0.5, len(values) + 0.5))
            axes.xaxis.get_major_locator().set_params(integer=True)
        figure.axes[0].set_ylim(bottom=0)
        return svg_of(figure)


def reliability_chart(bins: Sequence[Bin]) -> str:
    """What was claimed against how often it was right, with 95 % intervals."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2, 3.6), layout="constrained")
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        axes.annotate("as claimed", (0.98, 0.93), color=GREY, ha="right")
        claimed = [b.claimed for b in bins]
        _with_intervals(axes, claimed, [b.right for b in bins], BLUE)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="probability claimed", ylabel="share that was right")
        axes.set_title(f"n = {sum(b.right.total for b in bins)}", loc="left", fontsize=9)
        return svg_of(figure)


def robustness_chart(found: Mapping[str, Sequence[tuple[Rate, Rate]]], n: int) -> str:
    """Escape and overkill under each disturbance, from undisturbed (0) to strong (3); intervals cover 95 %."""
    with mpl.rc_context(STYLE):
        columns = 5
        rows = -(-len(found) // columns)
        figure = Figure(figsize=(7.6, 1.7 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for axes, (name, rates) in zip(grid.flat, found.items(), strict=False):
            for place, (what, color) in enumerate((("escape", ORANGE), ("overkill", BLUE))):
                _with_intervals(axes, list(range(len(rates))), [pair[place] for pair in rates], color, what)
            axes.set_title(name, loc="left", fontsize=9)
            axes.set(ylim=(0, 1.02), xticks=range(4))
        for axes in list(grid.flat)[len(found) :]:
            axes.set_visible(False)
        figure.suptitle(
            f"escape (orange) and overkill (blue) by strength, n = {n} at each", fontsize=9, x=0.01, ha="left"
        )
        return svg_of(figure)


def _with_intervals(axes: Any, xs: Sequence[float], rates: Sequence[Rate], color: str, label: str = "") -> None:
    known = [(x, r.value, r.low, r.high) for x, r in zip(xs, rates, strict=True) if r.value is not None]
    if known:
        places, values, lows, highs = (np.array(column, float) for column in zip(*known, strict=True))
        axes.errorbar(
            places, values, yerr=[values - lows, highs - values], color=color, marker="o", markersize=3, linewidth=1,
            elinewidth=0.8, label=label or None,
        )  # fmt: skip


def _at_threshold(axes: Any, threshold: float | None) -> None:
    if threshold is not None:
        axes.axvline(threshold, color=GREY, linewidth=0.8, linestyle="--")
        axes.annotate("threshold", (threshold, 0.85), xycoords=("data", "axes fraction"), color=GREY, ha="right")
