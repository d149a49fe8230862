"""`lineside station`: a rework station's page, until told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streams.bus.admin import require_topics
from streams.health import Work
from streams.monitor import monitored
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.topics import topic_specs
from streams.web.shell import serve
from streams.web.station.app import StationOptions, open_station

if TYPE_CHECKING:
    from models.artifact import Artifact

__all__ = ["StationOptions", "run_station"]


async def run_station(settings: Settings, options: StationOptions, on_ready: Callable[[str], None]) -> None:
    """Serve the page; returns after SIGINT or SIGTERM. `on_ready` gets its address once it can be opened.

    CallerError for a model, binding, name or topic that can't be, BrokerUnreachableError where no Kafka answers.
    """
    stop = asyncio.Event()
    async with monitored(settings, "station") as monitor:
        models = await asyncio.to_thread(_load, options.model_dirs)
        await require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s)
        with stop_on_signals(stop):
            async with open_station(settings, options, models) as web:
                monitor.watch(lambda: Work(is_connected=web.state.is_connected()))
                await serve(web, options.binding, stop, on_ready)


def _load(directories: Sequence[Path]) -> list[Artifact]:
    if not directories:
        return []
    from models.artifact import load_artifact  # torch is seconds of start-up that a station without models need not pay

    return [load_artifact(directory) for directory in directories]
