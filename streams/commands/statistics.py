"""`lineside statistics`: windows of line statistics, published until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.bus.admin import require_topics
from streams.downstream.statistics.service import StatisticsService
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def run_statistics(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> None:
    """Fold verdicts and parts into `line-stats` until SIGTERM or Ctrl-C; `on_ready` is called when events are taken."""
    async with monitored(settings, "statistics") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        service = StatisticsService(settings)
        monitor.watch(service.work)
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await service.run(stop, on_ready)
