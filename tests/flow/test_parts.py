"""The part service's shell on fakes: what is sent, in which order, and what may be acknowledged when."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from schemas.records import AlarmKind, PartDecided, PartOutcome, Reason, VerdictIssued
from streams.downstream.parts.assembly import Assembly
from streams.downstream.parts.metrics import PartsMetrics
from streams.downstream.parts.partition import Before
from streams.inspection.decide import Source
from tests.builders import CODEC, Deaths, FakeSender, arrival, settle
from tests.parts import ERROR, OK, at, seen, view

TIMEOUT_MS = 60_000


class FakeHistory:
    """What the topics hold already, by partition."""

    def __init__(self) -> None:
        self.before_of: dict[int, Before] = {}
        self.asked: list[tuple[int, int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def before(self, partition: int, first: int) -> Before:
        self.asked.append((partition, first))
        await self.gate.wait()
        return self.before_of.get(partition, Before())


@dataclass
class Desk:
    """An assembly on fakes whose verdicts are appended 10 ms apart."""

    timeout_ms: int = TIMEOUT_MS
    sender: FakeSender = field(default_factory=FakeSender)
    history: FakeHistory = field(default_factory=FakeHistory)

    def __post_init__(self) -> None:
        self.deaths = Deaths()
        self.registry = CollectorRegistry()
        self.acked: list[tuple[int, int]] = []
        metrics = PartsMetrics(self.registry)
        self.assembly = Assembly(CODEC, lambda _: self.timeout_ms, self.history, self.sender, metrics, self.deaths)

    async def take(
        self, value: VerdictIssued | bytes | None, offset: int, partition: int = 0, generation: int = 1
    ) -> None:
        """Hand one event over, and let everything run that can."""
        encoded = CODEC.encode(value) if isinstance(value, VerdictIssued) else value
        source = Source("verdicts", partition, offset, at(offset * 10))
        ack = lambda: self.acked.append((partition, offset))  # noqa: E731
        await self.assembly.accept(arrival(encoded, source=source, generation=generation, ack=ack))
        await settle()

    @property
    def parts(self) -> list[PartDecided]:
        return self.sender.records("parts")

    def count(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


async def test_verdicts_are_acknowledged_when_their_parts_decision_is_confirmed_and_in_offset_order() -> None:
    """0: A1 │ 1: B1 │ 2: B2 decides B │ 3: A2 decides A; B is confirmed first and nothing is acknowledged yet"""
    desk = Desk(sender=FakeSender(hold=True))
    for offset, (part, number) in enumerate([("A", 1), ("B", 1), ("B", 2), ("A", 2)]):
        await desk.take(view(part, number, 2), offset)

    assert [part.part_id for part in desk.parts] == ["B", "A"]
    desk.sender.confirm(0)
    await settle()
    assert desk.acked == []
    desk.sender.confirm()
    await settle()
    assert [offset for _, offset in desk.acked] == [0, 1, 2, 3]


async def test_a_decision_goes_to_the_partition_of_its_verdicts_with_the_key_of_its_station() -> None:
    desk = Desk()
    await desk.take(view("A", 1, 1), 0, partition=3)

    [(topic, _, key, partition)] = desk.sender.sent
    assert (topic, key, partition) == ("parts", b"p1/l1/s1", 3)


async def test_alarms_are_confirmed_before_their_verdict_is_acknowledged() -> None:
    """trigger 3 after 1"""
    desk = Desk(sender=FakeSender(hold=True))
    await desk.take(view("A", 1, 1, seq=1), 0)
    await desk.take(view("B", 1, 1, seq=3), 1)
    [alarm] = desk.sender.records("alarms")
    index = desk.sender.topics.index("alarms")

    assert alarm.kind is AlarmKind.MISSING_TRIGGER
    assert desk.sender.sent[index][2:] == (b"p1/l1/s1/c1", 0)
    desk.sender.confirm(*[i for i in range(3) if i != index])
    await settle()
    assert desk.acked == [(0, 0)]
    desk.sender.confirm(index)
    await settle()
    assert desk.acked == [(0, 0), (0, 1)]


async def test_an_open_part_is_decided_by_the_clock_where_nothing_more_comes() -> None:
    desk = Desk(timeout_ms=30)
    await desk.take(view("A", 1, 2), 0)
    await desk.assembly.pass_time({0: 0})
    assert desk.parts == []
    await asyncio.sleep(0.04)
    await desk.assembly.pass_time({0: 0})
    await settle()

    assert [part.outcome for part in desk.parts] == [PartOutcome.NOT_INSPECTED]
    assert desk.acked == [(0, 0)]


async def test_no_part_is_given_up_while_verdicts_wait_to_be_read() -> None:
    desk = Desk(timeout_ms=30)
    await desk.take(view("A", 1, 2), 0)
    await asyncio.sleep(0.04)
    await desk.assembly.pass_time({0: 5})
    await desk.assembly.pass_time({})
    await desk.assembly.pass_time({0: 0})

    assert desk.parts == []


async def test_simulated_verdicts_lead_to_nothing() -> None:
    """a replay's verdict with a gap in its triggers"""
    desk = Desk()
    await desk.take(view("A", 1, 1, seq=1), 0)
    fields = {name: getattr(view("B", 1, 1, ERROR, seq=9), name) for name in VerdictIssued.__slots__}
    await desk.take(VerdictIssued(**fields | {"simulated": True, "run": "r1"}), 1)

    assert desk.sender.topics == ["parts"]
    assert desk.acked == [(0, 0), (0, 1)]


