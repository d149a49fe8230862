"""The guard on the real broker: a bad canary is taken back once, with an alarm that stands until a person acts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from uuid import uuid5

from schemas.records import AlarmKind, AlarmRaised, AuditEntry, Canary, Outcome, Reason, Recipe, VerdictIssued
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.downstream.guard.service import AUTHOR, GuardService
from streams.inspection.decide import Judgement
from streams.settings import Settings
from streams.topics import VERDICTS
from tests.broker.running import prepared
from tests.broker.test_swap import all_of
from tests.builders import NAMESPACE, frame, recipe, verdict
from tests.released import in_s, put_in_force

CANARY = Canary(model_id="new", share=0.5, thresholds={"scratch": 0.5, "dent": 0.5}, unsure_band=0.0)


@asynccontextmanager
async def guarding(settings: Settings) -> AsyncIterator[None]:
    stop, ready = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(GuardService(settings).run(stop, ready.set))
    try:
        await ready.wait()
        yield
    finally:
        stop.set()
        await task


async def judged(settings: Settings, made: Recipe, n: int, *, canary_rejects: int) -> None:
    """n verdicts by each model; the canary rejects one of `canary_rejects`, the other one of 20."""
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for number in range(2 * n):
            model_id, every = (("old", 20), ("new", canary_rejects))[number % 2]
            outcome = Outcome.OK if (number // 2) % every else Outcome.NG
            one = verdict(frame(number), Judgement(outcome, Reason.SCORE), number, recipe=made)
            one = replace(
                one, model_id=model_id, source_timestamp=made.effective_at, verdict_id=uuid5(NAMESPACE, f"g{number}")
            )
            await (await publisher.send(VERDICTS, one, key=b"p1/l1/s1", partition=0))


async def until_there_are(settings: Settings, topic: str, count: int) -> list[Recipe]:
    async with asyncio.timeout(40):
        while len(found := await all_of(settings, topic)) < count:
            await asyncio.sleep(0.2)
    return found


async def test_a_bad_canary_is_taken_back_once_and_the_alarm_stands_until_a_person_acts(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    made = recipe(version=1, model_id="old", canary=CANARY, effective_at=in_s(6), created_at=in_s(0))
    await put_in_force(settings, made)
    async with guarding(settings):
        await judged(settings, made, 60, canary_rejects=2)
        _, taken_back = await until_there_are(settings, "recipes", 2)
        await until_there_are(settings, "alarms", 1)
    assert (taken_back.version, taken_back.model_id, taken_back.canary) == (2, "old", None)
    assert (taken_back.author, taken_back.thresholds, taken_back.mode) == (AUTHOR, made.thresholds, made.mode)
    assert taken_back.reason == "new: 25 of 50 frames rejected (50.0 %), old 6.0 % of 50"
    (entry,) = [e for e in await all_of(settings, "audit") if isinstance(e, AuditEntry)]
    assert (entry.actor, entry.action, entry.reason) == (AUTHOR, "recipe.rollback", taken_back.reason)

    async with guarding(settings):  # reads the same verdicts again
        by_ana = replace(taken_back, version=3, author="ana", created_at=in_s(0), effective_at=in_s(7))
        await put_in_force(settings, by_ana)
        await until_there_are(settings, "alarms", 2)
    raised: list[AlarmRaised] = await all_of(settings, "alarms")
    assert [(a.kind, a.subject, a.cleared is None) for a in raised] == [
        (AlarmKind.ROLLED_BACK, "p1/l1/s1", True),
        (AlarmKind.ROLLED_BACK, "p1/l1/s1", False),
    ]
    assert raised[0].alarm_id == raised[1].alarm_id
    assert len(await all_of(settings, "recipes")) == 3


async def test_a_good_canary_stays(bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    made = recipe(version=1, model_id="old", canary=CANARY, effective_at=in_s(6), created_at=in_s(0))
    await put_in_force(settings, made)
    async with guarding(settings):
        await judged(settings, made, 210, canary_rejects=20)
        verdicts: list[VerdictIssued] = await all_of(settings, "verdicts")
        assert len(verdicts) == 420
        await asyncio.sleep(2)
    assert len(await all_of(settings, "recipes")) == 1
    assert await all_of(settings, "alarms") == []
