"""`lineside broker`: the embedded Kafka with its topics and its read-only schema registry, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.app import stop_on_signals
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.registry_client import registry_entries
from streams.bus.registry_server import RegistryServer
from streams.commands.broker_keeper import BrokerKeeper
from streams.monitor import monitored
from streams.sd_notify import notify
from streams.settings import Settings
from streams.topics import topic_specs


async def serve(settings: Settings, port: int, registry_port: int, say: Callable[[str], None]) -> None:
    """Run broker and registry; returns after SIGINT or SIGTERM. Where Kafka ends by itself it is started again."""
    broker = BrokerKeeper(EmbeddedBroker(BrokerConfig(settings.data_dir / "broker", port)))
    registry = RegistryServer(registry_entries(settings.topic_prefix), registry_port)
    stop = asyncio.Event()
    async with monitored(settings, "broker"):
        with stop_on_signals(stop):
            try:
                address = await broker.start(say)
                registry.start()
                await ensure_topics(address, topic_specs(settings))
                say(f"schemas at {registry.url}; Ctrl-C stops both")
                notify("READY=1")
                await stop.wait()
            finally:
                registry.stop()
                await broker.stop()
