"""`lineside topics --grow` while lines run: no frame lost, order kept, and a growth that broke off is finished.

gateways  ━━━━━━━━━━━━━━━━━━━┫paused┣━━━━━━━━━━━━━━━━━━━━━━━▶
worker    ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━▶
topics    4 partitions  derived 6 … all decided … frames 6
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from rich.console import Console

from schemas.records import GateKind, GateSignal
from streams.bus.admin import check_topics, require_topics
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.ledger import Sample
from streams.chaos.reading import sample_commits
from streams.commands.grow import grown
from streams.commands.ui import Ui
from streams.downstream.parts.service import PartsService
from streams.downstream.statistics.service import StatisticsService
from streams.errors import CallerError, OperatorError
from streams.settings import Settings
from streams.topics import DEADLETTERS, DEFECTS, FRAMES, GATES, PARTS, TOPICS, VERDICTS, topic_specs
from tests.broker.growing import Line, alter, counts, everything, gateways, outcome, running
from tests.broker.running import prepared, publish, running_worker, until_lag_is_zero
from tests.builders import frame
from tests.faults.moved import commit

RECOVERY_S = 30.0
LINES = ("m0", "m2", "m5", "m6", "m9", "m11", "m16", "m17", "m20", "m22")  # in all partitions, of 4 and of 6


@pytest.fixture
async def settings(bootstrap: str, topic_prefix: str, tmp_path: Path) -> Settings:
    return await prepared(bootstrap, topic_prefix, tmp_path)


@pytest.fixture
def ui() -> Ui:
    return Ui(Console(quiet=True))


async def test_partitions_are_added_under_load_and_no_frame_is_lost_and_no_order_breaks(
    settings: Settings, ui: Ui, caplog: pytest.LogCaptureFixture
) -> None:
    deaths: list[str] = []
    async with (
        running_worker(settings),
        running(PartsService(settings, CollectorRegistry())),
        running(StatisticsService(settings, deaths.append)),
        gateways(settings, Line(LINES[:5], 60), Line(LINES[5:], 60)) as lines,
    ):
        report = await grown(settings, 6, 60, ui)
        for line in lines:
            await line.until_it_sends(100)
        assert await counts(settings) == {6}
        again = await grown(settings, 6, 60, ui)
    async with running_worker(settings):
        await until_lag_is_zero(settings)
    found = await outcome(settings)

    assert len(report.gateways) == 2
    assert len(report.grown) == len([topic for topic in TOPICS.values() if topic.by_station])
    assert (again.grown, again.gateways) == ([], []), "nothing is to be done twice"
    assert deaths == []
    assert found.frames == sum(line.counts.confirmed for line in lines) > 250
    assert (found.undecided, found.decided_twice, found.out_of_order) == (0, 0, frozenset())
    assert {event.partition for event in await everything(settings, FRAMES)} > {4, 5}
    parts = Counter(event.record.part_id for event in await everything(settings, PARTS))
    assert set(parts.values()) == {1}
    assert found.longest_silence_s < RECOVERY_S
    assert found.slowest_s < RECOVERY_S
    kinds = Counter(event.record.kind for event in await everything(settings, GATES))
    assert (kinds["GO_ON"], kinds["WENT_ON"]) == (1, 2)
    assert kinds["PAUSED"] >= 2, "and once more for a session that began during the pause"
    with caplog.at_level(logging.WARNING):
        await require_topics(settings.bootstrap, topic_specs(settings))
    assert "set LINESIDE_PARTITIONS=6 (is 4)" in caplog.text


async def signal(settings: Settings, **fields: object) -> None:
    record = GateSignal(sender="grow/test", at=datetime.now(UTC), **fields)  # type: ignore[arg-type]
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        await (await publisher.send(GATES, record, key=b"grow/test"))


async def test_a_growth_that_crashes_leaves_no_gateway_paused_and_the_next_run_finishes_it(
    settings: Settings, ui: Ui
) -> None:
    """Derived topics are half grown, gateways are paused for 3 s, and nobody comes back."""
    for topic in (VERDICTS, DEFECTS, DEADLETTERS):
        await alter(settings, topic, 6)
    async with running_worker(settings):
        async with gateways(settings, Line(LINES, 60)) as [line]:
            await signal(settings, pause_id=uuid4(), kind=GateKind.PAUSE, lease_ms=3_000)
            await asyncio.sleep(1.5)
            before = line.counts.confirmed
            await asyncio.sleep(0.7)
            assert line.counts.confirmed == before, "it is paused"
            await line.until_it_sends(20, timeout_s=10)
            report = await grown(settings, 6, 60, ui)
            await line.until_it_sends(50)
        async with gateways(settings, Line(("l9",), 60)) as [other]:
            await other.until_it_sends(20, timeout_s=5)
        await until_lag_is_zero(settings)
    found = await outcome(settings)

    assert f"{settings.topic_prefix}verdicts" not in report.grown
    assert f"{settings.topic_prefix}frames" in report.grown
    assert await counts(settings) == {6}
    assert (found.undecided, found.decided_twice, found.out_of_order) == (0, 0, frozenset())


async def test_frames_grown_behind_our_back_wait_until_their_topics_grow_and_none_is_lost(
    settings: Settings, ui: Ui, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_worker(settings) as worker:
        async with gateways(settings, Line(LINES, 60)) as [line]:
            await alter(settings, FRAMES, 6)
            async with asyncio.timeout(RECOVERY_S):
                while not {event.partition for event in await everything(settings, FRAMES)} >= {4, 5}:
                    await asyncio.sleep(0.3)
                while worker.metrics.held._value.get() != 2:
                    await asyncio.sleep(0.1)
            await line.until_it_sends(60)
            held = await outcome(settings)
            with caplog.at_level(logging.WARNING):
                await require_topics(settings.bootstrap, topic_specs(settings))  # a worker may start
            assert {d.fix for d in await check_topics(settings.bootstrap, topic_specs(settings))} == {
                "run `lineside topics --grow 6`"
            }
            report = await grown(settings, 6, 60, ui)
            fixed_at = datetime.now(UTC)
        await until_lag_is_zero(settings)
    found = await outcome(settings)

    assert held.undecided > 0, "what leads nowhere waits"
    assert "partitions [4, 5] are held, nothing of them is lost; run `lineside topics --grow 6`" in caplog.text
    assert report.gateways == [], "nothing moves any more, so nobody pauses"
    assert (found.undecided, found.decided_twice) == (0, 0)
    last = max(event.timestamp for event in await everything(settings, VERDICTS) if event.partition in (4, 5))
    assert (last - fixed_at).total_seconds() < RECOVERY_S
    assert found.out_of_order <= {key.split("/")[1] for key in report.moved_keys}, "those that may be out of order"
    assert report.moved_keys
    assert all(len(partitions) == 2 for partitions in report.moved_keys.values())


async def test_a_worker_that_starts_beside_grown_frames_holds_what_leads_nowhere(settings: Settings, ui: Ui) -> None:
    await alter(settings, FRAMES, 6)
    await publish(settings, [frame(number, line=f"l{number % 7}") for number in range(70)])
    async with running_worker(settings):
        async with asyncio.timeout(20):
            while not await everything(settings, VERDICTS):
                await asyncio.sleep(0.2)
        await asyncio.sleep(1)
        assert {event.partition for event in await everything(settings, VERDICTS)} <= {0, 1, 2, 3}
        await grown(settings, 6, 60, ui)
        await until_lag_is_zero(settings)
    assert len({event.record.frame_id for event in await everything(settings, VERDICTS)}) == 70


async def test_what_can_not_be_is_refused_and_gateways_go_on(settings: Settings, ui: Ui) -> None:
    with pytest.raises(CallerError, match=r"has 4 partitions and Kafka takes none away; came --grow 3"):
        await grown(settings, 3, 10, ui)
    async with gateways(settings, Line(LINES, 60)) as [line]:
        with pytest.raises(OperatorError, match=r"inspection: \d+ to go \(does `lineside worker` run\?\)"):
            await grown(settings, 6, 4, ui)
        await line.until_it_sends(20, timeout_s=5)
    async with running_worker(settings), gateways(settings, Line(LINES, 60)) as [line]:
        await grown(settings, 6, 60, ui)
        await line.until_it_sends(20)
    async with running_worker(settings):
        await until_lag_is_zero(settings)
    found = await outcome(settings)
    assert (found.undecided, found.decided_twice, found.out_of_order) == (0, 0, frozenset())


async def test_samples_of_commits_know_the_partitions_that_came_later(settings: Settings) -> None:
    await commit(settings, "inspection", FRAMES, {3: 0})
    samples: list[Sample] = []
    stop, before = asyncio.Event(), dataclasses.replace(settings, partitions=2)
    sampling = asyncio.create_task(sample_commits(before, f"{settings.topic_prefix}inspection", samples, stop))
    async with asyncio.timeout(20):
        while not samples:
            await asyncio.sleep(0.05)
    stop.set()
    await sampling
    assert samples[0].committed == {3: 0}
    assert samples[0].verdict_ends.keys() == samples[0].deadletter_ends.keys() == {0, 1, 2, 3}
