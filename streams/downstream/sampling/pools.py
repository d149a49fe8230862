"""The best few of many candidates, in bounded memory and whatever their order. Pure.

A period may hold a million verdicts; what is kept of them is a pool for each strategy. Equal files count once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from schemas.records import Strategy, VerdictIssued

Rank = tuple[Any, ...]
"""Lower is better; ends in something that no two candidates share."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that a strategy wants, and why, in one sentence for people."""

    verdict: VerdictIssued
    strategy: Strategy
    why: str
    human_label: str | None = None
    inclusion: float = 0.0


class Pool:
    """Keeps the `size` candidates of the lowest ranks, one for each picture file."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._best: dict[str, tuple[Rank, Candidate]] = {}

    def add(self, rank: Rank, candidate: Candidate) -> None:
        sha256 = candidate.verdict.image_sha256
        known = self._best.get(sha256)
        if known is None or rank < known[0]:
            self._best[sha256] = (rank, candidate)
        if len(self._best) > 2 * self._size:
            self._best = {c.verdict.image_sha256: (rank, c) for rank, c in self._sorted()[: self._size]}

    def __iter__(self) -> Iterator[Candidate]:
        """From the best on."""
        return (candidate for _, candidate in self._sorted()[: self._size])

    def _sorted(self) -> list[tuple[Rank, Candidate]]:
        return sorted(self._best.values(), key=lambda item: item[0])
