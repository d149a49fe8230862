"""Are there enough pictures? What a number of held-out parts can show, and how many a promise needs. Pure.

Place in the flow: `lineside dataset check`. By the exact interval of Clopper and Pearson (1934) for no error among n:
a model that lets none of n bad parts escape may still let a share of up to 1 - 0.05^(1/n) escape, at 95 % confidence
("rule of three": about 3/n). Knows no picture.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def bound_of_none(parts: int) -> float | None:
    """The largest true rate that is still plausible where none of `parts` went wrong; None of none, which says nothing.

    One-sided.
    """
    return 1 - float((1 - CONFIDENCE) ** (1 / parts)) if parts else None


def parts_for(rate: float) -> int:
    """How many parts, none of which goes wrong, show that the true rate is at most `rate` (above 0, below 1)."""
    if not 0 < rate < 1:
        raise ValueError(f"expected a rate between 0 and 1; came {rate}")
    return math.ceil(math.log(1 - CONFIDENCE) / math.log(1 - rate))
