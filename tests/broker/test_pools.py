"""Two pools on one broker: each has its frames, gateways and workers; verdicts are common, and one can stop alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from schemas.records import VerdictIssued
from streams.bus.admin import ensure_topics
from streams.bus.offsets import end_offsets
from streams.downstream.overview.kafka_log import KafkaLog
from streams.gateway_app import run_gateway
from streams.settings import Settings
from streams.topics import frames_topic, topic_specs
from tests.broker.running import running_worker
from tests.broker.test_swap import all_of
from tests.builders import picture, until
from tests.gateways import CAMERA, Shots, shot


def pooled(bootstrap: str, prefix: str, home: Path, pool: str) -> Settings:
    (home / (pool or "none")).mkdir()
    return Settings(
        bootstrap_servers=bootstrap, topic_prefix=prefix, data_dir=home / (pool or "none"), partitions=4,
        pools="press", pool=pool, frame_store=str(home / "frames"),
    )  # fmt: skip


async def captured(settings: Settings, line: str, numbers: range) -> None:
    """A gateway's work: pictures of one line."""
    camera = replace(CAMERA, line=line)
    shots = [shot(n, camera=camera, data=picture(n % 60), width=16, height=16) for n in numbers]
    await run_gateway(settings, Shots(shots), lambda counts: None)


async def frames_in(settings: Settings) -> int:
    return sum((await end_offsets(settings.bootstrap, frames_topic(settings))).values())


async def test_each_pool_is_inspected_by_its_own_workers_and_the_other_goes_on_without_them(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    common, press = (pooled(bootstrap, topic_prefix, tmp_path, pool) for pool in ("", "press"))
    await ensure_topics(bootstrap, topic_specs(common))
    overview = KafkaLog(common, datetime.now(UTC), datetime.now(UTC))
    await overview.start([], lambda: None)
    async with running_worker(common) as of_common:
        async with running_worker(press) as of_press:
            await captured(common, "l-common", range(8))
            await captured(press, "l-press", range(12))
            await until(lambda: (of_common.inspection.completed, of_press.inspection.completed) == (8, 12), 60)
        await captured(press, "l-press", range(12, 17))  # nobody is there
        await captured(common, "l-common", range(8, 12))
        await until(lambda: of_common.inspection.completed == 12, 60)
        assert (await frames_in(common), await frames_in(press)) == (12, 17)
        waiting = -1
        while waiting != 5:
            waiting = await overview.waiting() or 0
        verdicts: list[VerdictIssued] = await all_of(common, "verdicts")
        assert len(verdicts) == 24
        async with running_worker(press) as again:
            await until(lambda: again.inspection.completed == 5, 60)
    await overview.stop()
    verdicts = await all_of(common, "verdicts")
    assert len({v.verdict_id for v in verdicts}) == len(verdicts) == 29
    assert {(v.line, v.source_topic) for v in verdicts} == {
        ("l-common", f"{topic_prefix}frames"),
        ("l-press", f"{topic_prefix}frames.press"),
    }
    assert len({(v.source_topic, v.source_partition, v.source_offset) for v in verdicts}) == 29
