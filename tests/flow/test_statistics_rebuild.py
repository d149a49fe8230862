"""Any split of the logs into live reading, losses and rebuilding gives the counts of one undisturbed fold.

The machine below does what the service does, on a log in memory: it acknowledges at once, publishes at some moments and
when it must, dies at any moment with any acknowledged offset committed, and begins again from the topics.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import LineWindow, PartOutcome
from streams.downstream.statistics.book import PartitionBook
from streams.downstream.statistics.quality import Findings
from streams.downstream.statistics.rebuild import Rebuilder
from streams.topics import LINE_STATS, PARTS, VERDICTS
from tests.line_stats import RULE, START, MemoryLog, at, folded, halves, highest, number, part, verdict

NO_COMMIT = -1


@dataclass
class Machine:
    """One partition's worker and what survives it: the log and the commits."""

    log: MemoryLog = field(default_factory=MemoryLog)
    verdicts: list[tuple[Any, datetime]] = field(default_factory=list)
    parts: list[tuple[Any, datetime]] = field(default_factory=list)
    taken: dict[str, int] = field(default_factory=lambda: {VERDICTS.name: 0, PARTS.name: 0})
    committed: dict[str, int] = field(default_factory=dict)
    now: datetime = START

    def __post_init__(self) -> None:
        for record, appended_at in self.verdicts:
            self.log.append(VERDICTS, record, appended_at)
        for record, appended_at in self.parts:
            self.log.append(PARTS, record, appended_at)
        self.rebuilder = Rebuilder(self.log, RULE, Findings())
        self.book: PartitionBook

    async def begin(self) -> None:
        self.taken = {name: self.committed.get(name, 0) for name in self.taken}
        self.book = await self.rebuilder.book(0, self.committed)

    async def take(self, name: str) -> None:
        """The next record of a topic, acknowledged at once."""
        log, offset = self.log.records[name], self.taken[name]
        if offset == len(log):
            return
        (record, appended_at), fold = log[offset], self.book.frames if name == VERDICTS.name else self.book.parts
        self.now = max(self.now, appended_at)
        if fold.outruns_changes(fold.time_of(record, appended_at)):  # type: ignore[arg-type]
            await self.publish()
        fold.take(record, offset, appended_at)  # type: ignore[arg-type]
        self.taken[name] = offset + 1

    async def publish(self, sent_share: float = 1.0, caught_up: bool = False) -> None:
        """Publish what is due; a share below 1 is a loss amid the sending."""
        if (needed := self.book.reads_back_from()) is not None:
            await self.rebuilder.learn(self.book, needed)
        due = self.book.due(self.now, (caught_up, caught_up))
        sent = due[: round(len(due) * sent_share)]
        for window in sent:
            self.log.append(LINE_STATS, window, self.now)
        if sent == due:
            self.book.published(due, (caught_up, caught_up))

    async def die(self, sent_share: float, committed_share: float) -> None:
        await self.publish(sent_share)
        for name, taken in self.taken.items():
            before = self.committed.get(name, NO_COMMIT)
            now = round(before + (taken - before) * committed_share)
            if now != NO_COMMIT:
                self.committed[name] = now
        await self.begin()

    async def finish(self) -> dict[Any, LineWindow]:
        for name in self.taken:
            while self.taken[name] < len(self.log.records[name]):
                await self.take(name)
        self.now += timedelta(days=1)
        await self.publish(caught_up=True)
        return highest([window for window, _ in self.log.records[LINE_STATS.name]])  # type: ignore[misc]


@st.composite
def verdict_logs(draw: st.DrawFn) -> list[tuple[Any, datetime]]:
    """Frames of two stations and two cameras: gaps, repeats, late, held back, out of order, silent, copied."""
    log: list[tuple[Any, datetime]] = []
    second, appended = 0.0, at(0)
    triggers = {"a": 0, "b": 0}
    for serial in range(draw(st.integers(0, 40))):
        second += draw(st.sampled_from((0.1, 0.5, 2, 5, 9, 70)))
        camera = draw(st.sampled_from("ab"))
        triggers[camera] += draw(st.sampled_from((1, 1, 1, 1, 3, 0, -1)))
        source = second - draw(st.sampled_from((0, 0, 0, 0, 3, 25, 60)))
        appended = max(appended, at(source + draw(st.sampled_from((0.1, 0.1, 2, 40)))))
        record = verdict(
            triggers[camera],
            source,
            verdict_id=verdict(serial, 0).verdict_id,
            camera=camera,
            station=draw(st.sampled_from(("s1", "s2"))),
            gateway_ms=draw(st.sampled_from((50, 50, 50, 4_000, 45_000))),
            attempt=draw(st.sampled_from((1, 1, 1, 1, 2))),
        )
        log.append((record, appended))
        if draw(st.integers(0, 5)) == 0:
            log.append((log[draw(st.integers(max(0, len(log) - 4), len(log) - 1))][0], appended))
    return log


