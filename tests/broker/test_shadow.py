"""A shadow model on the real broker with real engines: both verdicts of each frame, and what it leaves out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from models.tiny import tiny_artifact
from schemas.records import Outcome, ShadowCompared, VerdictIssued
from streams.bus.admin import ensure_topics
from streams.downstream.shadow.backlog import Shed
from streams.downstream.shadow.service import ShadowService
from streams.inspection.decide import verdict_id
from streams.serving import WorkerOptions, released_models
from streams.settings import Settings
from streams.topics import topic_specs
from tests.broker.running import prepared, publish, running_worker, until_lag_is_zero
from tests.broker.test_swap import LIMITS, all_of, shot
from tests.builders import recipe
from tests.released import in_s, put_in_force, release

NOTHING = WorkerOptions(model_dirs=())


async def line(bootstrap: str, prefix: str, data_dir: Path) -> Settings:
    """A line whose recipe, in force in five seconds, has the shadow m2, which finds everything bad."""
    settings = replace(await prepared(bootstrap, prefix, data_dir), pools="press", pool="press")
    await ensure_topics(bootstrap, topic_specs(settings))
    for artifact in (tiny_artifact("m1"), tiny_artifact("m2", threshold=1e-6)):
        await release(settings, artifact, data_dir / "made")
    await put_in_force(
        settings, recipe(model_id="m1", shadow_model_id="m2", thresholds=LIMITS, effective_at=in_s(6), version=1)
    )
    return settings


@asynccontextmanager
async def shadowing(settings: Settings, **options: Any) -> AsyncIterator[ShadowService]:
    """A service that is at work, and is stopped at the end."""
    common = replace(settings, pool="")  # one shadow is for all pools
    options = {"left_over": lambda: 1.0} | options  # other tests are no line
    service = ShadowService(common, released_models(settings, NOTHING), registry=CollectorRegistry(), **options)
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(service.run(stop, ready))
    try:
        await ready.wait()
        await asyncio.sleep(4)  # its group has its partitions
        yield service
    finally:
        stop.set()
        await task


async def inspect(settings: Settings, *numbers: int, **changes: Any) -> list[VerdictIssued]:
    """All verdicts after these frames."""
    await publish(settings, [replace(shot(number), **changes) for number in numbers])
    await until_lag_is_zero(settings)
    found: list[VerdictIssued] = await all_of(settings, "verdicts")
    return found


async def test_each_frame_that_was_looked_at_gets_a_pair_and_the_line_knows_nothing_of_it(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await line(bootstrap, topic_prefix, tmp_path)
    async with running_worker(settings, default=None, sources=released_models(settings, NOTHING)):
        async with shadowing(settings) as service:
            await asyncio.sleep(2)
            await inspect(settings, *range(12))
            await inspect(settings, 12, image=b"no picture")
            live = await inspect(settings, 13, captured_at=in_s(-60), deadline_ms=1, gateway_ms=500)
            async with asyncio.timeout(60):
                while service.pairs < 12:
                    await asyncio.sleep(0.1)
            assert service.shed.total() == 0
        more = await inspect(settings, 14)
    pairs: list[ShadowCompared] = await all_of(settings, "shadow")
    by_frame = {verdict.frame_id: verdict for verdict in live}
    assert [pair.live for pair in pairs] == [by_frame[pair.live.frame_id] for pair in pairs]
    assert {pair.live.trigger_seq for pair in pairs} == set(range(12)), "not the damaged one, nor the late one"
    assert {(p.live.model_id, p.shadow.model_id, p.shadow.run) for p in pairs} == {("m1", "m2", "shadow:m2")}
    assert all(p.shadow.verdict_id == verdict_id(p.live.frame_id, p.live.attempt, "shadow:m2") for p in pairs)
    assert all(p.shadow.simulated and p.shadow.scores == p.live.scores for p in pairs), "the same weights"
    assert {p.shadow.outcome for p in pairs} == {Outcome.NG}, "by its own limits"
    assert {p.live.outcome for p in pairs} >= {Outcome.OK}
    assert len(more) == 15
    assert {record.verdict.model_id for record in await all_of(settings, "defects")} <= {"m1"}


@pytest.mark.parametrize(
    ("options", "why"), [({"max_behind_s": -1.0}, Shed.BEHIND), ({"left_over": lambda: 0.1}, Shed.BUSY)]
)
async def test_what_it_cannot_follow_or_has_no_room_for_is_left_out_and_counted(
    bootstrap: str, topic_prefix: str, tmp_path: Path, options: dict[str, Any], why: Shed
) -> None:
    settings = await line(bootstrap, topic_prefix, tmp_path)
    async with (
        running_worker(settings, default=None, sources=released_models(settings, NOTHING)),
        shadowing(settings, **options) as service,
    ):
        await asyncio.sleep(2)
        assert len(await inspect(settings, *range(6))) == 6
        async with asyncio.timeout(30):
            while service.shed.total() < 6:
                await asyncio.sleep(0.1)
        assert service.shed == {why: 6}
    assert await all_of(settings, "shadow") == []
