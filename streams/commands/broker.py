"""`lineside broker`: the embedded Kafka with its topics and its read-only schema registry, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.bus.access import add_rules
from streams.bus.admin import ensure_topics
from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.bus.registry_client import registry_entries
from streams.bus.registry_server import RegistryServer
from streams.bus.security_folder import ADMIN, SecurityFolder
from streams.commands.broker_keeper import BrokerKeeper
from streams.commands.secure import init
from streams.monitor import monitored
from streams.roles import rules
from streams.sd_notify import notify
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def prepare(settings: Settings, address: str, folder: SecurityFolder | None) -> None:
    """Topics on a fresh broker, and on a secured one the rights of the roles."""
    admin = folder.address(address, ADMIN) if folder else address
    await ensure_topics(admin, topic_specs(settings))
    if folder:
        await asyncio.to_thread(add_rules, admin, rules(settings.topic_prefix, pools=settings.pool_names))


async def serve(
    settings: Settings, port: int, registry_port: int, say: Callable[[str], None], secure: bool = False
) -> None:
    """Run broker and registry; returns after SIGINT or SIGTERM. Where Kafka ends by itself it is started again.

    With `secure` its own users alone are let in, each with the rights of its role.
    """
    folder = init(settings, say) if secure else None
    config = BrokerConfig(settings.data_dir / "broker", port, security_dir=folder.path if folder else None)
    broker = BrokerKeeper(EmbeddedBroker(config))
    registry = RegistryServer(registry_entries(settings.topic_prefix), registry_port)
    stop = asyncio.Event()
    async with monitored(settings, "broker"):
        with stop_on_signals(stop):
            try:
                address = await broker.start(say)
                registry.start()
                await prepare(settings, address, folder)
                say(f"schemas at {registry.url}; Ctrl-C stops both")
                notify("READY=1")
                await stop.wait()
            finally:
                registry.stop()
                await broker.stop()
