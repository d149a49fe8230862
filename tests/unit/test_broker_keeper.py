"""Kafka under supervision, with a broker of pretence: what comes back, where, and what a stop does meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.commands import broker_keeper
from streams.commands.broker_keeper import BrokerKeeper
from streams.errors import OperatorError


class Pretence:
    """The part of EmbeddedBroker that the keeper uses."""

    def __init__(self) -> None:
        self.config = BrokerConfig(Path("/nowhere"))
        self.log_file = Path("/nowhere/broker.log")
        self.is_running = False
        self.starts: list[int] = []  # the ports asked for
        self.failures_left = 0
        self.may_start = threading.Event()
        self.may_start.set()
        self.stops = 0
        self.hangs = False
        self.kills = 0

    async def answers(self, timeout_s: float) -> bool:
        return not self.hangs

    def start(self, on_progress: Any = None) -> str:
        self.starts.append(self.config.port)
        self.may_start.wait(10)
        if self.failures_left:
            self.failures_left -= 1
            raise OperatorError("no room is left for Kafka")
        self.is_running = True
        return "127.0.0.1:4711"

    def kill(self) -> None:
        self.kills += 1
        self.is_running = self.hangs = False
        if not self.may_start.is_set():
            self.failures_left = 1
            self.may_start.set()

    def stop(self) -> None:
        self.stops += 1
        self.is_running = False


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Pretence:
    for pause in ("WATCH_S", "ASK_S", "FIRST_PAUSE_S", "LONGEST_PAUSE_S"):
        monkeypatch.setattr(broker_keeper, pause, 0.01)
    monkeypatch.setattr(broker_keeper, "SILENCE_S", 0.1)
    return Pretence()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_it_comes_back_at_the_first_port_even_where_a_start_fails(broker: Pretence) -> None:
    keeper = BrokerKeeper(cast(EmbeddedBroker, broker))
    assert await keeper.start() == "127.0.0.1:4711"
    broker.failures_left = 2
    broker.is_running = False
    await until(lambda: broker.is_running)
    assert broker.starts == [0, 4711, 4711, 4711]
    assert keeper.restarts == 3
    await keeper.stop()
    assert (broker.stops, broker.is_running) == (1, False)


async def test_a_stop_while_it_is_being_started_again_does_not_wait_for_the_start(broker: Pretence) -> None:
    keeper = BrokerKeeper(cast(EmbeddedBroker, broker))
    await keeper.start()
    broker.may_start.clear()
    broker.is_running = False
    await until(lambda: len(broker.starts) == 2)
    async with asyncio.timeout(5):
        await keeper.stop()
    await asyncio.sleep(0.1)
    assert not broker.is_running, "and it stays down"


async def test_a_first_start_that_fails_is_the_callers_to_hear(broker: Pretence) -> None:
    broker.failures_left = 1
    with pytest.raises(OperatorError, match="no room"):
        await BrokerKeeper(cast(EmbeddedBroker, broker)).start()


async def test_one_that_runs_and_answers_nobody_is_ended_and_comes_back(
    broker: Pretence, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = BrokerKeeper(cast(EmbeddedBroker, broker))
    await keeper.start()
    await asyncio.sleep(0.3)
    assert (broker.kills, keeper.restarts) == (0, 0), "one that answers stays"
    broker.hangs = True
    await until(lambda: len(broker.starts) == 2)
    assert (broker.kills, keeper.restarts) == (1, 1)
    assert "had not answered for 0.1 s and was ended" in caplog.text
    await keeper.stop()
