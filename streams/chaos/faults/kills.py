"""SIGKILL, as the kernel's out-of-memory killer or a power cut: of workers and of what works downstream."""

from __future__ import annotations

import signal

from streams.chaos.fault import Size, fault
from streams.chaos.stage import Stage
from streams.commands.children import Child

KILLS = 2


@fault("kill-worker", "SIGKILL of one of two workers; its partitions go on within 15 s", recovery_s=15, size=Size.QUICK)
async def kill_worker(stage: Stage) -> None:
    stage.workers[0].send_signal(signal.SIGKILL)
    stage.cause_ended()
    await stage.load_on()


@fault("kill-only-worker", "SIGKILL of the one worker there is, again and again", workers=1)
async def kill_only_worker(stage: Stage) -> None:
    for _ in range(KILLS):
        stage.workers[0].send_signal(signal.SIGKILL)
        stage.cause_ended()
        await stage.recovered()
        await stage.load_on()


@fault("kill-parts", "SIGKILL of the part service; every part has one decision", downstream=("parts",))
async def kill_parts(stage: Stage) -> None:
    await _killed_again_and_again(stage, stage.downstream["parts"])


@fault("kill-statistics", "SIGKILL of line statistics; every count is right", downstream=("statistics",))
async def kill_statistics(stage: Stage) -> None:
    await _killed_again_and_again(stage, stage.downstream["statistics"])


@fault("kill-archive", "SIGKILL of the archive; it holds what the topics hold", downstream=("archive",))
async def kill_archive(stage: Stage) -> None:
    await _killed_again_and_again(stage, stage.downstream["archive"])


async def _killed_again_and_again(stage: Stage, program: Child) -> None:
    for _ in range(KILLS):
        gone = program.pid
        program.send_signal(signal.SIGKILL)
        await stage.until(lambda gone=gone: program.pid != gone and program.is_ready, f"{program} did not come back")  # type: ignore[misc]
        await stage.load_on()
