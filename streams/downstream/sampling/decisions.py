"""What people decided so far, as far as the sampler wants it: corrections of the model, and disagreements. Pure.

Outcomes come in the order of their append times. A wish is good only while the decision that made it stands.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from uuid import UUID

from schemas.records import ReworkFinding, ReworkOutcome, Strategy
from streams.downstream.sampling.estimates import succeeds
from streams.downstream.sampling.strategies import Wish, correction, decision, disagreement, label_of


class Decisions:
    """The decisions in force, by verdict and review."""

    def __init__(self) -> None:
        self._heads: defaultdict[UUID, dict[int, ReworkOutcome]] = defaultdict(dict)
        self._newest: dict[UUID, datetime] = {}

    def take(self, outcome: ReworkOutcome, at: datetime) -> list[Wish]:
        """Takes in an outcome appended at `at`; gives what it makes worth having."""
        heads = self._heads[outcome.verdict_id]
        if not succeeds(heads.get(outcome.review), outcome):
            return []
        heads[outcome.review] = outcome
        self._newest[outcome.verdict_id] = at
        wishes = []
        if outcome.review == 1 and (why := correction(outcome)):
            wishes.append(Wish(outcome, at, Strategy.CORRECTED, why, label_of(outcome)))
        if why := self._disagreement(heads):
            wishes.append(Wish(outcome, at, Strategy.DISAGREEMENT, why, None))
        return wishes

    def stands(self, wish: Wish) -> bool:
        """Whether the decision behind a wish is still the one in force, and people still disagree where they did."""
        heads = self._heads.get(wish.outcome.verdict_id, {})
        if wish.strategy is Strategy.DISAGREEMENT and not self._disagreement(heads):
            return False
        return heads.get(wish.outcome.review) is wish.outcome and wish.outcome.finding is not ReworkFinding.WITHDRAWN

    def forget(self, before: datetime) -> None:
        """Lets go of verdicts about which nobody decided anything since."""
        for verdict_id in [key for key, at in self._newest.items() if at < before]:
            del self._newest[verdict_id], self._heads[verdict_id]

    @staticmethod
    def _disagreement(heads: dict[int, ReworkOutcome]) -> str | None:
        first = heads.get(1)
        found = (disagreement(decision(first), decision(heads[n])) for n in sorted(heads) if n > 1) if first else ()
        return next((why for why in found if why), None)
