"""Partitions that are added: by our own command under load, and behind our back."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streams.bus.security import kafka_options
from streams.chaos.fault import fault
from streams.chaos.faults.spool import all_decided, capture, missing_triggers
from streams.chaos.stage import Stage
from streams.chaos.stations import partition_of
from streams.topics import FRAMES, station_key

GROWN = 16
NOTICED_S = 15.0  # producers ask for partitions every ten seconds


async def grow(stage: Stage) -> None:
    """Our command, to its end."""
    growing = stage.programs.once("grow", ["topics", "--grow", str(GROWN)])
    stage.expect(await growing.wait() == 0, f"the topics did not grow: {growing.output()[-500:]}")
    stage.note(growing.output().strip().splitlines()[-1][:200])


@fault("topics-grow", f"lineside topics --grow {GROWN} under the load of a real gateway", rate=0)
async def topics_grow(stage: Stage) -> None:
    gateway = await capture(stage, "gateway")
    await grow(stage)
    stage.partitions_grew(GROWN)
    keys = {station_key(v.plant, v.line, v.station) for v in stage.results.effective()}
    stage.cause_ended({partition_of(key, GROWN) for key in keys})
    await stage.recovered()
    await stage.load_on()
    refused = await all_decided(stage, gateway)
    stage.expect(refused == 0 and missing_triggers(stage) == 0, f"{missing_triggers(stage)} triggers are missing")


@fault("grown-behind", f"frames alone is grown to {GROWN} by somebody else; then lineside topics --grow")
async def grown_behind(stage: Stage) -> None:
    admin = AIOKafkaAdminClient(**kafka_options(stage.settings.bootstrap))
    await admin.start()
    try:
        await admin.create_partitions({stage.settings.topic_prefix + FRAMES.name: NewPartitions(GROWN)})
    finally:
        await admin.close()
    await asyncio.sleep(NOTICED_S)
    await grow(stage)
    stage.partitions_grew(GROWN)
    stage.cause_ended()
    await stage.recovered()
    await stage.load_on()
