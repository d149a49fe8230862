"""The gate that a model must pass before it may decide on a line: what its evaluation must show. Pure.

Place in the flow: `lineside models release`. Accuracy is not asked for: of 990 good and 10 bad parts, passing all is
right in 99 of 100 and lets every bad one through. Knows no file and no topic.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class Gate:
    """Shares of bad parts passed and of good parts rejected, at most; and how many bad parts must have been seen."""

    most_escape: float = 0.02
    most_overkill: float = 0.05
    least_bad: int = 30


def shortfalls(decided: Evaluation, gate: Gate) -> list[str]:
    """What an evaluation falls short of, a sentence each; empty for a model that passes."""
    escape, overkill, found = decided.escape, decided.overkill, list[str]()
    if escape.total < gate.least_bad:
        found.append(f"{escape.total} bad parts were seen; at least {gate.least_bad} must be")
    if escape.value is not None and escape.value > gate.most_escape:
        found.append(f"escape is {escape}; allowed is {gate.most_escape:.2%}")
    if overkill.value is None:
        found.append("no good part was seen, so overkill is unknown")
    elif overkill.value > gate.most_overkill:
        found.append(f"overkill is {overkill}; allowed is {gate.most_overkill:.2%}")
    return found
