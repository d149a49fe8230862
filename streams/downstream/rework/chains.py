"""Which decisions stand: every verdict's outcomes as chains of `supersedes`, taken in one after the other. Pure.

Place in the flow: the board's memory of the topic `outcomes`. The rule is `succeeds` of `sampling/estimates.py`;
this is its incremental form and keeps what no longer counts, for the history of a part.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from schemas.records import ReworkFinding, ReworkOutcome
from streams.downstream.rework.cases import CaseKey, Read
from streams.downstream.rework.review import REVIEWS
from streams.downstream.sampling.estimates import succeeds


class Standing(StrEnum):
    """What a record counts for today."""

    STANDS = "STANDS"
    SUPERSEDED = "SUPERSEDED"
    NEVER_COUNTED = "NEVER_COUNTED"
    """It came second, or named a decision that was no longer the present one."""


@dataclass(slots=True)
class _Chain:
    outcomes: list[tuple[ReworkOutcome, datetime, bool]] = field(
        default_factory=list
    )  # with append time, whether counted
    head: ReworkOutcome | None = None


class Chains:
    """The outcomes of every verdict and review, each partition of the topic given in its order."""

    def __init__(self) -> None:
        self._chains: dict[CaseKey, _Chain] = {}
        self._decided_by: defaultdict[str, set[CaseKey]] = defaultdict(set)

    def add(self, read: Read[ReworkOutcome]) -> None:
        outcome = read.record
        key = CaseKey(outcome.verdict_id, outcome.review)
        chain = self._chains.setdefault(key, _Chain())
        counts = succeeds(chain.head, outcome)
        if counts:
            chain.head = outcome
            self._decided_by[outcome.operator].add(key)
        chain.outcomes.append((outcome, read.timestamp, counts))

    def head(self, key: CaseKey) -> ReworkOutcome | None:
        """The newest outcome that counts, be it a withdrawal."""
        chain = self._chains.get(key)
        return chain.head if chain else None

    def decision(self, key: CaseKey) -> ReworkOutcome | None:
        """The decision that stands; None where there is none or it was withdrawn."""
        head = self.head(key)
        return None if head is None or head.finding is ReworkFinding.WITHDRAWN else head

    def decided_by(self, operator: str) -> Set[CaseKey]:
        """The cases of which this operator ever made a decision that counted."""
        return self._decided_by.get(operator, frozenset())

    def counted(self, outcome: ReworkOutcome) -> bool:
        """Whether this outcome was taken in and counted when it came."""
        chain = self._chains.get(CaseKey(outcome.verdict_id, outcome.review), _Chain())
        return any(counts and known.outcome_id == outcome.outcome_id for known, _, counts in chain.outcomes)

    def history(self, key: CaseKey) -> Iterator[tuple[ReworkOutcome, datetime, Standing]]:
        """Every outcome with its append time and what it counts for, in the order of the log."""
        chain = self._chains.get(key, _Chain())
        for outcome, at, counts in chain.outcomes:
            stands = Standing.STANDS if outcome is chain.head else Standing.SUPERSEDED
            yield outcome, at, stands if counts else Standing.NEVER_COUNTED

    def idle_since(self, before: datetime) -> set[UUID]:
        """Verdicts of which no outcome came since `before`."""
        newest: dict[UUID, datetime] = {}
        for key, chain in self._chains.items():
            at = chain.outcomes[-1][1]
            newest[key.verdict_id] = max(at, newest.get(key.verdict_id, at))
        return {verdict_id for verdict_id, at in newest.items() if at < before}

    def forget(self, verdict_id: UUID) -> None:
        for review in REVIEWS:
            chain = self._chains.pop(key := CaseKey(verdict_id, review), _Chain())
            for outcome, _, _ in chain.outcomes:
                self._decided_by[outcome.operator].discard(key)
