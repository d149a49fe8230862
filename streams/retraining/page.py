"""A retraining as one HTML file: no script, nothing fetched, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from streams.reports.page import render
from streams.reports.svg import BLUE, GREY, STYLE, svg_of
from streams.retraining.answer import Answer


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A held-out part that the two judge otherwise; `picture` is a PNG file."""

    label: str
    base: str
    new: str
    picture: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """What a report shows. `held_out` and `replayed` are the comparisons as JSON; `about` facts by name."""

    model_id: str
    base_model_id: str
    scope: str
    answer: Answer
    new_classes: Sequence[str]
    held_out: Mapping[str, Any]
    replayed: Mapping[str, Any]
    about: Mapping[str, str]
    changed: Sequence[Thumbnail]


def proposal_page(found: Proposed) -> str:
    """The report."""
    return render(
        "streams.retraining",
        "proposal.html.jinja",
        {"rate": shown, "difference": difference},
        p=found,
        a=found.held_out["a"],
        b=found.held_out["b"],
        chart=kinds_chart(found.held_out["kinds"], found.base_model_id, found.model_id),
    )


def shown(rate: Mapping[str, Any]) -> str:
    """`1.2 % [0.4 to 2.5 %] of 310`, or why there is none."""
    if rate.get("value") is None:
        return f"n/a: {rate.get('why_not') or 'there are none'}"
    total = rate.get("total", rate.get("n"))
    return f"{rate['value']:.2%} [{rate['low']:.2%} to {rate['high']:.2%}] of {total}"


def difference(value: Sequence[float] | None) -> str:
    """A difference with its interval, in points."""
    return "n/a" if value is None else f"{value[0]:+.2%} [{value[1]:+.2%} to {value[2]:+.2%}]"


def kinds_chart(kinds: Sequence[Mapping[str, Any]], base: str, new: str) -> str:
    """By label: what each model judges wrongly, with 95 % intervals. Bad parts that pass, and good ones rejected."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 0.9 + 0.55 * len(kinds)), layout="constrained")
        axes = figure.subplots()
        for side, color, up in (("base", GREY, 0.16), ("new", BLUE, -0.16)):
            rates = [kind[side] for kind in kinds]
            values, lows, highs = (np.array([r[key] for r in rates], float) for key in ("value", "low", "high"))
            places = np.arange(len(kinds))[::-1] + up
            axes.errorbar(values, places, xerr=[values - lows, highs - values], fmt="o", color=color, markersize=4)
            name = f"{base if side == 'base' else new}"
            axes.annotate(name, (0.0 if side == "base" else 1.0, 1.02), xycoords="axes fraction", color=color,
                          ha="left" if side == "base" else "right")  # fmt: skip
        names = [_named(kind) for kind in kinds]
        axes.set_yticks(range(len(kinds))[::-1], names)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.6, len(kinds) - 0.4), xlabel="share judged wrongly")
        return svg_of(figure)


def _named(kind: Mapping[str, Any]) -> str:
    what = "passed" if kind["bad"] else "rejected"
    return f"{kind['label']}{' (new)' if kind['is_new'] else ''} {what}, n = {kind['new']['total']}"
