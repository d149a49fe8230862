"""`lineside broker`: the embedded Kafka with its topics and its read-only schema registry, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.app import stop_on_signals
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.registry_client import registry_entries
from streams.bus.registry_server import RegistryServer
from streams.errors import OperatorError
from streams.settings import Settings
from streams.topics import topic_specs

WATCH_S = 0.5


async def serve(settings: Settings, port: int, registry_port: int, say: Callable[[str], None]) -> None:
    """Run broker and registry; returns after SIGINT or SIGTERM, OperatorError where Kafka ends by itself."""
    broker = EmbeddedBroker(BrokerConfig(settings.data_dir / "broker", port))
    registry = RegistryServer(registry_entries(settings.topic_prefix), registry_port)
    stop = asyncio.Event()
    with stop_on_signals(stop):
        try:
            address = await asyncio.to_thread(broker.start, on_progress=say)
            registry.start()
            await ensure_topics(address, topic_specs(settings))
            say(f"schemas at {registry.url}; Ctrl-C stops both")
            while not stop.is_set() and broker.is_running:  # noqa: ASYNC110  # a process has no event
                await asyncio.sleep(WATCH_S)
            if not stop.is_set():
                raise OperatorError(f"Kafka ended by itself; see {broker.log_file}")
        finally:
            registry.stop()
            await asyncio.to_thread(broker.stop)
