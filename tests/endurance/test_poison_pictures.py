"""A picture that ends the process with it, among good ones: the crash loop ends, and only that picture is lost to it.

frames   ════ good ═ poison ═ good ════▶ one partition
worker   ━━━━━━━━━━━━━✗   ━━━✗   ━━━━━━━▶ third time in a child process: ERROR, dead letter, and on
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import io
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from PIL import Image

from models.artifact import save_artifact
from schemas.records import Encoding, FrameCaptured, Outcome, Reason, VerdictIssued
from streams.chaos.sabotage import sabotaged
from streams.settings import Settings
from tests.broker.running import prepared, publish
from tests.builders import frame
from tests.faults.ledger import Results, results
from tests.faults.workers import WorkerProcess
from tests.models_fixture import tiny_artifact, tiny_pictures

FRAMES = 120
PROMISED_S = 30.0  # from the last unclean end to the next verdict of the partition


def jpegs() -> list[bytes]:
    found = []
    for pixels in tiny_pictures(16, 3):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=95)
        found.append(file.getvalue())
    return found


def captured(number: int, picture: bytes) -> FrameCaptured:
    return frame(
        number,
        encoding=Encoding.JPEG,
        width=32,
        height=32,
        image=picture,
        image_sha256=hashlib.sha256(picture).hexdigest(),
    )


async def inspected_through(settings: Settings, faults: dict[int, str]) -> tuple[Results, int]:
    """All verdicts of FRAMES frames, some with faults, and how often the worker ended."""
    pictures = jpegs()
    sent = [sabotaged(pictures[n % 16], faults[n]) if n in faults else pictures[n % 16] for n in range(FRAMES)]
    await publish(settings, [captured(n, picture) for n, picture in enumerate(sent)])
    worker, ends = WorkerProcess(settings, settings.data_dir / "model", module="streams.chaos.sabotage"), 0
    async with asyncio.timeout(240):
        await worker.start()
        while len((await results(settings)).ids) < FRAMES:
            if worker.status is not None:
                ends += 1
                await worker.start()
            await asyncio.sleep(0.2)
        assert await worker.stop() == 0, worker.log.read_text()[-2000:]
    return await results(settings), ends


def verdicts(found: Results) -> Sequence[VerdictIssued]:
    return [verdict for log in found.verdicts.values() for _, verdict in log]


POISON = {"decode-exit": Reason.DECODE_CRASHED, "engine-hang": Reason.ENGINE_FAILED}


@pytest.mark.parametrize("fault", POISON)
async def test_a_picture_that_ends_the_worker_every_time_is_a_dead_letter_the_third_time(
    bootstrap: str, topic_prefix: str, tmp_path: Path, fault: str
) -> None:
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    settings = dataclasses.replace(made, infer_timeout_s=3.0, alone_timeout_s=3.0)
    save_artifact(tiny_artifact(), tmp_path / "model")
    others = {30: "engine-nan", 50: "engine-raise", 70: "decode-raise", 90: "engine-raise-once"}

    found, ended = await inspected_through(settings, {40: fault, **others})

    assert ended == 2
    errors = {v.trigger_seq: v.reason for v in verdicts(found) if v.outcome is Outcome.ERROR}
    assert errors == {
        **{30: Reason.NON_FINITE, 40: POISON[fault], 50: Reason.ENGINE_FAILED, 70: Reason.DECODE_CRASHED},
    }
    letters = {letter.source_offset: letter.reason for log in found.letters.values() for _, letter in log}
    assert letters == {v.source_offset: v.reason for v in verdicts(found) if v.outcome is Outcome.ERROR}
    assert len(found.ids) == FRAMES
    assert found.contradictions() == []
    assert found.order_breaks() == 0
    poison = next(v for v in verdicts(found) if v.trigger_seq == 40)
    assert poison.decided_at - poison.received_at < timedelta(seconds=PROMISED_S)
