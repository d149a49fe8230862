"""`lineside locate`: say where the defects of rejected frames lie, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from streams.bus.admin import require_topics
from streams.downstream.locating.location import Locating
from streams.downstream.locating.service import LocatorService
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs


async def run_locate(settings: Settings, model_dir: Path, max_age_s: float, on_ready: Callable[[], None]) -> None:
    """Work until SIGTERM or Ctrl-C; ModelError for a model that can't be used, CallerError where topics are wrong."""
    stop = asyncio.Event()
    async with monitored(settings, "locate") as monitor:
        locator = await asyncio.to_thread(_load, model_dir)
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        service = LocatorService(settings, locator, max_age_s)
        monitor.watch(service.work)
        with stop_on_signals(stop):
            await service.run(stop, on_ready)


def _load(directory: Path) -> Locating:
    from models.locator import load_locator  # torch is seconds of start-up

    return load_locator(directory)
