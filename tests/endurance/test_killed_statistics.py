"""Counts of line statistics while their worker is killed again and again under load.

verdicts, parts  ══════▶ 3,000 and 900, seven stations, some late, lost or copied
statistics       ━━━━━✗        ━━━━━━━✗        ━━━━━━✗        ━━━━━━━━━━▶
at the end       the highest revisions against one fold over the whole logs, count for count
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from dataclasses import replace
from pathlib import Path

from streams.bus.history import History
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.settings import Settings, to_environment
from streams.topics import LINE_STATS, PARTS, VERDICTS
from tests.broker.line_stats_log import Shift, everything, send_by, until_published
from tests.broker.running import prepared

ROUNDS, ROUND_S = 300, 0.2
KILLS = 3
SERVICE = """
import asyncio
from streams.commands.statistics import run_statistics
from streams.settings import load_settings
asyncio.run(run_statistics(load_settings(), lambda: print("ready", flush=True)))
"""


class StatisticsProcess:
    """`run_statistics` in a process of its own; its log is `statistics.log` in the data directory."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self.log = settings.data_dir / "statistics.log"

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", SERVICE),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env={**os.environ, **to_environment(self._settings)},
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(60):
            assert await self._process.stdout.readline() == b"ready\n", self.log.read_text()[-2000:]

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.kill()
            assert await self._process.wait() == -signal.SIGKILL

    async def stop(self) -> int:
        """SIGTERM; its exit status."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(60):
            return await self._process.wait()


async def work(settings: Settings) -> None:
    """Sends verdicts and parts as they come in a shift of a minute."""
    shift = Shift(7)
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for _ in range(ROUNDS):
            await send_by(publisher, VERDICTS, shift.verdicts(10))
            await send_by(publisher, PARTS, shift.parts(3))
            await asyncio.sleep(ROUND_S)


async def test_every_count_is_right_after_the_worker_was_killed_three_times(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = replace(await prepared(bootstrap, topic_prefix, tmp_path), window_s=2, lateness_s=3)
    process, chance = StatisticsProcess(settings), random.Random(3)
    await process.start()
    working = asyncio.create_task(work(settings))
    try:
        async with History(bootstrap, topic_prefix, codec_for(settings)) as history:
            for _ in range(KILLS):
                await asyncio.sleep(3 + 3 * chance.random())
                await process.kill()
                await process.start()
            await working
            await process.kill()
            await process.start()
            windows = await until_published(settings, history, timeout_s=60)
            assert await process.stop() == 0, process.log.read_text()[-2000:]
            revisions = sum(len(log) for log in await everything(settings, history, LINE_STATS))
    finally:
        working.cancel()
        await process.kill()
    assert sum(window.frames for window in windows.values()) == 10 * ROUNDS
    assert sum(sum(w.parts.values()) for w in windows.values()) == 3 * ROUNDS
    assert sum(window.late_frames for window in windows.values()) > ROUNDS // 6
    assert sum(window.late_parts for window in windows.values()) > ROUNDS // 30
    assert revisions > 2 * len(windows), "windows must have been published before they were complete"
