"""What programs say of their work on the real broker: it waits while the engine hangs, and nothing waits in the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from streams.health import Health, Limits, Work
from tests.broker.running import prepared, publish, running_worker
from tests.broker.test_parts import running as running_parts
from tests.broker.test_statistics import serving
from tests.builders import FakeEngine, frame

FRAMES = 12


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.1)


async def test_work_shows_while_it_waits_and_when_it_is_done(bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    engine = FakeEngine()
    engine.gate.clear()
    async with running_worker(settings, engine) as worker:
        health = Health("worker", "1", time.monotonic(), Limits(progress_within_s=0.5))
        await publish(settings, [frame(number, part_id=f"P{number}") for number in range(FRAMES)])
        await until(lambda: worker.work().lag + worker.work().in_flight > 0)
        health.look(time.monotonic(), worker.work())
        await asyncio.sleep(0.7)
        health.look(time.monotonic(), worker.work())
        assert not health.progressing(time.monotonic()).is_good
        assert health.alive(time.monotonic()).is_good
        engine.gate.set()
        await until(lambda: worker.work() == Work(0, 0, FRAMES))
        health.look(time.monotonic(), worker.work())
        assert health.progressing(time.monotonic()).is_good
    async with running_parts(settings) as parts, serving(settings) as statistics:
        await until(lambda: parts.work() == Work(0, 0, FRAMES))
        await until(lambda: statistics.work().completed >= 2 * FRAMES and statistics.work().lag == 0)
