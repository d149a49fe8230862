"""SIGKILL of the archive at any moment, then again: the same as if nothing had happened."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import random
from pathlib import Path

from streams.archive.catalogue import Catalogue
from streams.archive.tables import PICTURES, TABLES
from streams.settings import Settings
from tests.archived import archive
from tests.broker.running import prepared
from tests.broker.test_archive import rows
from tests.broker.test_replay_hour import captured, inspected_live, png
from tests.faults.workers import killed_when
from tests.models_fixture import tiny_artifact, tiny_pictures
from tests.sizes import size

FRAMES, KILLS = size((400, 3), (1_500, 6))
ARCHIVE = (
    "import asyncio; from tests.archived import archive; from streams.settings import load_settings; "
    "asyncio.run(archive(load_settings()))"
)


def files(settings: Settings) -> set[Path]:
    """All that is written, under whatever name."""
    return {Path(at, name) for at, _, names in os.walk(settings.archive_dir) for name in names}


async def test_an_archive_killed_anywhere_ends_as_undisturbed(
    bootstrap: str, topic_prefix: str, tmp_path: Path
) -> None:
    made = await prepared(bootstrap, topic_prefix, tmp_path)
    settings = dataclasses.replace(made, archive_period_s=1, archive_ok_share=0.2, max_batch=8)
    pictures = [png(picture) for picture in tiny_pictures(400, 7)]
    await inspected_live(settings, tiny_artifact("m1"), [captured(n, pictures) for n in range(FRAMES)])
    killed = dataclasses.replace(settings, archive=str(tmp_path / "killed"))
    await archive(settings)
    dice, most = random.Random(4), len(files(settings)) // KILLS
    for more in [dice.randint(1, most - 1) for _ in range(KILLS)]:  # in all fewer files than it has to write
        before = files(killed)
        await asyncio.to_thread(
            killed_when, killed, ["-c", ARCHIVE], lambda before=before, more=more: len(files(killed) - before) >= more
        )
    await archive(killed)
    for name in (*TABLES, PICTURES):
        assert rows(killed, name) == rows(settings, name)
    with Catalogue(killed.archive_dir) as catalogue:
        found = {str(p.relative_to(killed.archive_dir)) for p in killed.archive_dir.glob("*/plant=*/**/*.parquet*")}
        assert found == catalogue.paths()
