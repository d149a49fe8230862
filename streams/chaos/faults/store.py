"""The disk of the frame store is full, for a while."""

from __future__ import annotations

import asyncio
import contextlib

import psutil

from streams.chaos.fault import fault
from streams.chaos.stage import Stage

TINY_FILE_BYTES = 64  # less than any picture
LOOK_S = 0.02


@fault("store-full", "pictures of defects can't be stored for a while: nothing is lost, all goes on afterwards")
async def store_full(stage: Stage) -> None:
    before = sum(worker.restarts for worker in stage.workers)
    filling = asyncio.create_task(_keep_full(stage))
    await stage.until(lambda: sum(w.restarts for w in stage.workers) > before, "no worker met the full disk")
    await stage.load_on()
    filling.cancel()
    _limit(stage, psutil.RLIM_INFINITY)
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()


async def _keep_full(stage: Stage) -> None:
    """Workers that are started again meanwhile meet the same disk."""
    while True:
        _limit(stage, TINY_FILE_BYTES)
        await asyncio.sleep(LOOK_S)


def _limit(stage: Stage, file_bytes: int) -> None:
    """The largest file that a worker may write: above it, writing fails (EFBIG) as on a disk without room."""
    for worker in stage.workers:
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(worker.pid)
            process.rlimit(psutil.RLIMIT_FSIZE, (file_bytes, process.rlimit(psutil.RLIMIT_FSIZE)[1]))
