"""Numbers, shares and times of the dashboard as people read them; every estimate with its interval. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from streams.downstream.overview.view import Span, Station
from streams.web.i18n import Texts

DASH = "\N{EN DASH}"
NONE = "\N{EM DASH}"
TEXT_MAX_CHARS = 80
UNPRINTABLE = "\N{REPLACEMENT CHARACTER}"
Model = dict[str, Any]
"""What the browser draws: JSON, finished texts, and numbers that a chart places."""


class Interval(Protocol):
    """An estimate or a rate: a share with its 95 % interval, None where nothing is known."""

    @property
    def value(self) -> float | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...


def printable(text: str) -> str:
    """Foreign text as a person can trust it: what can't be seen or turns the writing around is marked, and cut."""
    seen = "".join(c if c.isprintable() else UNPRINTABLE for c in text[: TEXT_MAX_CHARS + 1])
    return seen if len(seen) <= TEXT_MAX_CHARS else seen[:TEXT_MAX_CHARS] + "…"


@dataclass(frozen=True, slots=True)
class Wording:
    """`t` with the present time, by which dates are shown or left out."""

    t: Texts
    now: datetime

    def share(self, rate: Interval) -> str:
        return NONE if rate.value is None else self.t.percent(rate.value, _decimals(rate))

    def interval(self, rate: Interval) -> str:
        """Such as `[0.5 to 1.2]`, in per cent; empty where there is none."""
        if rate.low is None or rate.high is None:
            return ""
        decimals = _decimals(rate)
        low, high = (self.t.number(100 * share, decimals) for share in (rate.low, rate.high))
        return f"[{low}{DASH}{high}]"

    def count(self, n: float) -> str:
        return self.t.number(n)

    def ms(self, value: float | None) -> str:
        if value is None:
            return NONE
        if value < 1_000:
            return f"{self.t.number(value, 0 if value >= 10 else 1)}\N{NO-BREAK SPACE}ms"
        return f"{self.t.number(value / 1_000, 1)}\N{NO-BREAK SPACE}s"

    def rate(self, value: float | None) -> str:
        """A number a minute."""
        return NONE if value is None else self.t.number(value, 0 if value >= 100 else 1)

    def plan(self, value: float) -> str:
        """A planned number a minute, without needless decimals."""
        return self.t.number(value, 0 if value == round(value) else 1)

    def time(self, at: datetime, seconds: bool = False) -> str:
        return self.t.time(at, self.now, seconds)

    def stretch(self, start: datetime, end: datetime) -> str:
        """`10:02 to 10:04`, the day once."""
        return self.t("from_to", start=self.time(start), end=self.time(end))

    def span(self, span: Span) -> str:
        """The span of a view; a live one is named by its length up to now."""
        if span.live:
            return self.t("since", start=self.time(span.start))
        return self.stretch(span.start, span.end)

    def length(self, length: timedelta) -> str:
        return self.t.age(length.total_seconds())

    def reasons(self, counts: Mapping[str, int]) -> str:
        """`late 12, corrupt 3`, the most frequent first."""
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        return ", ".join(f"{self.reason(name)} {self.count(n)}" for name, n in ordered)

    def reason(self, name: str) -> str:
        """A reason's word; the name itself where there is none."""
        return self.word("reason", name)

    def word(self, kind: str, name: str) -> str:
        """The text of a member of an enumeration, its name where the language has none."""
        try:
            return self.t(f"{kind}_{name}")
        except KeyError:
            return printable(name.replace("_", " ").lower())


def station_name(station: Station) -> str:
    return printable(" / ".join(station[1:]))


def _decimals(rate: Interval) -> int:
    """Two decimals for what is rare, one else."""
    near = min(rate.value or 0.0, 1 - (rate.value or 0.0))
    return 2 if near < 0.01 else 1
