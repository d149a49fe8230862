"""A supervised Kafka that is killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from streams.bus.admin import wait_for_broker
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.commands.broker_keeper import BrokerKeeper
from tests.faults.test_supervision import until


async def test_kafka_that_dies_comes_back_at_the_same_address_with_its_data(tmp_path: Path) -> None:
    broker = EmbeddedBroker(BrokerConfig(tmp_path / "broker"))
    keeper = BrokerKeeper(broker)
    try:
        address = await keeper.start()
        cluster, first = await wait_for_broker(address), broker.pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: broker.is_running and broker.pid != first)
        assert await wait_for_broker(address, 30.0) == cluster
        assert (broker.bootstrap_servers, keeper.restarts) == (address, 1)
    finally:
        await keeper.stop()
    assert not broker.is_running
