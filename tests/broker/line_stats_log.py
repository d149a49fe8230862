"""What really stands on the topics of line statistics, and whether it is what one undisturbed fold comes to."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from schemas.records import LineWindow, Outcome, PartDecided, PartOutcome, VerdictIssued
from streams.bus.history import History
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received
from streams.downstream.statistics.service import rule_of
from streams.downstream.statistics.windows import Key
from streams.settings import Settings
from streams.topics import LINE_STATS, PARTS, VERDICTS, Topic, station_key
from tests.line_stats import folded, halves, highest, part, verdict

Halves = tuple[dict[str, Any], dict[str, Any]]


async def send(settings: Settings, topic: Topic, records: Iterable[Any]) -> None:
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        await send_by(publisher, topic, records)


async def send_by(publisher: Publisher, topic: Topic, records: Iterable[Any]) -> None:
    sent = [await publisher.send(topic, r, key=station_key(r.plant, r.line, r.station)) for r in records]
    await asyncio.gather(*sent)


async def everything(settings: Settings, history: History, topic: Topic) -> list[list[Received[Any]]]:
    """All records of a topic, a list for each partition."""
    logs: list[list[Received[Any]]] = []
    for partition in range(settings.partitions):
        found: list[Received[Any]] = []
        begin, end = await history.bounds(topic, partition)
        await history.read(topic, partition, begin, end, found.append)
        logs.append(found)
    return logs


async def published(settings: Settings, history: History) -> dict[Key, LineWindow]:
    """The highest revision of every window; fails where a revision does not follow on the one before."""
    logs = await everything(settings, history, LINE_STATS)
    return {key: window for log in logs for key, window in highest([r.record for r in log]).items()}


async def expected(settings: Settings, history: History) -> dict[Key, Halves]:
    """What one fold over the whole logs comes to."""
    verdicts = await everything(settings, history, VERDICTS)
    parts = await everything(settings, history, PARTS)
    found: dict[Key, Halves] = {}
    for v, p in zip(verdicts, parts, strict=True):
        log = [(r.record, r.timestamp) for r in v], [(r.record, r.timestamp) for r in p]
        found |= folded(*log, rule=rule_of(settings), offsets=([r.offset for r in v], [r.offset for r in p]))
    return found


async def until_published(settings: Settings, history: History, timeout_s: float = 30.0) -> dict[Key, LineWindow]:
    """Waits until every window is final and says what the undisturbed fold says; fails with what differs."""
    wanted, found = await expected(settings, history), dict[Key, LineWindow]()
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                found = await published(settings, history)
                if {k: halves(w) for k, w in found.items()} == wanted and all(w.final for w in found.values()):
                    return found
                await asyncio.sleep(0.2)
    except TimeoutError:
        differing = {k: (wanted.get(k), found.get(k)) for k in wanted.keys() | found.keys()}
        different = {k: (a, b) for k, (a, b) in differing.items() if b is None or halves(b) != a}
        open_ones = [k for k, w in found.items() if not w.final]
        raise AssertionError(f"{len(different)} windows differ, {len(open_ones)} are not final: {different}") from None


class Shift:
    """Verdicts and parts of seven stations as they come now: some late, some out of order, some lost, some copied."""

    def __init__(self, seed: int = 1) -> None:
        self._chance = random.Random(seed)
        self._triggers = dict.fromkeys(range(7), 0)
        self._serial = 0
        self.sent: list[VerdictIssued] = []

    def verdicts(self, count: int) -> list[VerdictIssued]:
        made = [self._verdict() for _ in range(count)]
        copies = [self._chance.choice(self.sent[-50:]) for _ in range(count // 20)] if self.sent else []
        self.sent += made
        return made + copies

    def parts(self, count: int) -> list[PartDecided]:
        return [self._part() for _ in range(count)]

    def _verdict(self) -> VerdictIssued:
        self._serial += 1
        station = self._chance.randrange(7)
        self._triggers[station] += self._chance.choice((1,) * 12 + (2, 0))
        source = datetime.now(UTC) - timedelta(seconds=self._chance.choice((0.01,) * 9 + (1.5,)))
        return verdict(
            self._triggers[station],
            0,
            verdict_id=verdict(self._serial, 0).verdict_id,
            station=f"s{station}",
            source_timestamp=source.replace(microsecond=source.microsecond // 1000 * 1000),
            gateway_ms=self._chance.choice((20,) * 15 + (900, 12_000)),
            outcome=self._chance.choice((Outcome.OK, Outcome.OK, Outcome.NG)),
        )

    def _part(self) -> PartDecided:
        self._serial += 1
        now = datetime.now(UTC).replace(microsecond=0)
        first = now - timedelta(seconds=self._chance.choice((0.5,) * 9 + (14,)))
        outcome = self._chance.choice((PartOutcome.OK, PartOutcome.OK, PartOutcome.NG, PartOutcome.NOT_INSPECTED))
        made = part(self._serial, 0, station=f"s{self._chance.randrange(7)}", outcome=outcome)
        return replace(made, first_at=first, through_at=now)
