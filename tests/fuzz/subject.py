"""What a fuzzer's subject is: cases made from a seed and a number alone, and a trial that judges one of them.

Between `runner`, which knows processes and limits, and `pictures` and `events`, which know what is tried.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Case:
    """One hostile input: its bytes, what else comes with it, and for the trial alone whatever it needs."""

    data: bytes
    told: dict[str, Any] = field(default_factory=dict)  # for a person, as JSON
    inner: Any = None


class WrongOutcomeError(Exception):
    """The trial ended, but not in one of the ways that are right."""


class Subject(Protocol):
    """Made once in each process."""

    def case(self, number: int) -> Case:
        """The same for the same seed and number, whatever came before."""

    def trial(self, case: Case) -> str:
        """The outcome in a few words; any exception is a failure of what is tried."""

    def allowed_growth_bytes(self) -> int:
        """How much memory the last trial may have taken at its peak."""

    def close(self) -> None: ...


def generator(seed: int, kind: str, number: int) -> random.Random:
    """The random numbers of one case."""
    return random.Random(f"{seed}/{kind}/{number}")
