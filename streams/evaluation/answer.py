"""The first page of an evaluation in words: may the model decide, and what would change that. Pure.

Place in the flow: the report and the terminal say the same sentences.
"""

from __future__ import annotations

import math

from models.evaluate import Rate
from models.examination import Examination

RULED_OUT = 0.05  # share of the interval's outside: an upper bound at 95 %


def answer(found: Examination) -> str:
    """The sentence that a reader who stops there should have read."""
    escape, overkill = found.decided.escape, found.decided.overkill
    if escape.value is None:
        return "No bad part was looked at: nothing can be said about escapes, and so not about the model."
    if overkill.value is None:
        return "No good part was looked at: nothing can be said about overkill, and so not about the model."
    if escape.value == 1:
        return f"No: every one of {escape.total} bad parts passes."
    if escape.count == 0:
        return (
            f"None of {escape.total} bad parts passes, which rules out an escape rate above {escape.high:.2%};"
            f" {overkill.value:.2%} of good parts are rejected."
        )
    return (
        f"{escape.count} of {escape.total} bad parts pass ({escape.value:.2%});"
        f" {overkill.value:.2%} of good parts are rejected."
    )


def what_would_change_it(found: Examination) -> str:
    """What the next pictures should be."""
    escape = found.decided.escape
    if escape.total == 0:
        return "Bad parts in the split that is looked at."
    if escape.count == 0:
        return (
            f"More bad parts: {parts_for(0.01)} without an escape would rule out a rate above 1 %,"
            f" {parts_for(0.001)} one above 0.1 %."
        )
    return "Another threshold (lineside calibrate), or training on what the escapes below have in common."


def parts_for(rate: float) -> int:
    """How many bad parts must be seen without an escape to rule out a higher rate, one-sided at 95 %."""
    return math.ceil(math.log(RULED_OUT) / math.log(1 - rate))


def shown(value: Rate) -> str:
    """`1.2 % [0.4 to 2.5 %] of 310`."""
    if value.value is None or value.low is None or value.high is None:
        return "n/a: there are none"
    return f"{value.value:.2%} [{value.low:.2%} to {value.high:.2%}] of {value.total}"
