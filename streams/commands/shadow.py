"""`lineside shadow`: judge the line's frames by the shadow models of its recipes too, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from streams.bus.admin import require_topics
from streams.commands.yielding import yield_to_the_line
from streams.downstream.shadow.service import ShadowService
from streams.monitor import monitored
from streams.serving import WorkerOptions, released_models
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def run_shadow(
    settings: Settings, options: WorkerOptions, max_behind_s: float, on_ready: Callable[[], None]
) -> None:
    """Work until SIGTERM or Ctrl-C; CallerError where topics are wrong, or a device is asked for that is not here."""
    yield_to_the_line()
    stop, ready = asyncio.Event(), asyncio.Event()
    async with monitored(settings, "shadow") as monitor:
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        service = ShadowService(settings, released_models(settings, options), max_behind_s)
        monitor.watch(service.work)
        with stop_on_signals(stop):
            running = asyncio.create_task(service.run(stop, ready))
            telling = asyncio.create_task(ready.wait())
            await asyncio.wait((running, telling), return_when=asyncio.FIRST_COMPLETED)
            telling.cancel()
            if ready.is_set():
                on_ready()
            await running
