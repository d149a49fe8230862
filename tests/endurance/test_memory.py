"""Promise 4: large pictures poured in stay in Kafka and in the frame store, never on the worker's heap.

frames   200 small ─ rest ─ 4 MB each by claim check ─ 900 KB each inline ─▶ all at once, faster than they are inspected
RSS      ────── base ────────────────────── peak at most (base + budget + partitions x fetch size) x 1.25
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import simplejpeg

from models.artifact import save_artifact
from schemas.records import Encoding, FrameCaptured
from streams.bus.admin import ensure_topics
from streams.bus.offsets import end_offsets
from streams.faust_app import FETCH_MAX_BYTES
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import VERDICTS, topic_specs
from tests.broker.running import publish
from tests.builders import frame
from tests.faults.ledger import results
from tests.faults.workers import WorkerProcess
from tests.models_fixture import tiny_artifact

POURED = 2_000  # frames of each kind
DISTINCT = 20
SMALL, INLINE, CLAIMED = (40, 40), (529, 529), (1119, 1119)  # pixels of noise: some 5 KB, 900 KB and 4 MB as JPEG
ALLOWANCE = 1.25
MIB = 1 << 20


def pictures(sides: tuple[int, int], seed: int) -> list[bytes]:
    noise = np.random.default_rng(seed).integers(0, 256, (DISTINCT, *sides, 3), dtype=np.uint8)
    return [simplejpeg.encode_jpeg(pixels, quality=98, colorsubsampling="444") for pixels in noise]


def frames(count: int, sides: tuple[int, int], store: FrameStore | None, start: int) -> Iterator[FrameCaptured]:
    made = pictures(sides, start)
    hashes = [hashlib.sha256(data).hexdigest() for data in made]
    references = [store.put(data, sha256, "jpg") for data, sha256 in zip(made, hashes, strict=True)] if store else []
    for n in range(count):
        at = n % DISTINCT
        yield frame(
            start + n,
            line=f"l{n % 12}",
            encoding=Encoding.JPEG,
            width=sides[1],
            height=sides[0],
            image=None if store else made[at],
            image_ref=references[at] if store else None,
            image_sha256=hashes[at],
        )


@asynccontextmanager
async def highest_rss(pid: int) -> AsyncIterator[list[int]]:
    """[bytes]: the highest resident set of a process while the block runs."""
    highest, process = [0], psutil.Process(pid)

    async def watch() -> None:
        while True:
            highest[0] = max(highest[0], process.memory_info().rss)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        yield highest
    finally:
        watching.cancel()


async def until_decided(settings: Settings, count: int) -> None:
    while sum((await end_offsets(settings.bootstrap, settings.topic_prefix + VERDICTS.name)).values()) < count:
        await asyncio.sleep(0.2)


@pytest.mark.timeout(1800)
async def test_large_pictures_poured_in_stay_within_the_budget(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = Settings(bootstrap_servers=bootstrap, topic_prefix=topic_prefix, data_dir=tmp_path)
    await ensure_topics(bootstrap, topic_specs(settings))
    save_artifact(tiny_artifact(), tmp_path / "model")
    store = FrameStore(settings.frame_store_url)
    worker = WorkerProcess(settings, tmp_path / "model")
    await worker.start()
    try:
        await publish(settings, frames(200, SMALL, None, 0))
        await until_decided(settings, 200)
        base = psutil.Process(worker.pid).memory_info().rss
        async with highest_rss(worker.pid) as highest:
            await publish(settings, frames(POURED, CLAIMED, store, 1_000))
            await publish(settings, frames(POURED, INLINE, None, 100_000))
            await until_decided(settings, 200 + 2 * POURED)
    finally:
        await worker.stop()
    bound = ALLOWANCE * (base + settings.inflight_max_bytes + settings.partitions * FETCH_MAX_BYTES)
    print(f"RSS {base / MIB:.0f} MiB after 200 small frames, at most {highest[0] / MIB:.0f}, bound {bound / MIB:.0f}")
    assert highest[0] <= bound
    found = await results(settings)
    assert len(found.ids) == 200 + 2 * POURED
    assert {v.reason for log in found.verdicts.values() for _, v in log} == {"SCORE"}
