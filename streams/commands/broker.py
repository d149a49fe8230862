"""`lineside broker`: the embedded Kafka with its topics and its read-only schema registry, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.app import stop_on_signals
from streams.bus.access import add_rules
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.registry_client import registry_entries
from streams.bus.registry_server import RegistryServer
from streams.bus.security_folder import ADMIN, SecurityFolder
from streams.commands.secure import init
from streams.errors import OperatorError
from streams.roles import rules
from streams.settings import Settings
from streams.topics import topic_specs

WATCH_S = 0.5


async def prepare(settings: Settings, address: str, folder: SecurityFolder | None) -> None:
    """Topics on a fresh broker, and on a secured one the rights of the roles."""
    admin = folder.address(address, ADMIN) if folder else address
    await ensure_topics(admin, topic_specs(settings))
    if folder:
        await asyncio.to_thread(add_rules, admin, rules(settings.topic_prefix))


async def serve(
    settings: Settings, port: int, registry_port: int, say: Callable[[str], None], secure: bool = False
) -> None:
    """Run broker and registry; returns after SIGINT or SIGTERM, OperatorError where Kafka ends by itself.

    With `secure` its own users alone are let in, each with the rights of its role.
    """
    folder = init(settings, say) if secure else None
    broker = EmbeddedBroker(
        BrokerConfig(settings.data_dir / "broker", port, security_dir=folder.path if folder else None)
    )
    registry = RegistryServer(registry_entries(settings.topic_prefix), registry_port)
    stop = asyncio.Event()
    with stop_on_signals(stop):
        try:
            address = await asyncio.to_thread(broker.start, on_progress=say)
            registry.start()
            await prepare(settings, address, folder)
            say(f"schemas at {registry.url}; Ctrl-C stops both")
            while not stop.is_set() and broker.is_running:  # noqa: ASYNC110  # a process has no event
                await asyncio.sleep(WATCH_S)
            if not stop.is_set():
                raise OperatorError(f"Kafka ended by itself; see {broker.log_file}")
        finally:
            registry.stop()
            await asyncio.to_thread(broker.stop)
