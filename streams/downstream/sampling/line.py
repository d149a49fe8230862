"""What the sampler knows of one line: the periods that are open, and what the days so far have seen and spent. Pure.

Verdicts and wishes come in any order within their period; a period is closed once, in the order of time, and its
shortlists then depend on nothing that came later. Knows no pictures: those who made the shortlist are looked at next.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from schemas.records import Outcome, Strategy, VerdictIssued
from streams.downstream.sampling.audits import AuditDay, expected_shares
from streams.downstream.sampling.plan import Plan, day_of, draw
from streams.downstream.sampling.pools import Candidate, Pool
from streams.downstream.sampling.strategies import (
    Wish,
    is_judged,
    is_only_scored,
    is_pass,
    is_rare,
    prediction,
    shown,
    uncertainty,
)

LineKey = tuple[str, str]  # plant and line
LOOKED_AT = 4  # candidates looked at for each one that may be chosen
RARE_LABELS = 64  # different labels a period whose pictures are kept in mind; labels are text from outside
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Shortlist:
    """The candidates of a strategy in a closed period, the best first; at most `most` may be chosen."""

    strategy: Strategy
    most: int
    candidates: tuple[Candidate, ...]


@dataclass(slots=True)
class _Period:
    passes: Pool
    uncertain: Pool
    novel: Pool
    drifted: Pool
    passed: set[bytes] = field(default_factory=set)  # different pictures, by the first 8 bytes of their digest
    by_label: dict[str, Pool] = field(default_factory=dict)
    wishes: list[tuple[Wish, VerdictIssued]] = field(default_factory=list)


@dataclass(slots=True)
class _Day:
    volumes: list[int]  # passes by slot
    labels: defaultdict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # defects, by slot
    used: Counter[Strategy] = field(default_factory=Counter)
    audits: AuditDay | None = None


class Line:
    """One line of a plant under a plan."""

    def __init__(self, key: LineKey, plan: Plan) -> None:
        self._name = "/".join(key)
        self._plan = plan
        self._periods: dict[datetime, _Period] = {}
        self._days: dict[datetime, _Day] = {}

    def verdict(self, verdict: VerdictIssued, at: datetime, drifted: str | None = None) -> None:
        """Takes a verdict in; `at` is the append time of its frame, `drifted` says what was wrong with its camera."""
        if not is_judged(verdict) and not is_only_scored(verdict):
            return
        start = self._plan.start_of(at)
        slot, day, period = self._plan.slot_of(start), self._day(start), self._period(start)
        tie = (draw(self._plan.seed, "tie", str(verdict.verdict_id)), *_place(verdict))
        if drifted:
            period.drifted.add(tie, Candidate(verdict, Strategy.DRIFTED, drifted))
        if is_pass(verdict):
            day.volumes[slot] += 1
            period.passed.add(short(verdict.image_sha256))
            rank = (draw(self._plan.seed, "audit", start.isoformat(), verdict.image_sha256), *_place(verdict))
            period.passes.add(rank, Candidate(verdict, Strategy.PASS_AUDIT, ""))
            return
        if near := uncertainty(verdict):
            period.uncertain.add((near[0], *tie), Candidate(verdict, Strategy.UNCERTAIN, near[1]))
        if verdict.novelty is not None:
            why = f"Its novelty is {verdict.novelty:.3f}: of what the line asked about, the least like any good part."
            period.novel.add((-verdict.novelty, *tie), Candidate(verdict, Strategy.NOVEL, why))
        label, _ = prediction(verdict)
        if verdict.outcome is not Outcome.NG or label is None:
            return
        if label in period.by_label or len(period.by_label) < RARE_LABELS:
            day.labels[slot][label] += 1
            pool = period.by_label.setdefault(label, self._pool(Strategy.RARE))
            pool.add(tie, Candidate(verdict, Strategy.RARE, ""))

    def wish(self, wish: Wish, verdict: VerdictIssued) -> None:
        """Takes in that people's decisions make a verdict worth having; the period is that of the decision."""
        self._period(self._plan.start_of(wish.at)).wishes.append((wish, verdict))

    def sighted(self, label: str, at: datetime) -> None:
        """Takes in that somebody found this defect, so that it is known how rare it is."""
        start = self._plan.start_of(at)
        self._day(start).labels[self._plan.slot_of(start)][label] += 1

    def close(self, start: datetime, sampled: Set[bytes]) -> list[Shortlist]:
        """The shortlists of a period, in the order of ORDER, and forgets it; `sampled` are pictures chosen earlier."""
        period = self._periods.pop(start, None)
        if period is None:
            return []
        return [
            self._audit(start, period, sampled),
            self._wished(Strategy.CORRECTED, start, period),
            self._wished(Strategy.DISAGREEMENT, start, period),
            self._shortlist(Strategy.RARE, start, self._rare(start, period)),
            self._shortlist(Strategy.NOVEL, start, period.novel),
            self._shortlist(Strategy.DRIFTED, start, period.drifted),
            self._shortlist(Strategy.UNCERTAIN, start, period.uncertain),
        ]

    def spend(self, start: datetime, strategy: Strategy, count: int) -> None:
        """Notes what was chosen from a period's shortlists."""
        self._day(start).used[strategy] += count

    def forget(self, before: datetime) -> None:
        """Lets go of the days and periods before this one."""
        self._days = {day: state for day, state in self._days.items() if day >= before}
        self._periods = {start: state for start, state in self._periods.items() if start >= before}

    def has(self, start: datetime) -> bool:
        """Whether anything came in for this period."""
        return start in self._periods

    def _audit(self, start: datetime, period: _Period, sampled: Set[bytes]) -> Shortlist:
        day, slot, population = self._day(start), self._plan.slot_of(start), len(period.passed - sampled)
        if day.audits is None:
            budget, first = self._plan.of_day(Strategy.PASS_AUDIT), day_of(start)
            yesterday = self._days.get(first - DAY)
            volumes = yesterday.volumes if yesterday else [0] * self._plan.periods_a_day
            shares = expected_shares(volumes, max(1, 3600 // self._plan.period_s))
            day.audits = AuditDay(budget, draw(self._plan.seed, "start", self._name, first.isoformat()), shares)
        allotment = day.audits.allot(slot, population)
        fresh = [c for c in period.passes if short(c.verdict.image_sha256) not in sampled][: allotment.count]
        end = start + timedelta(seconds=self._plan.period_s)
        why = (
            f"Drawn at random from {population} different pictures passed from {start:%H:%M} to {end:%H:%M} UTC, "
            f"each with probability {allotment.inclusion:.3g}."
        )
        drawn = tuple(Candidate(c.verdict, c.strategy, why, inclusion=allotment.inclusion) for c in fresh)
        return Shortlist(Strategy.PASS_AUDIT, allotment.count, drawn)

    def _wished(self, strategy: Strategy, start: datetime, period: _Period) -> Shortlist:
        pool = self._pool(strategy)
        for wish, verdict in period.wishes:
            if wish.strategy is strategy:
                rank = (draw(self._plan.seed, "tie", str(verdict.verdict_id)), *_place(verdict))
                pool.add(rank, Candidate(verdict, strategy, wish.why, wish.human_label))
        return self._shortlist(strategy, start, pool)

    def _rare(self, start: datetime, period: _Period) -> Iterator[Candidate]:
        """Candidates of rare labels, the rarest first."""
        if not period.by_label:
            return
        seen = self._labels_through(start)
        total = seen.total()
        for count, label in sorted((seen[label], label) for label in period.by_label):
            if is_rare(count, total):
                why = f"{shown(label)} is rare: {count} of this line's {total} defects since the start of yesterday."
                for candidate in period.by_label[label]:
                    yield Candidate(candidate.verdict, candidate.strategy, why)

    def _labels_through(self, start: datetime) -> Counter[str]:
        """Defects by label from the start of yesterday to the end of this period."""
        seen: Counter[str] = Counter()
        for day, state in self._days.items():
            for slot, labels in state.labels.items():
                at = day + timedelta(seconds=slot * self._plan.period_s)
                if day_of(start) - DAY <= day and at <= start:
                    seen.update(labels)
        return seen

    def _shortlist(self, strategy: Strategy, start: datetime, best: Pool | Iterator[Candidate]) -> Shortlist:
        most = max(0, self._plan.through(strategy, self._plan.slot_of(start)) - self._day(start).used[strategy])
        return Shortlist(strategy, most, tuple(c for c, _ in zip(best, range(LOOKED_AT * most), strict=False)))

    def _day(self, at: datetime) -> _Day:
        day = day_of(at)
        if day not in self._days:
            self._days[day] = _Day([0] * self._plan.periods_a_day)
        return self._days[day]

    def _period(self, start: datetime) -> _Period:
        if start not in self._periods:
            pools = (Strategy.PASS_AUDIT, Strategy.UNCERTAIN, Strategy.NOVEL, Strategy.DRIFTED)
            passes, uncertain, novel, drifted = map(self._pool, pools)
            self._periods[start] = _Period(passes, uncertain, novel, drifted)
        return self._periods[start]

    def _pool(self, strategy: Strategy) -> Pool:
        return Pool(max(1, 2 * self._plan.of_day(strategy)))


def short(sha256: str) -> bytes:
    """Enough of a digest to tell pictures apart. Digests come with events, so anything is taken."""
    return sha256[:16].encode(errors="replace")


def _place(verdict: VerdictIssued) -> tuple[int, int, str]:
    """Where the frame stands: no two verdicts share it."""
    return verdict.source_partition, verdict.source_offset, str(verdict.verdict_id)
