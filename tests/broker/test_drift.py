"""`lineside drift` on the real broker: from cameras' pictures through a worker to an alarm whose pictures resolve."""

from __future__ import annotations

import asyncio
import dataclasses
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from models.preprocess import EncodedImage, decode
from schemas.records import AlarmKind, AlarmRaised, AuditEntry, CameraReference, FrameCaptured
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Subscription
from streams.downstream.drift.service import DriftOptions, DriftService
from streams.downstream.drift.teaching import Lesson, teach
from streams.downstream.rework.link import now_ms
from streams.errors import CallerError
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import ALARMS, AUDIT, CAMERA_REFERENCES, Topic
from tests.broker.running import prepared, publish, running_worker
from tests.builders import frame
from tests.commands import RUN, app

LESSON = 100
SIDE = 48
Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def blurred(pixels: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.5)))


def well(pixels: Pixels) -> Pixels:
    return pixels


def shots(first: int, count: int, look: Callable[[Pixels], Pixels] = well) -> list[FrameCaptured]:
    """Textured pictures of one camera, each another one."""
    made = []
    for number in range(first, first + count):
        rng, file = np.random.default_rng(number), io.BytesIO()
        level = rng.normal(30, 1) + rng.normal(0, 8, (SIDE, SIDE))
        level[:, SIDE // 2 :] += 40
        pixels = level.clip(0, 255).astype(np.uint8)[:, :, None].repeat(3, axis=2)
        Image.fromarray(look(pixels)).save(file, "PNG")
        made.append(frame(number, image=file.getvalue(), width=SIDE, height=SIDE))
    return made


async def records(settings: Settings, topic: Topic) -> list[Any]:
    subscription: Subscription[Any] = Subscription(topic, "earliest", settings=settings, follow=False)
    return [received.record async for received in subscription]


async def drifts(settings: Settings) -> list[AlarmRaised]:
    return [alarm for alarm in await records(settings, ALARMS) if alarm.kind is AlarmKind.PICTURE_DRIFT]


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[DriftService]:
    """A service, from when it is ready."""
    service, stop, ready = DriftService(settings, DriftOptions(lesson=LESSON)), asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(service.run(stop, ready.set))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        yield service
    finally:
        stop.set()
        await task


async def until_there_are(settings: Settings, topic: Topic, count: int) -> list[Any]:
    async with asyncio.timeout(90):
        while len(found := await records(settings, topic)) < count:
            await asyncio.sleep(0.2)
    return found


async def until_looked_at(service: DriftService, steps: int) -> None:
    async with asyncio.timeout(90):
        while service.work().completed < steps:
            await asyncio.sleep(0.1)


async def test_a_camera_out_of_focus_raises_an_alarm_with_pictures_that_outlasts_a_restart_and_ends(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    async with running_worker(settings):
        async with watching(settings) as service:
            await asyncio.sleep(1)  # the group has its partitions
            await publish(settings, shots(0, LESSON + 60))
            (reference,) = await until_there_are(settings, CAMERA_REFERENCES, 1)
            assert (reference.camera, reference.sku, reference.frames) == ("c1", "A", LESSON)
            await until_looked_at(service, LESSON + 60)
            assert await drifts(settings) == []
            bad = shots(1000, 100, blurred)
            await publish(settings, bad)
            (raised,) = await until_there_are(settings, ALARMS, 1)
        assert (raised.kind, raised.subject, raised.cleared) == (AlarmKind.PICTURE_DRIFT, "p1/l1/s1/c1", None)
        assert "sharpness" in raised.detail
        assert "out of focus?" in raised.detail
        store, pictures = FrameStore(settings.frame_store_url), {shot.image for shot in bad}
        kept = [store.get(uri, 1 << 20) for uri in raised.evidence]
        assert len(kept) == 4
        assert set(kept) <= pictures
        assert decode(EncodedImage(kept[0], "PNG")).shape == (SIDE, SIDE, 3)

        async with watching(settings) as service:
            await publish(settings, shots(2000, 60, blurred))
            await until_looked_at(service, 60)
            assert await drifts(settings) == [raised], "it stands, and nobody is told twice"
            assert len(await records(settings, CAMERA_REFERENCES)) == 1
            await publish(settings, shots(3000, 260))
            _, over = await until_there_are(settings, ALARMS, 2)
        assert over == dataclasses.replace(raised, at=over.at, cleared=over.cleared)
        assert over.cleared is not None


async def test_a_person_teaches_a_camera_anew_which_is_audited_first(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    lesson = Lesson(
        plant="p1",
        line="l1",
        station="s1",
        camera=None,
        sku=None,
        frames=120,
        since=None,
        by="ana",
        why="new lens",
    )
    codec = codec_for(settings)
    async with running_worker(settings), watching(settings) as service:
        await asyncio.sleep(1)
        await publish(settings, shots(0, LESSON))
        await until_looked_at(service, LESSON)
        with pytest.raises(CallerError, match="say why"):
            await teach(settings, codec, dataclasses.replace(lesson, why=" "), now_ms)
        with pytest.raises(CallerError, match="no camera of p1/l1/s9 has 100 frames that fit, at most 0"):
            await teach(settings, codec, dataclasses.replace(lesson, station="s9"), now_ms)
        await publish(settings, shots(1000, 160, blurred))
        await until_there_are(settings, ALARMS, 1)
        await until_looked_at(service, LESSON + 160)
        (made,) = await teach(settings, codec, lesson, now_ms)
        references: list[CameraReference] = await records(settings, CAMERA_REFERENCES)
        assert [(r.taught_by, r.reason, r.frames) for r in references[1:]] == [("ana", "new lens", 120)]
        assert references[1] == made
        entries: list[AuditEntry] = await records(settings, AUDIT)
        assert [(e.actor, e.action, e.subject, e.reason) for e in entries] == [
            ("ana", "drift.teach", "p1/l1/s1/c1/A", "new lens")
        ]
        await publish(settings, shots(2000, 100, blurred))
        _, over = await until_there_are(settings, ALARMS, 2)
        assert over.cleared is not None
    shown = await asyncio.to_thread(_shown, settings)
    assert "p1/l1/s1/c1 · A" in shown
    assert "against 120 taught by ana" in shown


def _shown(settings: Settings) -> str:
    """What `lineside drift show` says."""
    arguments = ["drift", "show", "--bootstrap-servers", settings.bootstrap, "--topic-prefix", settings.topic_prefix]
    done = RUN.invoke(app, [*arguments, "--data-dir", str(settings.data_dir)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output
