"""The queue of a rework station as a fold of topics. Pure: no clock, no Kafka; the same whatever the topics'
interleaving.

Place in the flow: `desk.py` feeds it what it reads of `defects`, `locations`, `samples`, `outcomes`, `claims`, `parts`
and `audit`, each partition in its order; the page asks. What came before what in DIFFERENT topics does not matter: an
outcome may be read before its defect. Simulated verdicts are no cases. Does not know how anything is shown or sent.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from schemas.records import (
    AuditEntry,
    DefectDetected,
    DefectLocated,
    PartDecided,
    Place,
    ReworkOutcome,
    SampleSelected,
    StationClaim,
)
from streams.downstream.parts.blocks import Block
from streams.downstream.rework.cases import Case, CaseKey, Kind, Read, Scope, case_of_defect, case_of_sample
from streams.downstream.rework.chains import Chains, Standing
from streams.downstream.rework.claims import Claims
from streams.downstream.rework.part_log import PartLog
from streams.downstream.rework.queue import Order, Queue
from streams.downstream.rework.review import FIRST, REVIEWS, SECOND, needs_second
from streams.downstream.sampling.strategies import asks_for_look

Known = DefectDetected | SampleSelected | PartDecided | ReworkOutcome


@dataclass(frozen=True, slots=True)
class Event:
    """One thing known of a part. `at` is the append time; a verdict comes as its defect or sample."""

    at: datetime
    record: Known
    standing: Standing = Standing.STANDS


@dataclass(frozen=True, slots=True)
class Counts:
    """How many cases there are: open ones by kind, and decided ones."""

    rejects: int
    audits: int
    reviews: int
    decided: int

    @property
    def open(self) -> int:
        return self.rejects + self.audits + self.reviews


class Board:
    """The cases of the stations in `scope`; `second_review_share` (0 to 1) of the decided ones are looked at twice."""

    def __init__(self, scope: Scope, second_review_share: float) -> None:
        self._scope = scope
        self._share = second_review_share
        self._cases: dict[UUID, Case] = {}
        self._of_part: defaultdict[str, set[UUID]] = defaultdict(set)
        self._queue = Queue()
        self._chains = Chains()
        self._claims = Claims()
        self._parts = PartLog()
        self._located: dict[UUID, Read[DefectLocated]] = {}
        self._offered: dict[tuple[Order, str], list[Case]] = {}  # since the last change
        self.newest_at: datetime | None = None
        """Append time of the newest case, be it closed by now; None where there never was one."""

    # --- what was read ----------------------------------------------------------------------------------------------

    def defect(self, read: Read[DefectDetected]) -> None:
        """Takes a rejected or unsure frame in; ValueError where it can be no case."""
        verdict = read.record.verdict
        known = self._cases.get(verdict.verdict_id)
        if verdict.simulated or not self._scope.covers(verdict) or (known and known.defect):
            return
        self._take_in(case_of_defect(read))

    def located(self, read: Read[DefectLocated]) -> None:
        """Takes in where the defects of a frame lie; what found some counts before what did not, else the newest."""
        known = self._located.get(read.record.verdict_id)
        if self._scope.covers(read.record) and (known is None or read.record.places or not known.record.places):
            self._located[read.record.verdict_id] = read

    def sample(self, read: Read[SampleSelected]) -> None:
        """Takes in a sample that people shall look at, such as a pass audit. ValueError where it can be no case."""
        sample = read.record
        if not asks_for_look(sample) or not self._scope.covers(sample):
            return
        if sample.verdict_id not in self._cases:  # where a verdict is a defect too, the defect says more
            self._take_in(case_of_sample(read))

    def outcome(self, read: Read[ReworkOutcome]) -> None:
        if read.record.review in REVIEWS and self._scope.covers(read.record):
            self._chains.add(read)
            self._sort_in(read.record.verdict_id)

    def claim(self, read: Read[StationClaim]) -> None:
        if self._scope.covers(read.record):
            self._claims.add(read)

    def part(self, read: Read[PartDecided]) -> None:
        if self._scope.covers(read.record):
            self._parts.part(read)

    def audit(self, read: Read[AuditEntry]) -> None:
        self._parts.audit(read)

    def forget(self, before: datetime) -> None:
        """Drop what was closed or ended before this time. Open cases stay."""
        for verdict_id in self._chains.idle_since(before):
            case = self._cases.get(verdict_id)
            if case is None or (case.appended_at < before and not self._open_keys(verdict_id)):
                self._chains.forget(verdict_id)
                self._drop(verdict_id)
        for verdict_id in [v for v, read in self._located.items() if read.timestamp < before and v not in self._cases]:
            del self._located[verdict_id]
        self._claims.forget(before)
        self._parts.forget(before)

    def _take_in(self, case: Case) -> None:
        self._drop(case.verdict_id)
        self._cases[case.verdict_id] = case
        self.newest_at = max(case.appended_at, self.newest_at or case.appended_at)
        if case.part_id:
            self._of_part[case.part_id].add(case.verdict_id)
        self._sort_in(case.verdict_id)

    def _drop(self, verdict_id: UUID) -> None:
        self._offered.clear()
        case = self._cases.pop(verdict_id, None)
        for review in REVIEWS:
            self._queue.drop(CaseKey(verdict_id, review))
        if case and case.part_id:
            self._of_part[case.part_id].discard(verdict_id)
            if not self._of_part[case.part_id]:
                del self._of_part[case.part_id]

    def _sort_in(self, verdict_id: UUID) -> None:
        """Brings the queue to what the outcomes of a verdict say now."""
        self._offered.clear()
        case = self._cases.get(verdict_id)
        if case is None:
            return
        first, second = (self._chains.decision(CaseKey(verdict_id, review)) for review in REVIEWS)
        wanted = {FIRST: first is None, SECOND: second is None and needs_second(first, self._share)}
        for review, is_wanted in wanted.items():
            if is_wanted:
                self._queue.put(case.for_review(review))
            else:
                self._queue.drop(CaseKey(verdict_id, review))

    # --- what is asked ----------------------------------------------------------------------------------------------

    def open_cases(self, order: Order, operator: str) -> list[Case]:
        """The cases that this operator may decide, the first to be looked at first; those that others hold included.

        The same list until something changes, not to be written to.
        """
        if (order, operator) not in self._offered:
            kept_from = {CaseKey(key.verdict_id, _other(key.review)) for key in self._chains.decided_by(operator)}
            cases = self._queue.cases(order)
            if any(key in self._queue for key in kept_from):
                cases = [case for case in cases if case.key not in kept_from]
            self._offered[order, operator] = cases
        return self._offered[order, operator]

    def case(self, key: CaseKey) -> Case | None:
        """A case, open or closed."""
        case = self._cases.get(key.verdict_id)
        return case and case.for_review(key.review)

    def places(self, case: Case) -> tuple[Place, ...]:
        """Where the second stage saw this case's defects, the surest first; none where it did not look, or blindly."""
        read = None if case.blind else self._located.get(case.verdict_id)
        return read.record.places if read else ()

    def is_open(self, key: CaseKey) -> bool:
        return key in self._queue

    def may_decide(self, key: CaseKey, operator: str) -> bool:
        """False for whoever made the other decision about this verdict: a review is made by somebody else."""
        return CaseKey(key.verdict_id, _other(key.review)) not in self._chains.decided_by(operator)

    def find(self, part_id: str, operator: str) -> list[Case]:
        """The cases of a part: those that this operator may decide first, then the decided ones that he may see."""
        keys = [CaseKey(v, review) for v in self._of_part.get(part_id, ()) for review in REVIEWS]
        open_ = [key for key in keys if self.is_open(key) and self.may_decide(key, operator)]
        closed = [key for key in keys if self.decision(key) and not self._is_blind_for(operator, key.verdict_id)]
        by_age = [sorted((case for key in some if (case := self.case(key))), key=_by_age) for some in (open_, closed)]
        return [*by_age[0], *by_age[1]]

    def holder(self, key: CaseKey, now: datetime) -> StationClaim | None:
        """Who has the case open at `now`."""
        return self._claims.holder(key, now)

    def decision(self, key: CaseKey) -> ReworkOutcome | None:
        """The decision that stands; None while the case is open."""
        return self._chains.decision(key)

    def head(self, key: CaseKey) -> ReworkOutcome | None:
        """What the next outcome must supersede: the decision that stands, or the withdrawal of the last."""
        return self._chains.head(key)

    def counted(self, outcome: ReworkOutcome) -> bool:
        """Whether an outcome that was read counted when it came."""
        return self._chains.counted(outcome)

    def history(self, part_id: str, operator: str | None = None) -> tuple[Event, ...]:
        """All that is known of a part, oldest first.

        That a part passed at its first inspection is not kept. For an `operator`, the outcomes of a verdict that he may
        still review blindly are left out.
        """
        found: list[Event] = [Event(at, part) for at, part in self._parts.of(part_id)]
        for verdict_id in sorted(self._of_part.get(part_id, ())):
            case = self._cases[verdict_id]
            looked_at = case.defect or case.sample
            assert looked_at is not None
            found.append(Event(case.appended_at, looked_at))
            if operator is None or not self._is_blind_for(operator, verdict_id):
                for review in REVIEWS:
                    found += [
                        Event(at, o, standing) for o, at, standing in self._chains.history(CaseKey(verdict_id, review))
                    ]
        return tuple(sorted(found, key=lambda event: event.at))

    def blocks(self) -> list[Block]:
        """The blocks of uninspected parts that nobody dealt with; of one that grew since then, what is new."""
        return self._parts.blocks()

    def handling(self, block: Block) -> AuditEntry | None:
        """Who did what with a block; None while nobody has."""
        return self._parts.handling(block)

    def counts(self) -> Counts:
        rejects, audits, reviews = (self._queue.count(kind) for kind in (Kind.REJECT, Kind.AUDIT, Kind.REVIEW))
        return Counts(rejects, audits, reviews, decided=len(self._cases) - rejects - audits)

    def _open_keys(self, verdict_id: UUID) -> list[CaseKey]:
        return [key for review in REVIEWS if (key := CaseKey(verdict_id, review)) in self._queue]

    def _is_blind_for(self, operator: str, verdict_id: UUID) -> bool:
        """Whether this operator may yet review the verdict and so must not see what others decided."""
        review = CaseKey(verdict_id, SECOND)
        return self.is_open(review) and self.may_decide(review, operator)


def _other(review: int) -> int:
    return FIRST if review == SECOND else SECOND


def _by_age(case: Case) -> tuple[datetime, UUID, int]:
    return case.inspected_at, case.verdict_id, case.review
