"""Where the loop of each line and SKU stands: samples, labels, corrections, proposals, and what comes next. Pure.

Place in the flow: the page of the loop folds the topics `samples`, `outcomes`, `recipes` and `proposals` into one of
these. Counts begin when the model in force came into force, for what came before taught the models before it. A row is
of a line and SKU; where a recipe or a proposal is for every SKU of a line, one row more counts them all.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from schemas.records import ModelProposed, Outcome, Recipe, ReworkFinding, ReworkOutcome, SampleSelected
from streams.downstream.rework.cases import Read
from streams.downstream.sampling.estimates import succeeds
from streams.downstream.sampling.strategies import label_of
from streams.inspection.recipes import ANY_SKU
from streams.recipes.history import History, Scope, scope_of
from streams.retraining.proposals import Proposal, ProposalBook

T = TypeVar("T")
KEPT = timedelta(days=7)  # a decision is kept beyond its row: a sample of it may come later
ENOUGH = 20  # labelled samples that are worth a retraining; a smaller number teaches little


class Next(StrEnum):
    """What comes next; the page has the words."""

    FIRST_MODEL = "first_model"  # nothing is in force
    DECIDE = "decide"  # a proposal waits for an approval
    LABEL = "label"  # samples have no label yet
    SAMPLE = "sample"  # there are no samples yet
    WAIT = "wait"  # too few are labelled
    RETRAIN = "retrain"


@dataclass(frozen=True, slots=True)
class Row:
    """One line and SKU. `since`: when the model in force came into force; counts are of what came later."""

    scope: Scope
    recipe: Recipe | None
    since: datetime | None
    chosen: Mapping[str, int]  # samples by strategy
    labelled: int
    unlabelled: int
    escapes: int  # passed frames that people found bad
    overkill: int  # rejected frames that people found good
    proposals: tuple[Proposal, ...]  # the newest first
    dataset: str | None  # the newest that a proposal rests on

    @property
    def samples(self) -> int:
        return self.labelled + self.unlabelled

    @property
    def next(self) -> Next:
        if self.recipe is None:
            return Next.FIRST_MODEL
        if any(proposal.is_open for proposal in self.proposals):
            return Next.DECIDE
        if self.labelled >= ENOUGH and self.unlabelled <= self.labelled:
            return Next.RETRAIN
        if self.unlabelled:
            return Next.LABEL
        return Next.WAIT if self.samples else Next.SAMPLE


@dataclass(frozen=True, slots=True)
class _Sample:
    """What is kept of one: a line has fifty a day, for ever."""

    scope: Scope
    verdict_id: UUID
    strategy: str
    selected_at: datetime


class Standing:
    """Takes records in, each topic in its order."""

    def __init__(self) -> None:
        self.version = 0
        self.recipes, self.proposals = History(), ProposalBook()
        self._samples: dict[UUID, _Sample] = {}
        self._heads: dict[UUID, ReworkOutcome] = {}  # the decision in force about each verdict

    def sample(self, read: Read[SampleSelected]) -> None:
        record = read.record
        scope = Scope(record.plant, record.line, record.sku)
        kept = _Sample(scope, record.verdict_id, record.strategy.value, record.selected_at)
        self._samples.setdefault(record.sample_id, kept)
        self.version += 1

    def outcome(self, read: Read[ReworkOutcome]) -> None:
        record = read.record
        if record.review == 1 and succeeds(self._heads.get(record.verdict_id), record):
            self._heads[record.verdict_id] = record
            self.version += 1

    def recipe(self, read: Read[Recipe]) -> None:
        self.recipes.take(read.record, read.timestamp)
        self.version += 1

    def proposal(self, read: Read[ModelProposed]) -> None:
        self.proposals.take(read.record, read.timestamp)
        self.version += 1

    def rows(self, now: datetime) -> list[Row]:
        """By plant, line and SKU, `*` first. What no row can ever count again is forgotten."""
        rows = self._all_rows(now)
        self._forget({row.scope: row.since for row in rows})
        return rows

    def _forget(self, since: Mapping[Scope, datetime | None]) -> None:
        """What lies before every row that counts it: what is in force never came into force earlier than now known."""

        def over(scope: Scope, at: datetime) -> bool:
            its = [since[s] for s in (scope, replace(scope, sku=ANY_SKU)) if s in since]
            return bool(its) and all(begin is not None and at < begin for begin in its)

        self._samples = {key: s for key, s in self._samples.items() if not over(s.scope, s.selected_at)}
        self._heads = {
            key: head
            for key, head in self._heads.items()
            if not over(Scope(head.plant, head.line, head.sku), head.decided_at + KEPT)
        }

    def _all_rows(self, now: datetime) -> list[Row]:
        samples, corrected = self._by_scope(), self._corrected()
        proposed = defaultdict[Scope, list[Proposal]](list)
        for proposal in self.proposals.all():
            first = proposal.first
            proposed[Scope(first.plant, first.line, first.sku)].insert(0, proposal)
        scopes = {*samples, *corrected, *proposed, *self.recipes.scopes()}
        narrow = {(s.plant, s.line) for s in (*samples, *corrected, *proposed) if s.sku != ANY_SKU}
        shown = [s for s in scopes if s.sku != ANY_SKU or s in proposed or (s.plant, s.line) not in narrow]
        return [
            self._row(scope, samples, corrected, proposed[scope], now)
            for scope in sorted(shown, key=lambda s: (s.plant, s.line, s.sku))
        ]

    def _row(
        self,
        scope: Scope,
        samples: Mapping[Scope, list[_Sample]],
        corrected: Mapping[Scope, list[ReworkOutcome]],
        proposals: list[Proposal],
        now: datetime,
    ) -> Row:
        recipe = self.recipes.book.in_force(scope.plant, scope.line, scope.sku, now)
        since = self._since(recipe, now) if recipe else None
        its = [s for s in _of(samples, scope) if since is None or s.selected_at >= since]
        said = [o for o in _of(corrected, scope) if since is None or o.decided_at >= since]
        labelled = sum(s.verdict_id in self._heads and label_of(self._heads[s.verdict_id]) is not None for s in its)
        return Row(
            scope=scope,
            recipe=recipe,
            since=since,
            chosen=dict(sorted(Counter(s.strategy for s in its).items())),
            labelled=labelled,
            unlabelled=len(its) - labelled,
            escapes=sum(o.verdict_outcome is Outcome.OK for o in said),
            overkill=sum(o.verdict_outcome is Outcome.NG for o in said),
            proposals=tuple(proposals),
            dataset=proposals[0].first.dataset if proposals else None,
        )

    def _since(self, recipe: Recipe, now: datetime) -> datetime:
        """When its model came into force: other limits since then are no other model."""
        began = recipe.effective_at
        for entry in sorted(self.recipes.of(scope_of(recipe)), key=lambda e: e.recipe.effective_at, reverse=True):
            if not entry.takes_effect or entry.recipe.effective_at > now:
                continue
            if entry.recipe.model_id != recipe.model_id:
                break
            began = entry.recipe.effective_at
        return began

    def _by_scope(self) -> dict[Scope, list[_Sample]]:
        found = defaultdict[Scope, list[_Sample]](list)
        for sample in self._samples.values():
            found[sample.scope].append(sample)
        return found

    def _corrected(self) -> dict[Scope, list[ReworkOutcome]]:
        """Decisions that say other than the verdict did: bad where it passed, good where it was rejected."""
        found = defaultdict[Scope, list[ReworkOutcome]](list)
        wrong = {(Outcome.OK, ReworkFinding.CONFIRMED), (Outcome.NG, ReworkFinding.FALSE_REJECT)}
        for head in self._heads.values():
            if (head.verdict_outcome, head.finding) in wrong:
                found[Scope(head.plant, head.line, head.sku)].append(head)
        return found


def _of(found: Mapping[Scope, list[T]], scope: Scope) -> Iterable[T]:
    if scope.sku != ANY_SKU:
        return found.get(scope, ())
    return [one for key, its in found.items() if (key.plant, key.line) == (scope.plant, scope.line) for one in its]
