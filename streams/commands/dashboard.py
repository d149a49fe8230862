"""`lineside dashboard`: the page of the lines, with the reading interface beside it, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.bus.admin import require_topics
from streams.health import Work
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs
from streams.web.dashboard.app import DashboardOptions, open_dashboard
from streams.web.shell import serve

__all__ = ["DashboardOptions", "run_dashboard"]


async def run_dashboard(settings: Settings, options: DashboardOptions, on_ready: Callable[[str], None]) -> None:
    """Serve the page; returns after SIGINT or SIGTERM. `on_ready` gets its address once it can be opened.

    CallerError for a binding, setting or topic that can't be, BrokerUnreachableError where no Kafka answers.
    """
    stop = asyncio.Event()
    async with monitored(settings, "dashboard") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        with stop_on_signals(stop):
            async with open_dashboard(settings, options) as web:
                monitor.watch(lambda: Work(is_connected=web.state.is_connected()))
                await serve(web, options.binding, stop, on_ready)
