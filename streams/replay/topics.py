"""The topic of a replay's verdicts, and the one way to write to it. Promise 6: a replay can't act on a line."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from schemas.records import VerdictIssued
from streams.bus.publisher import Delivery, Publisher
from streams.errors import CallerError
from streams.replay.selection import check_run
from streams.topics import DAY_MS, VERDICTS, Topic, TopicSpec, station_key

RETENTION_MS = 30 * DAY_MS


def replay_topic(run: str) -> Topic:
    """`replay.<run>.verdicts`; CallerError for a run that is none or live."""
    return replace(VERDICTS, name=f"replay.{check_run(run)}.verdicts", retention_ms=RETENTION_MS)


def spec_of(topic: Topic, prefix: str, partitions: int, replication: int, min_insync_replicas: int) -> TopicSpec:
    """The topic as Kafka shall have it: as many partitions as the frames have."""
    return TopicSpec(
        name=prefix + topic.name,
        partitions=partitions,
        by_station=False,  # as many as frames had when the run began
        replication=replication,
        min_insync_replicas=min_insync_replicas,
        retention_ms=topic.retention_ms,
        retention_bytes=topic.retention_bytes,
        max_message_bytes=topic.max_message_bytes,
    )


class ReplayPublisher:
    """Publishes the simulated verdicts of one run to the run's own topic, and nothing else anywhere."""

    def __init__(self, publisher: Publisher, run: str) -> None:
        self._publisher = publisher
        self._run = run
        self._topic = replay_topic(run)

    async def send(self, verdict: VerdictIssued) -> asyncio.Future[Delivery]:
        """As `Publisher.send`; CallerError for a verdict that is not this replay's."""
        if not verdict.simulated or verdict.run != self._run:
            raise CallerError(f"a verdict of run {verdict.run!r} can't be published by the replay {self._run!r}")
        key = station_key(verdict.plant, verdict.line, verdict.station)
        return await self._publisher.send(self._topic, verdict, key=key, partition=verdict.source_partition)
