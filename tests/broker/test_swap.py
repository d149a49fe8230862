"""Models that change while the line runs, on the real broker with real engines: exact in its moment, nothing lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from schemas.records import AlarmKind, AlarmRaised, FrameCaptured, Severity, VerdictIssued
from streams.bus.subscriber import Subscription, subscribe
from streams.commands.models import publish as publish_model
from streams.commands.replay import ReplayOptions, start_replay
from streams.recipes import publishing
from streams.replay.selection import Selection
from streams.replay.topics import replay_topic
from streams.serving import WorkerOptions, released_models
from streams.settings import Settings
from tests.broker.running import prepared, publish, running_worker, until_lag_is_zero
from tests.broker.test_replay_hour import png
from tests.builders import frame, recipe
from tests.models_fixture import TINY_CLASSES, tiny_artifact, tiny_pictures
from tests.released import in_s, put_in_force, release

LIMITS = dict.fromkeys(TINY_CLASSES[1:], 0.5)
NOTHING = WorkerOptions(model_dirs=())
PICTURES = [png(picture) for picture in tiny_pictures(20, 3)]


async def all_of(settings: Settings, topic: str) -> list[Any]:
    return [record async for record in subscribe(topic, "earliest", settings=settings, follow=False)]


def shot(number: int) -> FrameCaptured:
    return frame(number, image=PICTURES[number % len(PICTURES)], deadline_ms=10_000)


async def test_each_frame_is_judged_by_the_model_in_force_when_it_was_appended_and_none_is_lost(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    for model_id in ("m1", "m2"):
        await release(settings, tiny_artifact(model_id), tmp_path / "made")
    changes = [
        recipe(version=n, model_id=("m1", "m2")[n % 2], thresholds=LIMITS, effective_at=in_s(5 + 3 * n))
        for n in (1, 2, 3)
    ]
    await put_in_force(settings, *changes)
    poured = 0
    async with running_worker(settings, default=None, sources=released_models(settings, NOTHING)):
        while in_s(-1) < changes[-1].effective_at:
            await publish(settings, [shot(poured + n) for n in range(4)])
            poured += 4
            await asyncio.sleep(0.05)
        await until_lag_is_zero(settings)
    verdicts: list[VerdictIssued] = await all_of(settings, "verdicts")
    book = (await publishing.history(settings)).book
    expected = [book.in_force("p1", "l1", "A", v.source_timestamp) for v in verdicts]
    assert len({v.frame_id for v in verdicts}) == len(verdicts) == poured
    assert [v.recipe_version for v in verdicts] == [found and found.version for found in expected]
    assert [v.model_id for v in verdicts] == [found and found.model_id for found in expected]
    assert {v.recipe_version for v in verdicts} == {None, 1, 2, 3}
    assert [v for v in verdicts if not v.deadline_met] == []

    again = replace(settings, data_dir=tmp_path / "elsewhere", model_store=str(settings.model_store_dir))
    (tmp_path / "elsewhere").mkdir()
    assert await start_replay(again, ReplayOptions(selection=Selection(), run="as-it-was", yields=False))
    topic = replay_topic("as-it-was")
    replayed = [
        received.record
        async for received in Subscription[VerdictIssued](topic, "earliest", settings=settings, follow=False)
    ]
    live = {v.frame_id: (v.recipe_version, v.outcome) for v in verdicts if v.recipe_version}
    assert {v.frame_id: (v.recipe_version, v.outcome) for v in replayed if v.recipe_version} == live


async def test_a_release_that_cannot_be_loaded_raises_an_alarm_and_the_old_model_goes_on(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    await release(settings, tiny_artifact("m1"), tmp_path / "made")
    first = recipe(version=1, model_id="m1", thresholds=LIMITS, effective_at=in_s(9))
    await put_in_force(settings, first)
    async with running_worker(settings, default=None, sources=released_models(settings, NOTHING)):
        broken = await release(settings, tiny_artifact("m2"), tmp_path / "made")
        (settings.model_store_dir / broken.sha256 / "weights.safetensors").write_bytes(b"\x80\x02pickle")
        made = tiny_artifact("m3")
        others = np.ascontiguousarray(made.golden.scores[:, ::-1])
        wrong = await release(settings, replace(made, golden=replace(made.golden, scores=others)), tmp_path / "made")
        async with asyncio.timeout(60):
            while len({alarm.subject for alarm in await all_of(settings, "alarms")}) < 2:
                await asyncio.sleep(0.2)
        while in_s(0) <= first.effective_at:
            await asyncio.sleep(0.1)
        await publish(settings, [shot(number) for number in range(20)])
        await until_lag_is_zero(settings)
    verdicts: list[VerdictIssued] = await all_of(settings, "verdicts")
    assert {(v.model_id, v.recipe_version) for v in verdicts} == {("m1", 1)}
    alarms: list[AlarmRaised] = await all_of(settings, "alarms")
    assert {a.subject for a in alarms} == {"m2", "m3"}
    assert {(a.kind, a.severity, a.cleared) for a in alarms} == {(AlarmKind.MODEL_FAILED, Severity.WARNING, None)}
    said = {alarm.subject: alarm.detail for alarm in alarms}
    assert "was changed" in said["m2"]
    assert "golden vector" in said["m3"]

    for record in (broken, wrong):
        await publish_model(settings, replace(record, retired=True), "model.retire", record)
    async with running_worker(settings, default=None, sources=released_models(settings, NOTHING)), asyncio.timeout(60):
        while {alarm.subject for alarm in await all_of(settings, "alarms") if alarm.cleared} != {"m2", "m3"}:
            await asyncio.sleep(0.2)
