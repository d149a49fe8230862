"""The second stage on the real broker: what is looked at, what is said where nobody looked, and after a fault."""

from __future__ import annotations

import asyncio
import dataclasses
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from schemas.records import DefectDetected, DefectLocated, Encoding, Outcome, Reason
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.downstream.locating.location import location_id
from streams.downstream.locating.service import JOURNAL, LocatorService
from streams.inspection.decide import Judgement
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import DEFECTS, LOCATIONS, station_key
from tests.broker.running import prepared
from tests.builders import frame, picture, until, verdict
from tests.locating import FOUND, FakeLocator

KEY = station_key("p1", "l1", "s1")
DIES_AT_THE_SECOND = """
import os, signal, sys
from pathlib import Path
from streams.inspection.journal import Journal
with Journal(Path(sys.argv[1])).in_hand(2, 1):
    os.kill(os.getpid(), signal.SIGKILL)
"""
BOXES = [(FOUND.x, FOUND.y, FOUND.width, FOUND.height)]


def defect(settings: Settings, number: int, data: bytes | None = None, **changes: Any) -> DefectDetected:
    """A rejected frame; its picture is in the store."""
    shot = frame(number, image=data or picture(number % 60 + 1))
    made = verdict(shot, Judgement(Outcome.NG, Reason.SCORE), number)
    ref = FrameStore(settings.frame_store_url).put(shot.image or b"", made.image_sha256, "png")
    return DefectDetected(
        verdict=dataclasses.replace(made, **changes), image_ref=ref, encoding=Encoding.PNG, width=64, height=48
    )


async def rejected(settings: Settings, *defects: DefectDetected) -> None:
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for made in defects:
            await (await publisher.send(DEFECTS, made, key=KEY, partition=2))


async def locations(settings: Settings) -> list[Received[DefectLocated]]:
    subscription: Subscription[DefectLocated] = Subscription(LOCATIONS, "earliest", settings=settings, follow=False)
    return [received async for received in subscription]


@asynccontextmanager
async def locating(
    settings: Settings, locator: FakeLocator, done: int | None = None, **options: Any
) -> AsyncIterator[None]:
    """A service; where `done` is given it is stopped when so many defects have an event, copies not counted."""
    service, stop = LocatorService(settings, locator, **options), asyncio.Event()
    task = asyncio.create_task(service.run(stop, lambda: None))
    try:
        yield
        async with asyncio.timeout(60):
            while done is not None and not task.done() and len(await locations(settings)) < done:
                await asyncio.sleep(0.1)
    finally:
        stop.set()
        await task


async def test_rejected_frames_are_located_in_their_order_on_the_same_partition(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings, locator = await prepared(bootstrap, topic_prefix, tmp_path), FakeLocator()
    made = [defect(settings, number) for number in range(4)]
    made[1] = dataclasses.replace(made[1], verdict=dataclasses.replace(made[1].verdict, outcome=Outcome.UNSURE))
    async with locating(settings, locator, done=3):
        await rejected(settings, *made)
    found = await locations(settings)
    assert [r.record.verdict_id for r in found] == [made[n].verdict.verdict_id for n in (0, 2, 3)]
    assert {(r.partition, r.key) for r in found} == {(2, KEY)}
    assert [(r.record.reason, len(r.record.places)) for r in found] == [(Reason.SCORE, 1)] * 3
    assert [(p.box.x, p.box.y, p.box.width, p.box.height) for p in found[0].record.places] == BOXES


async def test_where_nobody_looked_the_event_says_why_and_the_next_is_looked_at(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings, locator = await prepared(bootstrap, topic_prefix, tmp_path), FakeLocator()
    locator.fails = [RuntimeError("the engine is out of order")]
    gone, foreign = defect(settings, 1), defect(settings, 2)
    gone = dataclasses.replace(gone, image_ref=gone.image_ref.replace(gone.verdict.image_sha256, "0" * 64))
    foreign = dataclasses.replace(foreign, image_ref="file:///etc/passwd")
    damaged = defect(settings, 3, b"no picture at all")
    async with locating(settings, locator, done=5):
        await rejected(settings, defect(settings, 0), gone, foreign, damaged, defect(settings, 4))
    found = [r.record for r in await locations(settings)]
    assert [record.reason for record in found] == [
        Reason.ENGINE_FAILED,
        Reason.IMAGE_UNAVAILABLE,
        Reason.IMAGE_UNAVAILABLE,
        Reason.UNSUPPORTED_FORMAT,
        Reason.SCORE,
    ]
    assert found[0].detail == "RuntimeError: the engine is out of order"
    assert [len(record.places) for record in found] == [0, 0, 0, 0, 1]


async def test_one_that_is_ended_in_mid_look_looks_again_and_says_the_same(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings, locator = await prepared(bootstrap, topic_prefix, tmp_path), FakeLocator()
    made = [defect(settings, number) for number in range(3)]
    async with locating(settings, locator):
        await rejected(settings, made[0])
        await until(lambda: locator.looks == 1, 30)
        await until(lambda: len(list((tmp_path / JOURNAL).iterdir())) == 1)
        locator.may_look.clear()
        await rejected(settings, *made[1:])
        await until(lambda: locator.looks == 2, 30)
        asyncio.get_running_loop().call_later(0.5, locator.may_look.set)  # the thread can't be ended
    async with locating(settings, locator, done=3):
        pass
    found = [r.record for r in await locations(settings)]
    assert [r.verdict_id for r in found] == [d.verdict.verdict_id for d in made]
    assert [r.location_id for r in found] == [location_id(r.verdict_id, locator.sha256) for r in found]


async def test_what_is_old_or_has_cost_two_lives_is_passed_by(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings, locator = await prepared(bootstrap, topic_prefix, tmp_path), FakeLocator()
    for _ in range(2):
        subprocess.run([sys.executable, "-c", DIES_AT_THE_SECOND, str(tmp_path / JOURNAL)], check=False)
    clock = datetime.now(UTC)
    async with locating(settings, locator, done=3, max_age_s=60, clock=lambda: clock):
        await rejected(settings, *(defect(settings, number) for number in range(2)))
        await until(lambda: locator.looks == 1, 30)
        clock += timedelta(minutes=5)
        await rejected(settings, defect(settings, 2))
    found = [r.record for r in await locations(settings)]
    assert [record.reason for record in found] == [Reason.SCORE, Reason.ENGINE_FAILED, Reason.LATE]
    assert found[1].detail == "it was in hand at 2 unclean ends of a locator here"
    assert locator.looks == 1
