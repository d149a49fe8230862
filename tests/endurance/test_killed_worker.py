"""Promises 1, 2 and 3 while the worker is killed again and again under load.

frames   ═════════════════════════════════════▶ 8,000, every second one with a deadline of 1 s
worker   ━━━━━✗      ━━━━━━━✗      ━━━━━━✗      ━━━━━━━━━━▶
samples  ···································································· committed offsets against results
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import uuid
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import simplejpeg

from models.artifact import save_artifact
from schemas.records import Encoding, FrameCaptured, Reason
from streams.bus.admin import ensure_topics
from streams.bus.offsets import end_offsets
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.capture.frames import FRAME_NAMESPACE
from streams.chaos.ledger import Sample
from streams.chaos.reading import results, sample_commits
from streams.settings import Settings
from streams.topics import FRAMES, VERDICTS, station_key, topic_specs
from tests.faults.workers import WorkerProcess
from tests.models_fixture import tiny_artifact

FRAMES_SENT = 8_000
FRAMES_PER_S = 250
KILLS_AT = (800, 2_500, 4_500)  # verdicts on the topic
LINES = 7  # stations that share 12 partitions


def pictures() -> list[bytes]:
    """Sixteen small JPEGs that differ."""
    noise = np.random.default_rng(4).integers(0, 256, (16, 48, 64, 3), dtype=np.uint8)
    return [simplejpeg.encode_jpeg(picture, quality=85) for picture in noise]


def frame(number: int, image: bytes) -> FrameCaptured:

    return FrameCaptured(
        frame_id=uuid.uuid5(FRAME_NAMESPACE, f"killed/{number}"),
        plant="p",
        line=f"l{number % LINES}",
        station="s",
        camera="c",
        sku="k",
        trigger_seq=number // LINES + 1,
        captured_at=datetime.now(UTC),
        deadline_ms=1_000 if number % 2 else None,
        gateway_ms=1,
        encoding=Encoding.JPEG,
        width=64,
        height=48,
        image=image,
        image_sha256=hashlib.sha256(image).hexdigest(),
    )


async def send_frames(settings: Settings) -> None:
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        deliveries, images = [], itertools.cycle(pictures())
        for number in range(FRAMES_SENT):
            sent = frame(number, next(images))
            deliveries.append(await publisher.send(FRAMES, sent, key=station_key("p", sent.line, "s")))
            if number % 25 == 24:
                await asyncio.sleep(25 / FRAMES_PER_S)
        await asyncio.gather(*deliveries)


async def verdict_count(settings: Settings) -> int:
    return sum((await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)).values())


async def test_no_frame_lost_or_decided_twice_when_the_worker_is_killed_three_times(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path)
    await ensure_topics(bootstrap, topic_specs(settings))
    save_artifact(tiny_artifact(), tmp_path / "model")
    worker = WorkerProcess(settings, tmp_path / "model")
    samples: list[Sample] = []
    done = asyncio.Event()
    sampling = asyncio.create_task(sample_commits(settings, f"{topic_prefix}inspection", samples, done))
    await worker.start()
    sending = asyncio.create_task(send_frames(settings))
    try:
        async with asyncio.timeout(280):
            for kill_at in KILLS_AT:
                while await verdict_count(settings) < kill_at:
                    await asyncio.sleep(0.05)
                worker.kill()
                await worker.start()
            await sending
            while await verdict_count(settings) < FRAMES_SENT:
                await asyncio.sleep(0.2)
        assert await worker.stop() == 0, worker.log.read_text()[-2000:]
    finally:
        done.set()
        await sampling
        if worker.status is None:
            worker.kill()

    found = await results(settings)
    assert len(samples) > 200
    assert found.uncovered(samples) == []
    assert len(found.ids) == FRAMES_SENT
    assert found.contradictions() == []
    assert found.order_breaks() == 0
    reasons = {v.reason for log in found.verdicts.values() for _, v in log}
    assert reasons == {Reason.SCORE, Reason.LATE}, "the run must have had both, or it shows nothing about deadlines"
