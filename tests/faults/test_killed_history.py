"""SIGKILL of archive, replay and compare at any moment, then again: the same as if nothing had happened."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.artifact import load_artifact, save_artifact
from streams.archive.catalogue import Catalogue
from streams.archive.tables import PICTURES, TABLES
from streams.bus.offsets import end_offsets
from streams.errors import CallerError
from streams.replay.runs import open_run
from streams.replay.topics import replay_topic
from streams.settings import Settings, to_environment
from tests.archived import archive
from tests.broker.running import prepared
from tests.broker.test_archive import rows
from tests.broker.test_replay_hour import captured, inspected_live, png
from tests.models_fixture import tiny_artifact, tiny_pictures
from tests.sizes import size

FRAMES = size(600, 1500)
KILLS, KILLS_OF_COMPARE = size((3, 2), (6, 4))
ARCHIVE = (
    "import asyncio; from tests.archived import archive; from streams.settings import load_settings; "
    "asyncio.run(archive(load_settings()))"
)
DECISION = ["source_partition", "source_offset", "verdict_id", "outcome", "reason", "scores", "findings"]


def killed_until_done(settings: Settings, arguments: list[str], delays: list[float]) -> int:
    """Runs a command, kills it after each delay, then lets it end; how often it was really killed."""
    kills = 0
    with (settings.data_dir / "killed.log").open("ab") as log:
        for delay in [*delays, None]:
            environment = {**os.environ, **to_environment(settings)}
            process = subprocess.Popen([sys.executable, *arguments], env=environment, stdout=log, stderr=log)
            try:
                status = process.wait(delay or 120)
            except subprocess.TimeoutExpired:
                process.kill()
                assert process.wait() == -signal.SIGKILL
                assert delay is not None, "it was to end, and went on for 120 s"
                kills += 1
                continue
            assert status == 0, (settings.data_dir / "killed.log").read_text()[-3000:]
    return kills


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


@pytest.mark.timeout(600)
async def test_archive_replay_and_compare_killed_anywhere_end_as_undisturbed(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    settings = dataclasses.replace(made, archive_period_s=1, archive_ok_share=0.2, max_batch=8)
    model = tmp_path / "models" / "tiny"
    save_artifact(tiny_artifact("m1"), model)
    pictures = [png(picture) for picture in tiny_pictures(400, 7)]
    await inspected_live(settings, load_artifact(model), [captured(n, pictures) for n in range(FRAMES)])
    dice = random.Random(4)

    killed = dataclasses.replace(settings, archive=str(tmp_path / "killed"))
    started = time.monotonic()
    await archive(settings)
    took = time.monotonic() - started
    delays = [1.2 + dice.random() * (took + 1) for _ in range(KILLS)]
    kills = await asyncio.to_thread(killed_until_done, killed, ["-c", ARCHIVE], delays)
    assert kills >= 2
    for name in (*TABLES, PICTURES):
        assert rows(killed, name) == rows(settings, name)
    with Catalogue(killed.archive_dir) as catalogue:
        found = {str(p.relative_to(killed.archive_dir)) for p in killed.archive_dir.glob("*/plant=*/**/*.parquet*")}
        assert found == catalogue.paths()

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
