"""Clocks that are wrong: of cameras, of gateways, and of a worker's machine."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import UTC, datetime, timedelta

from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.fault import Size, fault
from streams.chaos.load import SIDE, pictures
from streams.chaos.stage import Stage
from streams.chaos.stations import stations
from streams.topics import FRAMES

LONGEST_MS = 2**31 - 1
JUMP_AFTER_S = 3.0


@fault("frame-clocks", "captured_at hours ahead and behind, gateway_ms negative and huge", size=Size.QUICK)
async def frame_clocks(stage: Stage) -> None:
    settings, images = stage.settings, itertools.cycle(pictures())
    refused = 0
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for station in stations(settings.partitions, shared=0, prefix="t") * 3:
            for hours, gateway_ms, deadline_ms in (
                (5, 1, 1_000),
                (-5, 1, 1_000),
                (-24 * 365, 1, None),
                (0, -1, 1_000),
                (0, LONGEST_MS, None),
                (0, LONGEST_MS, 1_000),
            ):
                at = datetime.now(UTC) + timedelta(hours=hours)
                frame = station.frame(next(images), SIDE, at, deadline_ms)
                await publisher.send(FRAMES, dataclasses.replace(frame, gateway_ms=gateway_ms), key=station.key)
                refused += gateway_ms < 0
    stage.cause_ended()
    await stage.until_letters(refused)


@fault("worker-clock", "the wall clocks of two workers jump an hour ahead and an hour back", wait_s=30, workers=1)
async def worker_clock(stage: Stage) -> None:
    for hours in (1, -1):
        arguments = [
            str(hours * 3600),
            str(JUMP_AFTER_S),
            "worker",
            "--model",
            str(stage.model_dir),
            "--default-recipe",
        ]
        await stage.programs.child(f"clock-{hours}", arguments, module="streams.chaos.jumping_clock")
    await stage.load_on(JUMP_AFTER_S)
    stage.cause_ended()
    await stage.load_on()
