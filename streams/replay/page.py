"""A comparison and a what-if as one HTML file: no script, nothing fetched, the same bytes for the same figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from schemas.records import Estimate
from streams.replay.charts import curve_chart, shift_chart
from streams.replay.comparison import Comparison
from streams.replay.decided import Pair
from streams.replay.whatif import Point
from streams.reports.page import png_source, render

PictureOf = Callable[[Pair], bytes | str]
"""The PNG of a frame, or a sentence why there is none."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A flipped frame in the report; `picture` is a data URI, or empty and `why` says why."""

    pair: Pair
    picture: str
    why: str


def comparison_page(compared: Comparison, info: Mapping[str, Any], picture_of: PictureOf, most: int) -> str:
    """The report; at most `most` flipped frames with their pictures."""
    return _page(
        "comparison.html.jinja",
        c=compared,
        info=info,
        answer=answer(compared),
        shown=[_shown(pair, picture_of) for pair in compared.flipped[:most]],
        chart=shift_chart(compared.shifts, compared.a, compared.b) if compared.shifts else "",
    )


def whatif_page(
    run: str, curves: Mapping[str, Sequence[Point]], present: Mapping[str, float], line: str, why_not: str
) -> str:
    """The curves of each class, and the recipe line."""
    charts = {name: curve_chart(points, name, present.get(name)) for name, points in curves.items()}
    return _page(
        "whatif.html.jinja", run=run, charts=charts, curves=curves, present=present, line=line, why_not=why_not
    )


def answer(compared: Comparison) -> str:
    """The first sentence of a report: may B take A's place?"""
    if compared.whole.same == compared.pairs:
        return f"{compared.b} decides every one of {compared.pairs} frames as {compared.a}."
    if why := compared.rates_b.escape.why_not or compared.rates_a.escape.why_not:
        return f"This range can't say whether {compared.b} may replace {compared.a}: {why}."
    escape, overkill = compared.escape_difference, compared.overkill_difference
    if escape is None:
        return f"Too little is known of bad parts to say whether {compared.b} may replace {compared.a}."
    if escape[1] > 0:
        return f"No: {compared.b} lets more bad parts pass than {compared.a}."
    if escape[2] > 0:
        return (
            f"Not shown: {compared.b} may let more bad parts pass than {compared.a}; the interval reaches above zero."
        )
    better = overkill is not None and overkill[2] < 0
    return f"{compared.b} lets no more bad parts pass than {compared.a}" + (
        " and rejects fewer good ones." if better else "."
    )


def share(value: float | None) -> str:
    """A share for people."""
    return "n/a" if value is None else f"{value:.2%}"


def estimate(value: Estimate) -> str:
    """`1.2 % [0.4 to 2.5 %], n 310`."""
    if value.value is None:
        return "n/a"
    return f"{share(value.value)} [{share(value.low)} to {share(value.high)}], n {value.n}"


def interval(value: tuple[float, float, float] | None) -> str:
    """A difference with its interval, in points."""
    return "n/a" if value is None else f"{value[0]:+.2%} [{value[1]:+.2%} to {value[2]:+.2%}]"


def p_value(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _shown(pair: Pair, picture_of: PictureOf) -> Shown:
    picture = picture_of(pair)
    if isinstance(picture, str):
        return Shown(pair, "", picture)
    return Shown(pair, png_source(picture), "")


def _page(name: str, **values: Any) -> str:
    filters: dict[str, Callable[..., Any]] = {"share": share, "estimate": estimate, "interval": interval, "p": p_value}
    return render("streams.replay", name, filters, **values)
