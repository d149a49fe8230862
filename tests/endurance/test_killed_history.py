"""SIGKILL of replay and compare at any moment, then again: the same as if nothing had happened."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.artifact import load_artifact, save_artifact
from streams.bus.offsets import end_offsets
from streams.errors import CallerError
from streams.replay.runs import open_run
from streams.replay.topics import replay_topic
from streams.settings import Settings, to_environment
from tests.broker.running import prepared
from tests.broker.test_replay_hour import captured, inspected_live, png
from tests.faults.workers import killed_until_done
from tests.models_fixture import tiny_artifact, tiny_pictures

FRAMES, KILLS, KILLS_OF_COMPARE = 1_500, 6, 4
DECISION = ["source_partition", "source_offset", "verdict_id", "outcome", "reason", "scores", "findings"]


async def killed_after(settings: Settings, arguments: list[str], run: str, counts: list[int]) -> None:
    """Runs a replay again and again and kills it each time as soon as it has so many verdicts on its topic."""
    topic = settings.topic_prefix + replay_topic(run).name
    environment = {**os.environ, **to_environment(settings)}
    for count in counts:
        with (settings.data_dir / "killed.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
        try:
            async with asyncio.timeout(120):
                while await published(settings, topic) < count:
                    assert process.poll() is None, f"it ended before its verdict {count}"
        finally:
            process.kill()
            assert await asyncio.to_thread(process.wait) == -signal.SIGKILL


async def published(settings: Settings, topic: str) -> int:
    try:
        return sum((await end_offsets(settings.bootstrap, topic)).values())
    except CallerError:  # it makes its topic when it starts
        return 0


@pytest.mark.timeout(900)
async def test_replay_and_compare_killed_anywhere_end_as_undisturbed(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    settings = dataclasses.replace(made, archive_period_s=1, archive_ok_share=0.2, max_batch=8)
    model = tmp_path / "models" / "tiny"
    save_artifact(tiny_artifact("m1"), model)
    pictures = [png(picture) for picture in tiny_pictures(400, 7)]
    await inspected_live(settings, load_artifact(model), [captured(n, pictures) for n in range(FRAMES)])
    dice = random.Random(4)

    replay = [
        "-m",
        "streams.cli",
        "replay",
        "--model",
        str(model),
        "--recipe",
        "model",
        "--precision",
        "fp32",
        "--no-yield",
        "--run",
    ]
    await asyncio.to_thread(killed_until_done, settings, [*replay, "calm", "--workers", "2"], [])
    await killed_after(settings, [*replay, "storm"], "storm", [1 + n * FRAMES // KILLS for n in range(KILLS)])
    await asyncio.to_thread(killed_until_done, settings, [*replay, "storm"], [])
    calm, storm = (open_run(run, settings).to_arrow().select(DECISION) for run in ("calm", "storm"))
    assert storm.num_rows == FRAMES
    without_id = [name for name in DECISION if name != "verdict_id"]
    assert storm.select(without_id).to_pylist() == calm.select(without_id).to_pylist()

    html = tmp_path / "report.html"
    compare = ["-m", "streams.cli", "compare", "live", "storm", "--html", str(html)]
    await asyncio.to_thread(killed_until_done, settings, compare, [])
    whole = html.read_bytes()
    for _ in range(KILLS_OF_COMPARE):
        await asyncio.to_thread(killed_until_done, settings, compare, [0.5 + dice.random() * 5])
        assert html.read_bytes() == whole
