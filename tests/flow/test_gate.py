"""A gateway's gate without Kafka: when it closes, answers, and opens again."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from schemas.records import GateKind, GateSignal
from streams.capture import gate as gate_module
from streams.capture.gate import LeasedGate
from streams.errors import OperatorError
from tests.builders import until

ONE, TWO = UUID(int=1), UUID(int=2)
T0 = datetime(2026, 3, 1, tzinfo=UTC)


class Sending:
    """A producer with `pending` frames; the broker's clock stands at T0 plus `broker_s`."""

    def __init__(self) -> None:
        self.pending = 0
        self.answers: list[tuple[GateKind, UUID, int | None]] = []
        self.asked: list[int] = []
        self.count = 4
        self.broker_s = 0.0
        self.failing = False

    async def partitions(self, at_least: int) -> int:
        self.asked.append(at_least)
        while self.count < at_least:
            await asyncio.sleep(0.01)
        return self.count

    async def answer(self, signal: GateSignal) -> int:
        if self.failing:
            raise OperatorError("the broker is gone")
        self.answers.append((signal.kind, signal.pause_id, signal.partitions))
        return round((T0 + timedelta(seconds=self.broker_s)).timestamp() * 1000)


class Bench:
    def __init__(self) -> None:
        self.sending = Sending()
        self.gate = LeasedGate("gateway/a", self.sending)
        self.passed = 0

    def signal(self, kind: GateKind, pause_id: UUID = ONE, lease_s: float = 60.0, **fields: int) -> None:
        made = GateSignal(pause_id=pause_id, kind=kind, sender="grow", lease_ms=round(lease_s * 1000), at=T0, **fields)
        self.gate.take(made, T0)

    async def pass_once(self) -> None:
        async with self.gate.passing():
            self.passed += 1

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self.gate.run())
        await asyncio.sleep(0)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task])


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_without_a_pause_nothing_waits_and_nothing_is_answered(bench: Bench) -> None:
    async with bench.running():
        await bench.pass_once()
    assert (bench.passed, bench.sending.answers, bench.sending.asked) == (1, [], [])


async def test_it_closes_at_once_answers_when_all_is_confirmed_and_opens_when_the_partitions_are_seen(
    bench: Bench,
) -> None:
    async with bench.running():
        bench.sending.pending = 3
        bench.signal(GateKind.PAUSE)
        waiting = asyncio.create_task(bench.pass_once())
        await asyncio.sleep(0.1)
        assert (bench.passed, bench.sending.answers) == (0, []), "three frames are not confirmed"
        bench.sending.pending = 0
        await until(lambda: bench.sending.answers)
        assert bench.sending.answers == [(GateKind.PAUSED, ONE, None)]
        bench.signal(GateKind.GO_ON, partitions=6)
        await asyncio.sleep(0.1)
        assert bench.passed == 0, "keys would be placed by the old number"
        bench.sending.count = 6
        await waiting
        await until(lambda: len(bench.sending.answers) == 2)
    assert bench.sending.answers[1] == (GateKind.WENT_ON, ONE, 6)


async def test_who_is_inside_is_waited_for(bench: Bench) -> None:
    async with bench.running():
        async with bench.gate.passing():
            bench.signal(GateKind.PAUSE)
            await asyncio.sleep(0.1)
            assert bench.sending.answers == []
        await until(lambda: bench.sending.answers)


@pytest.mark.alone
async def test_a_pause_that_nobody_ends_is_over_with_its_lease(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    async with bench.running():
        began_s = time.monotonic()
        bench.signal(GateKind.PAUSE, lease_s=0.4)
        await asyncio.sleep(0.2)
        bench.signal(GateKind.PAUSE, lease_s=0.4)
        await bench.pass_once()
        assert 0.55 < time.monotonic() - began_s < 2.0, "it was prolonged once"
        await until(lambda: len(bench.sending.answers) == 2)
    assert bench.sending.asked == [1], "it looks, for the growth may have happened"
    assert "neither prolonged nor ended" in caplog.text


async def test_a_pause_of_long_ago_does_not_hold_up_who_starts_now(bench: Bench) -> None:
    """By the broker's clock alone: the answer's append time against the pause's."""
    bench.sending.broker_s = 3600
    bench.signal(GateKind.PAUSE, lease_s=30)
    assert bench.gate.closed
    async with bench.running():
        await asyncio.wait_for(bench.pass_once(), 1)


@pytest.mark.alone
async def test_who_starts_during_a_pause_begins_paused_for_what_is_left_of_it(bench: Bench) -> None:
    bench.sending.broker_s = 29.5
    bench.signal(GateKind.PAUSE, lease_s=30)
    async with bench.running():
        began_s = time.monotonic()
        await bench.pass_once()
    assert 0.4 < time.monotonic() - began_s < 2.0


async def test_pauses_that_ended_before_it_began_are_not_answered(bench: Bench) -> None:
    for pause in (ONE, TWO):
        bench.signal(GateKind.PAUSE, pause)
        bench.signal(GateKind.GO_ON, pause, partitions=4)
    async with bench.running():
        await asyncio.wait_for(bench.pass_once(), 1)
        await asyncio.sleep(0.1)
    assert [kind for kind, *_ in bench.sending.answers] == []


async def test_the_newest_pause_counts(bench: Bench) -> None:
    async with bench.running():
        bench.signal(GateKind.PAUSE, ONE)
        await until(lambda: bench.sending.answers)
        bench.signal(GateKind.PAUSE, TWO)
        bench.signal(GateKind.GO_ON, ONE, partitions=4)
        await until(lambda: len(bench.sending.answers) == 2)
        assert bench.sending.answers[1][:2] == (GateKind.PAUSED, TWO)
        assert bench.gate.closed
        bench.signal(GateKind.GO_ON, TWO, partitions=4)
        await asyncio.wait_for(bench.pass_once(), 1)


async def test_who_can_not_answer_lets_nobody_pass(bench: Bench) -> None:
    async with bench.running() as task:
        bench.sending.failing = True
        bench.signal(GateKind.PAUSE)
        with pytest.raises(OperatorError, match="the broker is gone"):
            await bench.pass_once()
        with pytest.raises(OperatorError):
            await task


async def test_a_process_that_was_stopped_looks_at_partitions_before_it_sends(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "ASLEEP_S", 0.1)
    monkeypatch.setattr(gate_module, "TICK_S", 10.0)
    async with bench.running():
        await bench.pass_once()
        assert bench.sending.asked == []
        time.sleep(0.2)
        await bench.pass_once()
    assert bench.sending.asked == [1]
