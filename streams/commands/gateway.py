"""`lineside gateway`: one source, a progress bar, and the counts at the end."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Coroutine
from typing import Any

from streams.app import run_gateway, stop_on_signals
from streams.capture.gateway import Counts
from streams.commands.sources import SourceRequest, make_source
from streams.commands.ui import Ui
from streams.health import Work
from streams.monitor import monitored
from streams.sd_notify import notify
from streams.settings import Settings


async def run_gateway_command(settings: Settings, request: SourceRequest, as_json: bool) -> None:
    """Publish until the source ends or SIGINT or SIGTERM comes; frames in flight are finished first."""
    source, ui, counts = make_source(request), Ui(), Counts()
    async with monitored(settings, "gateway") as monitor:
        with ui.bars() as make:
            bar = make("frames", source.total)

            def progress(now: Counts) -> None:
                nonlocal counts
                counts = now
                bar(now.confirmed)

            monitor.watch(lambda: Work(0, counts.sent - counts.confirmed, counts.confirmed))
            notify("READY=1")
            counts = await _until_stopped(run_gateway(settings, source, progress)) or counts
    if as_json:
        print(json.dumps(dataclasses.asdict(counts)))
    else:
        print(f"{counts.confirmed} frames confirmed, {counts.claim_checks} of them as claim checks", file=sys.stderr)


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
