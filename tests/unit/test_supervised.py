"""Supervised processes: when they are started again, and when whoever started them is told instead."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from streams.commands import children
from streams.commands.children import Child, run_module
from streams.errors import OperatorError

PROGRAM = """
import pathlib, sys, time
status, ready_file = sys.argv[1], pathlib.Path(sys.argv[sys.argv.index("--ready-file") + 1])
if pathlib.Path("refuse").exists() or status == "never":
    sys.exit("Kafka is away") if status == "never" else (print("Kafka is away"), sys.exit(2))
ready_file.touch()
while not pathlib.Path("end").exists():
    time.sleep(0.01)
pathlib.Path("end").unlink()
sys.exit(int(status))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(children, "FIRST_PAUSE_S", 0.05)
    return tmp_path


def child(folder: Path, status: str) -> Child:
    paths = {"PYTHONPATH": str(folder)}
    return Child([status], paths, folder / "log", folder / "ready", program=run_module("program"))


async def until(condition: object) -> None:
    async with asyncio.timeout(20):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.01)


async def test_one_that_was_ready_is_started_again_although_the_world_refuses_it_for_a_while(folder: Path) -> None:
    program = child(folder, "70")
    await program.start()
    (folder / "refuse").touch()  # exit status 2 from now on, as of a worker while Kafka is away
    (folder / "end").touch()
    await until(lambda: program.restarts >= 3)
    (folder / "refuse").unlink()
    await until(lambda: program.is_ready)
    await program.stop()
    assert not program.is_running


async def test_one_that_is_killed_is_started_again(folder: Path) -> None:
    program = child(folder, "0")
    await program.start()
    first = program.pid
    program.send_signal(signal.SIGKILL)
    await until(lambda: program.pid != first and program.is_ready)
    await program.stop()


async def test_one_that_was_never_ready_says_why(folder: Path) -> None:
    with pytest.raises(OperatorError, match="Kafka is away"):
        await child(folder, "never").start()


async def test_more_are_watched_than_the_pool_has_threads(folder: Path) -> None:
    count = (os.cpu_count() or 1) + 6
    paths = {"PYTHONPATH": str(folder)}
    programs = [
        Child(["0"], paths, folder / "log", folder / f"{n}", program=run_module("program")) for n in range(count)
    ]
    await asyncio.gather(*(program.start() for program in programs))
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(lambda: "still answers") == "still answers"
    programs[-1].send_signal(signal.SIGKILL)
    await until(lambda: programs[-1].restarts == 1 and programs[-1].is_ready)
    await asyncio.gather(*(program.stop() for program in programs))
