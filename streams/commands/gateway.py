"""`lineside gateway`: one source, a progress bar, and the counts at the end."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Coroutine
from typing import Any

from streams.capture.counts import Counts
from streams.commands.sources import SourceRequest, make_source
from streams.commands.ui import Ui
from streams.errors import OperatorError
from streams.gateway_app import run_gateway
from streams.health import Work
from streams.monitor import monitored
from streams.sd_notify import notify
from streams.settings import Settings
from streams.stopping import stop_on_signals


async def run_gateway_command(settings: Settings, request: SourceRequest, as_json: bool) -> None:
    """Publish until the source ends or SIGINT or SIGTERM comes; frames in flight are finished first, or spooled.

    OperatorError at the end where frames were refused.
    """
    source, ui, counts = make_source(request), Ui(), Counts()
    async with monitored(settings, "gateway") as monitor:
        with ui.bars() as make:
            bar = make("frames", source.total)

            def progress(now: Counts) -> None:
                nonlocal counts
                counts = now
                bar(now.confirmed, f"{now.waiting} in the spool" if now.waiting else "")

            monitor.watch(lambda: _work(counts))
            notify("READY=1")
            counts = await _until_stopped(run_gateway(settings, source, progress, with_metrics=True)) or counts
    _say(settings, counts, as_json)


def _work(counts: Counts) -> Work:
    """A frame that the spool has taken over is done: while Kafka is away the gateway progresses all the same."""
    done = counts.confirmed - counts.replayed + counts.spooled
    return Work(0, max(0, counts.captured - done - counts.refused), done + counts.replayed)


async def _until_stopped(work: Coroutine[Any, Any, Counts]) -> Counts | None:
    """What the gateway counted; None where a signal ended it."""
    stop = asyncio.Event()
    with stop_on_signals(stop):
        sending = asyncio.create_task(work)
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((sending, stopping), return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if stop.is_set():
            sending.cancel()
            await asyncio.wait((sending,))
    return None if sending.cancelled() else sending.result()


def _say(settings: Settings, counts: Counts, as_json: bool) -> None:
    if as_json:
        print(json.dumps(dataclasses.asdict(counts)))
    else:
        print(f"{counts.confirmed} frames confirmed, {counts.claim_checks} of them as claim checks", file=sys.stderr)
    if counts.waiting:
        where = settings.spool_folder
        print(f"{counts.waiting} frames wait in the spool {where}; the next start sends them first", file=sys.stderr)
    if counts.refused:
        raise OperatorError(
            f"{counts.refused} frames were refused, see above; bring the broker back, or give the spool more room "
            "(LINESIDE_SPOOL_MAX_BYTES)"
        )
