"""Kafka goes away and comes back at its address: stopped for a while, or killed."""

from __future__ import annotations

import asyncio

from streams.chaos.fault import Size, fault
from streams.chaos.stage import Stage


@fault("broker-stop-5", "Kafka stopped for 5 s", size=Size.QUICK)
async def broker_stop_5(stage: Stage) -> None:
    await _stopped_for(stage, 5)


@fault("broker-stop-30", "Kafka stopped for 30 s: longer than a group's session")
async def broker_stop_30(stage: Stage) -> None:
    await _stopped_for(stage, 30)


@fault("broker-stop-120", "Kafka stopped for 120 s: longer than a producer waits", size=Size.LONG)
async def broker_stop_120(stage: Stage) -> None:
    await _stopped_for(stage, 120)


@fault("broker-kill", "SIGKILL of Kafka, which starts again")
async def broker_kill(stage: Stage) -> None:
    await asyncio.to_thread(stage.broker.kill)
    await asyncio.to_thread(stage.broker.start)
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()


async def _stopped_for(stage: Stage, seconds: float) -> None:
    await asyncio.to_thread(stage.broker.stop)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(stage.broker.start)
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()
