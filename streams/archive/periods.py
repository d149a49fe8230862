"""Which stretches of time are archived together. Pure.

Periods lie on a fixed grid, so that a period holds the same frames whenever it is archived, and by however many tries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """From `start_ms` until before `end_ms`: append times, ms since 1970."""

    start_ms: int
    end_ms: int


def period_at(at_ms: int, length_ms: int) -> Period:
    """The period that a time lies in."""
    start = at_ms - at_ms % length_ms
    return Period(start, start + length_ms)


def next_period(firsts: Mapping[int, int | None], length_ms: int) -> Period | None:
    """The first period with something in it. `firsts`: by partition, the append time of what comes next, ms."""
    times = [at for at in firsts.values() if at is not None]
    return period_at(min(times), length_ms) if times else None


def is_closed(period: Period, behind: Sequence[bool], now_ms: int, margin_ms: int) -> bool:
    """Whether nothing can be appended to a period any more.

    `behind`: for every partition, whether a record was appended after the period. Where one is silent, the clocks of
    brokers and this machine may differ by `margin_ms`.
    """
    return all(behind) or now_ms >= period.end_ms + margin_ms


def day_of(at: datetime) -> str:
    """The day (UTC) of an append time, as folders are named."""
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def day_of_ms(at_ms: int) -> str:
    """The same of ms since 1970."""
    return day_of(datetime.fromtimestamp(at_ms / 1000, UTC))
