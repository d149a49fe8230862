"""A reader that is not in a hurry lets the broker gather: the options must reach the consumer that fetches."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, patch

import pytest
from aiokafka import AIOKafkaConsumer

from streams.bus import subscriber
from streams.bus.connect import GATHER_MAX_BYTES
from streams.bus.subscriber import Subscription
from streams.faust_app import ReadCommittedThread, faust_app
from streams.settings import Settings
from streams.topics import DEFECTS

SETTINGS = Settings(bootstrap_servers="127.0.0.1:9")
UNGATHERED = (1, 500), (1, 1500)  # the defaults of aiokafka and of Faust
GATHERED = (GATHER_MAX_BYTES, 120)


def fetching(consumer: AIOKafkaConsumer) -> tuple[int, int]:
    return consumer._fetch_min_bytes, consumer._fetch_max_wait_ms


@pytest.mark.parametrize(("gather_ms", "expected"), [(0, UNGATHERED[0]), (120, GATHERED)])
async def test_a_subscription_gathers_as_it_was_told(gather_ms: int, expected: tuple[int, int]) -> None:
    made: list[AIOKafkaConsumer] = []

    def consumer(**options: Any) -> AIOKafkaConsumer:
        made.append(AIOKafkaConsumer(**options))
        return made[-1]

    subscription = Subscription[Any](DEFECTS, "latest", settings=SETTINGS, gather_ms=gather_ms)
    with (
        patch.object(subscriber, "AIOKafkaConsumer", consumer),
        patch.object(subscriber, "partitions_of", AsyncMock(return_value=(0,))),
        patch.object(Subscription, "_begin", AsyncMock()),
    ):
        async with subscription._consuming():
            assert [fetching(one) for one in made] == [expected]


@pytest.mark.parametrize(("gather_ms", "expected"), [(0, UNGATHERED[1]), (120, GATHERED)])
async def test_an_agents_app_gathers_as_it_was_told(gather_ms: int, expected: tuple[int, int]) -> None:
    app = faust_app(SETTINGS, "tested", gather_ms)
    heard = AsyncMock()
    thread = app.transport.create_consumer(heard, on_partitions_revoked=heard, on_partitions_assigned=heard)._thread
    assert isinstance(thread, ReadCommittedThread)
    consumer = thread._create_worker_consumer(app.transport)
    assert fetching(consumer) == expected
    assert consumer._isolation_level == "read_committed"
    await consumer.stop()
    thread.thread_loop.close()
