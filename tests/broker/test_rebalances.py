"""Workers that come, go and stop while partitions move: no seek is missed, and nobody keeps the group waiting."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError
from prometheus_client import CollectorRegistry

from streams import faust_app
from streams.app import InspectionWorker
from streams.chaos.reading import results
from streams.errors import OperatorError
from streams.settings import Settings
from tests.broker.running import DEFAULT, prepared, publish, running_worker, until_lag_is_zero
from tests.builders import Deaths, FakeEngine, frame, serving_model


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    return await prepared(bootstrap, topic_prefix, tmp_path)


async def test_one_that_stops_in_a_rebalance_finishes_what_it_has_and_the_group_goes_on(
    settings: Settings,
) -> None:
    """
    first    ━━━━━━━━━━━▶ stop: 2 s of work in hand
    second              ┗━━ joins ━━━━━▶
    """
    engine = FakeEngine(buckets=(1,))
    engine.seconds = 0.1
    first, deaths = mortal(settings, engine)
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(first.run(stop, ready.set))
    await ready.wait()
    await publish(settings, [frame(n, line=f"l{n % 8}") for n in range(200)])
    async with asyncio.timeout(30):
        while first.inspection.in_flight < 10:
            await asyncio.sleep(0.01)
    stop.set()
    async with running_worker(settings):
        began_s = time.monotonic()
        await until_lag_is_zero(settings, 60)
        await running
        took_s = time.monotonic() - began_s
    assert deaths == []
    assert took_s < 20, "it kept the group waiting"
    found = await results(settings)
    assert len(found.ids) == 200
    assert found.contradictions() == []


async def test_what_is_unread_is_told_at_once_also_of_a_partition_without_a_position(settings: Settings) -> None:
    await publish(settings, [frame(n, line=f"l{n % 8}") for n in range(32)])
    async with running_worker(settings) as worker:
        await until_lag_is_zero(settings)
        consumer: Any = worker._faust.consumer
        thread, tps = consumer._thread, consumer.assignment()
        assert worker._faust.unread() == dict.fromkeys(tps, 0)
        some, *others = tps
        state = thread._consumer._subscription.subscription.assignment.state_value(some)
        position, state._position = state._position, None
        assert worker._faust.unread() == dict.fromkeys(others, 0)
        state._position = position


def mortal(settings: Settings, engine: FakeEngine | None = None) -> tuple[InspectionWorker, Deaths]:
    """A worker, and the reasons for which it would have ended its process."""
    deaths = Deaths()
    models = [serving_model(engine or FakeEngine())]
    return InspectionWorker(settings, models, DEFAULT, CollectorRegistry(), die=deaths), deaths


@pytest.mark.parametrize("error", [OperatorError("the verdicts can't be read"), IllegalStateError("not assigned")])
async def test_a_seek_that_fails_in_a_rebalance_ends_the_worker_with_its_reason(
    error: Exception, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust would take the second for yet another rebalance, and never read on where none comes."""
    monkeypatch.setattr(faust_app, "NEXT_SEEK_S", 1.0)
    worker, deaths = mortal(settings)
    ready, starts = asyncio.Event(), worker._faust.starts
    assert starts

    async def starts_once(committed: Any) -> Any:
        if ready.is_set():
            raise error
        return await starts(committed)

    worker._faust.starts = starts_once
    running = asyncio.create_task(worker.run(asyncio.Event(), ready.set))
    async with asyncio.timeout(45):
        await ready.wait()
        await publish(settings, [frame(1)])
        await until_lag_is_zero(settings)
        async with running_worker(settings):  # it takes partitions over
            await running
    assert len(deaths) == 1
    assert error.args[0] in deaths[0]


@pytest.mark.parametrize("again", [True, False])
async def test_a_seek_that_failed_is_made_good_by_the_next_one(
    again: bool, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Faust's fetcher seeks too, while partitions come and go, and only logs what fails."""
    monkeypatch.setattr(faust_app, "NEXT_SEEK_S", 1.0)
    worker, deaths = mortal(settings)
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(worker.run(stop, ready.set))
    async with asyncio.timeout(45):
        await ready.wait()
        await publish(settings, [frame(1)])
        await until_lag_is_zero(settings)
        consumer: Any = worker._faust.consumer
        with monkeypatch.context() as broken:
            broken.setattr(worker._faust, "starts", taken_away)
            with pytest.raises(IllegalStateError):
                await consumer.perform_seek()
        if again:
            await consumer.perform_seek()
        await asyncio.sleep(2)
        stop.set()
        await running
    assert ["not assigned" in death for death in deaths] == ([] if again else [True])


async def taken_away(committed: Any) -> Any:
    raise IllegalStateError("not assigned")
