"""Workers that come, go, and stand still."""

from __future__ import annotations

import asyncio
import signal

from streams.chaos.fault import Size, fault
from streams.chaos.stage import Stage

PAST_SESSION_S = 14.0  # a session ends after faust_app.SESSION_S


@fault("scale", "workers from one to three and back to one; no frame waits for long", wait_s=30, workers=1)
async def scale(stage: Stage) -> None:
    await asyncio.gather(stage.add_worker(), stage.add_worker())
    stage.cause_ended()
    await stage.load_on()
    for worker in stage.workers[1:]:
        await stage.remove_worker(worker)
    stage.cause_ended()
    await stage.load_on()


@fault(
    "freeze", "SIGSTOP of one of two workers past its session, then thawed: a zombie", recovery_s=15, size=Size.QUICK
)
async def freeze(stage: Stage) -> None:
    frozen = stage.workers[0]
    await stage.until(lambda: frozen.is_ready, "the worker to be frozen is not at work")
    await stage.load_on()
    before = frozen.restarts
    frozen.send_signal(signal.SIGSTOP)
    stage.cause_ended()
    await stage.load_on(PAST_SESSION_S)
    frozen.send_signal(signal.SIGCONT)
    await stage.load_on()
    await stage.until(lambda: frozen.restarts > before and frozen.is_ready, "the zombie did not end and come back")
