"""What the README shows is what there is: its examples run, its tree exists."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

from schemas.records import DefectDetected, Outcome, Reason
from streams.bus.publisher import Publisher
from streams.inspection.decide import Judgement
from streams.settings import to_environment
from streams.topics import DEFECTS
from tests.broker.running import prepared
from tests.builders import CODEC, frame, verdict

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str) -> str:
    """The first code block of a language."""
    found = re.search(rf"```{language}\n(.*?)```", README, re.S)
    assert found
    return found[1]


def test_every_path_of_the_tree_exists() -> None:
    tree = re.search(r"## Tree\n\n```\n(.*?)```", README, re.S)
    assert tree
    folder = ""
    for line in tree[1].splitlines():
        name = line.split()[0]
        folder = "" if not line.startswith(" ") else folder
        assert (ROOT / folder / name).exists(), line
        folder = name if not line.startswith(" ") else folder


def test_the_javascript_example_is_the_one_that_is_tested() -> None:
    assert block("js").strip() in (ROOT / "tests/js/print_defects.mjs").read_text()


async def test_the_python_example_prints_a_defect(bootstrap: str, topic_prefix: str, tmp_path: Path) -> None:
    settings = await prepared(bootstrap, topic_prefix, tmp_path)
    judged = verdict(frame(1, part_id="4711"), Judgement(Outcome.NG, Reason.SCORE))
    defect = DefectDetected(verdict=judged, image_ref="file:///p.png", heatmap_ref=None)
    environment = {**os.environ, **to_environment(settings), "PYTHONUNBUFFERED": "1"}
    example = await asyncio.create_subprocess_exec(
        sys.executable, "-c", block("python"), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(40), Publisher(bootstrap, topic_prefix, CODEC) as publisher:
            assert example.stdout
            reading = asyncio.create_task(example.stdout.readline())
            while not reading.done():  # the example reads from now on: what came before it was there is not for it
                await (await publisher.send(DEFECTS, defect, key=b"p1/l1/s1", partition=0))
                await asyncio.wait({reading}, timeout=1)
        assert reading.result().startswith(b"4711 NG")
    finally:
        example.kill()
        await example.wait()