async def test_what_is_no_verdict_becomes_a_dead_letter_and_harms_nothing_else() -> None:
    desk = Desk()
    await desk.take(b"garbage", 0)
    await desk.take(None, 1)
    await desk.take(view("A", 1, 1, station="no key"), 2)
    await desk.take(view("B", 1, 1), 3)

    letters = desk.sender.records("deadletters")
    assert [letter.reason for letter in letters] == [Reason.SCHEMA_INVALID, Reason.TOMBSTONE, Reason.SCHEMA_INVALID]
    assert [(letter.source_topic, letter.source_offset) for letter in letters] == [("verdicts", n) for n in range(3)]
    assert [part.part_id for part in desk.parts] == ["B"]
    assert [offset for _, offset in desk.acked] == [0, 1, 2, 3]
    assert desk.count("lineside_parts_refused_total") == 3


async def test_a_decision_that_is_not_confirmed_ends_the_process_and_acknowledges_nothing() -> None:
    desk = Desk()
    desk.sender.failing.add("parts")
    await desk.take(view("A", 1, 1), 0)
    await desk.take(view("B", 1, 2), 1)

    assert len(desk.deaths) == 1
    assert desk.acked == []


async def test_a_topic_that_takes_nothing_ends_the_process() -> None:
    desk = Desk()
    desk.sender.refused.add("parts")
    await desk.take(view("A", 1, 1), 7)

    assert "verdicts/0@7" in desk.deaths[0]
    assert desk.acked == []


async def test_a_late_view_is_counted_and_acknowledged() -> None:
    desk = Desk()
    await desk.take(view("A", 1, 1), 0)
    await desk.take(view("A", 1, 1, twin=1), 1)

    assert len(desk.parts) == 1
    assert desk.acked == [(0, 0), (0, 1)]
    assert desk.count("lineside_parts_late_views_total") == 1
    assert desk.count("lineside_parts_total", outcome="OK") == 1


async def test_a_part_decided_before_a_restart_is_not_decided_again() -> None:
    """A was decided from 0 and 2, B waits since 1: everything comes again"""
    came = [view("A", 1, 2), view("B", 1, 2), view("A", 2, 2)]
    first, again = Desk(), Desk()
    for offset, issued in enumerate(came):
        await first.take(issued, offset)
    again.history.before_of[0] = Before(parts=first.parts)
    for offset, issued in enumerate([*came, view("B", 2, 2)]):
        await again.take(issued, offset)

    assert [part.part_id for part in first.parts] == ["A"]
    assert first.acked == [(0, 0)]  # 2 is done but waits for 1
    assert [part.part_id for part in again.parts] == ["B"]
    assert [offset for _, offset in again.acked] == [0, 1, 2, 3]
    assert again.history.asked == [(0, 0)]


async def test_cameras_go_on_over_a_restart_with_what_was_acknowledged() -> None:
    """acknowledged up to trigger 5 │ restart │ 7"""
    desk = Desk()
    desk.history.before_of[0] = Before(verdicts=[seen(view("A", 1, 1, seq=n), n, n) for n in range(1, 6)])
    await desk.take(view("B", 1, 1, seq=7), 6)

    [alarm] = desk.sender.records("alarms")
    assert [(r.first, r.last) for r in alarm.ranges] == [(6, 6)]


async def test_a_partition_given_back_is_not_acknowledged_any_more_and_read_back_when_it_returns() -> None:
    """generation 1 holds A1 │ given back │ a stray event of it │ generation 2 brings A1 again and A2"""
    desk = Desk()
    await desk.take(view("A", 1, 2), 0)
    await desk.assembly.release()
    await desk.take(view("A", 2, 2), 1)
    assert (desk.parts, desk.acked) == ([], [])
    await desk.assembly.pass_time({0: 0})

    await desk.take(view("A", 1, 2), 0, generation=2)
    await desk.take(view("A", 2, 2), 1, generation=2)
    assert [part.outcome for part in desk.parts] == [PartOutcome.OK]
    assert desk.acked == [(0, 0), (0, 1)]
    assert desk.history.asked == [(0, 0), (0, 0)]


async def test_giving_back_waits_for_what_is_sent() -> None:
    desk = Desk(sender=FakeSender(hold=True))
    await desk.take(view("A", 1, 1), 0)
    releasing = asyncio.create_task(desk.assembly.release())
    await settle()
    assert not releasing.done()
    desk.sender.confirm()
    await releasing

    assert desk.acked == [(0, 0)]


async def test_giving_back_tells_alarms_that_grew_lately_as_they_stand() -> None:
    """two parts not inspected within a second: the second only makes the alarm grow"""
    desk = Desk()
    await desk.take(view("A", 1, 1, ERROR), 0)
    await desk.take(view("B", 1, 1, ERROR, seq=2), 1)
    assert [alarm.value for alarm in desk.sender.records("alarms")] == [1.0]
    await desk.assembly.release()

    assert [alarm.value for alarm in desk.sender.records("alarms")] == [1.0, 2.0]


async def test_a_new_generation_without_notice_stops_all_acknowledgements_of_the_old_one() -> None:
    desk = Desk(sender=FakeSender(hold=True))
    await desk.take(view("A", 1, 1), 0)
    await desk.take(view("A", 1, 1), 0, generation=2)
    desk.sender.confirm(0)
    await settle()
    assert desk.acked == []
    desk.sender.confirm()
    await settle()

    assert desk.acked == [(0, 0)]


async def test_a_bug_in_the_core_ends_the_process(monkeypatch: Any) -> None:
    desk = Desk()
    await desk.take(view("A", 1, 2), 0)
    monkeypatch.setattr("streams.downstream.parts.partition.Partition.take", lambda *_: 1 / 0)
    await desk.take(view("A", 2, 2, OK), 1)

    assert "ZeroDivisionError" in desk.deaths[0]
    assert desk.acked == []
