"""`lineside parts`: decide every part from its views until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.bus.admin import require_topics
from streams.downstream.parts.service import PartsService
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def run_parts(settings: Settings, on_ready: Callable[[], None] = lambda: None) -> None:
    """Work until SIGTERM or Ctrl-C; OperatorError or CallerError where topics are missing or wrong."""
    async with monitored(settings, "parts") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        service = PartsService(settings)
        monitor.watch(service.work)
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await service.run(stop, on_ready)