@st.composite
def part_logs(draw: st.DrawFn) -> list[tuple[Any, datetime]]:
    log: list[tuple[Any, datetime]] = []
    second, appended = 0.0, at(0)
    for serial in range(draw(st.integers(0, 25))):
        second += draw(st.sampled_from((0.2, 1, 4, 12, 80)))
        appended = max(appended, at(second + draw(st.sampled_from((0.1, 3, 50)))))
        record = part(
            serial if draw(st.integers(0, 6)) else max(0, serial - 1),
            second,
            station=draw(st.sampled_from(("s1", "s2"))),
            first_at=at(second - draw(st.sampled_from((0, 1, 1, 30)))),
            outcome=draw(st.sampled_from(PartOutcome)),
            pass_no=draw(st.sampled_from((1, 1, 2))),
        )
        log.append((record, appended))
    return log


SHARE = st.floats(0, 1)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("take"), st.sampled_from((VERDICTS.name, PARTS.name)), st.integers(1, 8)),
        st.tuples(st.just("publish"), st.booleans(), st.none()),
        st.tuples(st.just("die"), SHARE, SHARE),
    ),
    max_size=25,
)


@settings(max_examples=100)
@given(verdict_logs(), part_logs(), STEPS)
def test_no_loss_at_any_moment_changes_any_count(
    verdicts: list[tuple[Any, datetime]], parts: list[tuple[Any, datetime]], steps: list[tuple[str, Any, Any]]
) -> None:
    async def run() -> dict[Any, LineWindow]:
        machine = Machine(verdicts=verdicts, parts=parts)
        await machine.begin()
        for step, first, second in steps:
            if step == "take":
                for _ in range(second):
                    await machine.take(first)
            elif step == "publish":
                await machine.publish(caught_up=first)
            else:
                await machine.die(first, second)
        return await machine.finish()

    found = asyncio.run(run())
    assert {key: halves(window) for key, window in found.items()} == folded(verdicts, parts)
    assert all(window.final for window in found.values())


def steady(frames: int, every_s: float = 1.0) -> list[tuple[Any, datetime]]:
    return [(verdict(n, n * every_s), at(n * every_s + 0.1)) for n in range(frames)]


async def test_windows_that_were_settled_just_before_a_loss_are_published_after_it() -> None:
    """All is taken in and committed up to a jump of the log; nothing of it was published."""
    machine = Machine(verdicts=[*steady(10), (verdict(10, 5_000), at(5_000))])
    await machine.begin()
    for _ in range(11):
        await machine.take(VERDICTS.name)
    await machine.die(0.0, 1.0)
    found = await machine.finish()
    assert sorted(window.frames for window in found.values()) == [1, 1, 9]


async def test_the_oldest_window_that_can_be_unpublished_is_read_again() -> None:
    """A frame out of order comes just before its window settles; the log then goes on by almost a window's width."""
    seconds = (*range(-300, -100), 1, 29.8, 9, 39.7)
    log = [(verdict(n, second), at(second if second < 0 else 40)) for n, second in enumerate(seconds)]
    machine = Machine(verdicts=log)
    await machine.begin()
    for _ in seconds[:-2]:
        await machine.take(VERDICTS.name)
    await machine.publish()
    for _ in seconds[-2:]:
        await machine.take(VERDICTS.name)
    await machine.die(0.0, 1.0)
    found = await machine.finish()
    assert {key: halves(window) for key, window in found.items()} == folded(machine.verdicts, [])
    assert found[("p1", "l1", "s1"), number(9)].frames == 2


async def test_a_rebuild_reads_minutes_not_history() -> None:
    machine = Machine(verdicts=steady(5_000))
    await machine.begin()
    for _ in range(5_000):
        await machine.take(VERDICTS.name)
    machine.log.reads.clear()
    await machine.die(1.0, 1.0)
    read = sum(high - low for name, low, high in machine.log.reads if name == VERDICTS.name)
    assert 100 < read < 250, "40 s that may be open or unpublished, 90 s of memory, and what finding them took"


async def test_parts_that_lag_by_hours_find_the_frames_of_their_windows_on_the_topic() -> None:
    machine = Machine(
        verdicts=steady(3_000, every_s=5), parts=[(part(n, n * 5), at(20_000)) for n in range(0, 3_000, 40)]
    )
    await machine.begin()
    for _ in range(3_000):
        await machine.take(VERDICTS.name)
    await machine.publish(caught_up=True)
    await machine.die(1.0, 1.0)
    found = await machine.finish()
    assert {key: halves(window) for key, window in found.items()} == folded(machine.verdicts, machine.parts)


async def test_records_that_cannot_be_read_hide_nothing() -> None:
    machine = Machine(verdicts=steady(30))
    for second in range(30, 130):
        machine.log.append(VERDICTS, None, at(second))
    machine.committed = {VERDICTS.name: 130}
    await machine.begin()
    found = await machine.finish()
    assert sum(window.frames for window in found.values()) == 30


async def test_a_window_whose_first_records_retention_took_keeps_its_published_counts() -> None:
    machine = Machine(verdicts=steady(100))
    await machine.begin()
    for _ in range(100):
        await machine.take(VERDICTS.name)
    await machine.publish()
    machine.log.begins[VERDICTS.name] = 95
    machine.committed = {VERDICTS.name: 95}
    await machine.begin()
    found = await machine.finish()
    assert {key[1]: window.frames for key, window in found.items()}[number(95)] == 9
