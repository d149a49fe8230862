"""The sampler at work: history in, period after period, samples out. One a whole installation.

Place in the flow: reads `verdicts` and `outcomes`, looks at pictures, publishes `samples`. Live is history up to the
last period that has closed, again and again, so that both choose the same. It starts at the beginning of a day and
reads the day before for what is usual; what was published already is chosen again and not published again. What is
chosen, the pure files beside this one decide.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from schemas.records import AlarmRaised, DefectDetected, Event, ReworkOutcome, SampleSelected, Strategy, VerdictIssued
from streams.bus.subscriber import Received
from streams.downstream.sampling.album import Album
from streams.downstream.sampling.decisions import Decisions
from streams.downstream.sampling.drifts import Drifts
from streams.downstream.sampling.line import DAY, Line, LineKey, Shortlist, short
from streams.downstream.sampling.pictures import GoneError, SamplePictures
from streams.downstream.sampling.plan import Plan, day_of
from streams.downstream.sampling.samples import sample, sample_id
from streams.downstream.sampling.selection import Known, Look, Pick, choose
from streams.downstream.sampling.strategies import Wish
from streams.topics import SAMPLES, Topic, station_key

log = logging.getLogger(__name__)
STRIDE = timedelta(hours=2)  # read at once
DECISIONS_KEPT = 30 * DAY


class History(Protocol):
    """The topics, each up to a time and from where the last call ended; with the time each record belongs to."""

    def verdicts(self, until: datetime) -> AsyncIterator[tuple[Received[VerdictIssued], datetime]]:
        """Complete when it ends: all frames appended before `until` are decided."""

    def outcomes(self, until: datetime) -> AsyncIterator[tuple[Received[ReworkOutcome], datetime]]: ...

    def alarms(self, until: datetime) -> AsyncIterator[tuple[Received[AlarmRaised], datetime]]: ...

    async def defect(self, outcome: ReworkOutcome, partition: int) -> DefectDetected | None:
        """The defect that a decision is about."""


class Sender(Protocol):
    """The part of `bus.publisher.Publisher` that the sampler needs."""

    async def send(
        self, topic: Topic, record: Event, *, key: bytes | None, partition: int | None = None
    ) -> Awaitable[object]: ...


@dataclass(slots=True)
class Tally:
    """What a run did. `samples` are all picks of the run, those published earlier included."""

    samples: list[SampleSelected] = field(default_factory=list)
    published: int = 0
    known: int = 0  # chosen again, published earlier
    left_out: Counter[str] = field(default_factory=Counter)  # candidates and picks, by why
    audits_missing: int = 0  # drawn, but their picture was gone or known: no look will come of them
    periods: int = 0


class Sampler:
    """One run of the sampler over consecutive periods. `sender` None publishes and keeps nothing: a dry run.

    Samples of periods that begin before `since` are chosen, because later choices depend on them, but not published.
    """

    def __init__(
        self,
        plan: Plan,
        history: History,
        pictures: SamplePictures,
        album: Album,
        sender: Sender | None,
        since: datetime,
    ) -> None:
        self._plan = plan
        self._history = history
        self._pictures = pictures
        self._album = album
        self._sender = sender
        self._since = plan.start_of(since)
        self._first = day_of(since)
        self._next = self._first - DAY
        self._lines: dict[LineKey, Line] = {}
        self._decisions = Decisions()
        self._drifts = Drifts()
        self._outcomes: deque[tuple[datetime, int, Received[ReworkOutcome]]] = deque()
        self._looks: dict[UUID, Look] = {}
        self.steps = 0  # rises with every candidate looked at and every period closed
        self.tally = Tally()

    async def advance(self, until: datetime) -> None:
        """Closes every period that ends at or before `until`, in the order of time."""
        width = timedelta(seconds=self._plan.period_s)
        while self._next + width <= until:
            stop = min(self._next + max(width, STRIDE), self._plan.start_of(until))
            await self._read(stop)
            for start in list(self._plan.periods(self._next, stop)):
                await self._period(start, start + width)
                self._next = start + width

    async def _read(self, until: datetime) -> None:
        states = [(at, received.record) async for received, at in self._history.alarms(until)]
        for at, alarm in sorted(states, key=lambda state: state[0]):
            self._drifts.take(alarm, at)
        async for received, at in self._history.verdicts(until):
            verdict = received.record
            if _belongs(verdict, received.partition):
                self._line((verdict.plant, verdict.line)).verdict(verdict, at, self._drifts.why(verdict, at))
        found = [(at, received.partition, received) async for received, at in self._history.outcomes(until)]
        self._outcomes += sorted(found, key=lambda item: (item[0], item[1], item[2].offset))

    async def _period(self, start: datetime, end: datetime) -> None:
        await self._decided(start, end)
        if start >= self._first:
            self._album.begin(start)
            for key, line in sorted(self._lines.items()):
                if line.has(start):
                    await self._close(key, line, start, end)
        self._looks.clear()
        self._pictures.forget()
        self.steps += 1
        self.tally.periods += start >= self._since
        if end == day_of(end):
            self._forget(end)

    def _forget(self, now: datetime) -> None:
        self._album.forget(now - DAY)
        self._decisions.forget(now - DECISIONS_KEPT)
        self._drifts.forget(now - DAY)
        for line in self._lines.values():
            line.forget(now - DAY)

    async def _decided(self, start: datetime, end: datetime) -> None:
        """Takes in what people decided until the end of a period, and finds the frames that this makes worth having."""
        wishes: list[tuple[Wish, int]] = []
        while self._outcomes and self._outcomes[0][0] < end:
            at, partition, received = self._outcomes.popleft()
            wishes += [(wish, partition) for wish in self._decisions.take(received.record, at)]
        for wish, partition in wishes:
            if wish.at < start or not self._decisions.stands(wish):
                continue
            line = self._line((wish.outcome.plant, wish.outcome.line))
            if wish.strategy is Strategy.CORRECTED and wish.human_label:
                line.sighted(wish.human_label, wish.at)
            if start < self._first:
                continue
            defect = await self._history.defect(wish.outcome, partition)
            if defect is not None and _belongs(defect.verdict, partition):
                self._pictures.has_defect(defect)
                line.wish(wish, defect.verdict)

    async def _close(self, key: LineKey, line: Line, start: datetime, end: datetime) -> None:
        for shortlist in line.close(start, self._album.sampled):
            looks = await self._looked(shortlist)
            known = Known(self._album.pixels, self._album.today(key, start))
            choice = choose(shortlist, looks, known, self._plan.near_bits)
            self.tally.left_out.update({"equal": choice.equal, "near": choice.near})
            line.spend(start, shortlist.strategy, len(choice.picks))
            if shortlist.strategy is Strategy.PASS_AUDIT:
                self.tally.audits_missing += shortlist.most - len(choice.picks)
            for pick in choice.picks:
                await self._take(key, start, end, pick)

    async def _looked(self, shortlist: Shortlist) -> dict[UUID, Look]:
        """Looks at the candidates of a shortlist whose pictures are still to be had."""
        looks: dict[UUID, Look] = {}
        for candidate in shortlist.candidates if shortlist.most else ():
            self.steps += 1
            verdict = candidate.verdict
            if short(verdict.image_sha256) in self._album.sampled:
                self.tally.left_out["equal"] += 1
                continue
            try:
                look = self._looks.get(verdict.verdict_id) or await self._pictures.look(verdict)
            except GoneError as error:
                self.tally.left_out["gone"] += 1
                log.info("a candidate of %s is passed over: %s", candidate.strategy, error)
                continue
            looks[verdict.verdict_id] = self._looks[verdict.verdict_id] = look
            for earlier in self._album.unseen(look.near_hash):
                if pixels := await self._pictures.pixels_of(earlier):
                    self._album.saw(pixels)
        return looks

    async def _take(self, key: LineKey, start: datetime, end: datetime, pick: Pick) -> None:
        """Keeps the picture, then publishes; whoever reads the sample finds its picture pinned."""
        verdict = pick.candidate.verdict
        id_ = sample_id(verdict.verdict_id, pick.candidate.strategy)
        for_good = self._sender is not None and start >= self._since
        try:
            kept = await self._pictures.keep(verdict, f"sample-{id_}" if for_good else None)
        except GoneError as error:
            self.tally.left_out["gone"] += 1
            log.warning("the picture of sample %s went away before it was kept: %s", id_, error)
            return
        self._album.chose(key, start, pick.look, kept.image_sha256)
        if start >= self._since:
            await self._publish(sample(pick, kept, end, self._plan.seed), verdict.source_partition)

    async def _publish(self, made: SampleSelected, partition: int) -> None:
        if self._album.is_published(made.sample_id):
            self.tally.known += 1
        elif why := self._album.refusal(made):
            self.tally.left_out["refused"] += 1
            log.warning("sample %s (%s) is not published: %s", made.sample_id, made.strategy, why)
            return
        else:
            self._album.published(made)
            self.tally.published += 1
            if self._sender is not None:
                key = station_key(made.plant, made.line, made.station)
                sent = await self._sender.send(SAMPLES, made, key=key, partition=partition)
                self.tally.samples.append(made)  # whoever reads it may end this before the confirmation is heard
                await sent
                return
        self.tally.samples.append(made)

    def _line(self, key: LineKey) -> Line:
        if key not in self._lines:
            self._lines[key] = Line(key, self._plan)
        return self._lines[key]


def _belongs(verdict: VerdictIssued, partition: int) -> bool:
    """Whether a sample of this verdict, read in `partition`, could be keyed and placed."""
    try:
        station_key(verdict.plant, verdict.line, verdict.station)
    except ValueError as error:
        log.warning("verdict %s belongs to no station: %s", verdict.verdict_id, error)
        return False
    if verdict.source_partition != partition:
        log.warning("verdict %s of partition %d stands in %d", verdict.verdict_id, verdict.source_partition, partition)
    return verdict.source_partition == partition
