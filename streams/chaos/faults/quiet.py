"""A partition that is flooded beside one where little comes, with deadlines."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime

from schemas.records import Reason
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.fault import Size, fault
from streams.chaos.load import SIDE, pictures
from streams.chaos.stage import Stage
from streams.chaos.stations import StationOnLoad, stations
from streams.topics import FRAMES

DEADLINE_MS = 2_000
FLOOD = {Size.QUICK: 3_000, Size.NORMAL: 12_000, Size.LONG: 40_000}
AT_ONCE = 500


@fault(
    "hot-partition",
    "one partition is flooded; the others keep a deadline of 2 s",
    workers=1,
    rate=0.2,
    deadline_ms=DEADLINE_MS,
)
async def hot_partition(stage: Stage) -> None:
    hot = stations(stage.settings.partitions, shared=0, prefix="hot")[0]
    await _flood(stage, hot, FLOOD[stage.size])
    stage.cause_ended()
    await stage.load_on()
    found = await stage.read()
    others = [v for v in found.effective() if v.source_partition != hot.partition]
    late = [v for v in others if v.reason is Reason.LATE]
    waiting = FLOOD[stage.size] - sum(v.line == hot.line for v in found.effective())
    stage.expect(not late, f"{len(late)} of {len(others)} frames of quiet partitions missed their deadline of 2 s")
    stage.note(f"{waiting} frames of the flood still waited when the quiet partitions were looked at")


async def _flood(stage: Stage, hot: StationOnLoad, frames: int) -> None:
    settings, images = stage.settings, itertools.cycle(pictures())
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings), linger_ms=20) as publisher:
        for _ in range(frames // AT_ONCE):
            sent = []
            for _ in range(AT_ONCE):
                frame = hot.frame(next(images), SIDE, datetime.now(UTC))
                sent.append(await publisher.send(FRAMES, frame, key=hot.key))
            await asyncio.gather(*sent)
