"""`lineside guard`: take models that are new on a line back where they do badly, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from streams.bus.admin import require_topics
from streams.downstream.guard.service import GuardService
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def run_guard(settings: Settings, since: timedelta, on_ready: Callable[[], None]) -> None:
    """Work until SIGTERM or Ctrl-C; CallerError where topics are wrong."""
    stop = asyncio.Event()
    async with monitored(settings, "guard") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        service = GuardService(settings, since)
        monitor.watch(service.work)
        with stop_on_signals(stop):
            await service.run(stop, on_ready)
