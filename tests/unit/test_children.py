"""Programs under supervision: what ends or hangs comes back, with its last words in the log. Real processes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from streams.commands import children
from streams.commands.asking import free_port
from streams.commands.children import RESTARTS, Child
from streams.commands.health import show_health
from streams.commands.patience import PatienceLimits
from streams.errors import CallerError, OperatorError
from streams.settings import Settings

PROGRAM = """
import asyncio, sys
from pathlib import Path
from streams.health import Work
from streams.monitor import monitored
from streams.settings import load_settings

async def main():
    async with monitored(load_settings(), sys.argv[1]) as monitor:
        if sys.argv[1] == "stuck":
            monitor.watch(lambda: Work(lag=7))
        print("the last thing it said", flush=True)
        Path(sys.argv[-1]).touch()
        await asyncio.sleep(600)

asyncio.run(main())
"""
PATIENT, QUICK = PatienceLimits(start_s=30.0), PatienceLimits(start_s=30.0, silent_s=0.5)


@asynccontextmanager
async def running(tmp_path: Path, name: str, program: str = PROGRAM) -> AsyncIterator[Child]:
    environment = {"LINESIDE_STALL_TIMEOUT_S": "0.5"} if name == "stuck" else {}
    limits = QUICK if name == "hung" else PATIENT
    command = (sys.executable, "-c", program)
    child = Child([name], environment, tmp_path / "a.log", tmp_path / "a.ready", limits=limits, program=command)
    await child.start()
    try:
        yield child
    finally:
        await child.stop(2.0)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "LOOK_S", 0.2)
    monkeypatch.setattr(children, "END_GRACE_S", 0.5)


async def test_what_is_killed_comes_back_and_is_counted_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = RESTARTS.labels("killed")._value.get()
    async with running(tmp_path, "killed") as child:
        first, first_port = child.pid, child.health_port
        assert first
        with caplog.at_level(logging.WARNING):
            os.kill(first, signal.SIGKILL)
            await until(lambda: child.pid != first)
        assert (child.restarts, RESTARTS.labels("killed")._value.get() - before) == (1, 1)
        assert child.health_port != first_port
    assert "ended with status -9, restart 1 in 0.5 s; it said last: the last thing it said" in caplog.text


async def test_one_that_hangs_is_ended_and_comes_back(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running(tmp_path, "hung") as child:
        first = child.pid
        assert first
        os.kill(first, signal.SIGSTOP)  # it takes no SIGTERM either
        await until(lambda: child.pid != first)
    assert "it has not answered for" in caplog.text


async def test_one_that_is_alive_but_completes_nothing_is_ended_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(tmp_path, "stuck") as child:
        first = child.pid
        await until(lambda: child.pid != first)
    assert "something waits for it and it completes nothing" in caplog.text


async def test_one_that_is_well_is_left_alone(tmp_path: Path) -> None:
    async with running(tmp_path, "well") as child:
        (tmp_path / "logs").symlink_to(tmp_path)
        settings = Settings(data_dir=tmp_path)
        assert await asyncio.to_thread(show_health, settings, [], True)
        assert not await asyncio.to_thread(show_health, settings, [free_port()], True)
        await asyncio.sleep(2.0)
        assert child.restarts == 0
    with pytest.raises(CallerError, match="no program of `lineside up` is known"):
        show_health(settings, [], True)


async def test_one_that_ends_before_it_is_ready_says_why(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="status 2 before it was ready: no such model"):
        async with running(tmp_path, "wrong", "import sys; print('no such model'); sys.exit(2)"):
            pass


async def test_an_exit_as_for_a_mistake_after_it_was_once_at_work_does_not_keep_it_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that has just come back may not know its topics yet: that looks like the caller's mistake."""
    monkeypatch.setattr(children, "LONGEST_PAUSE_S", 0.3)
    flaw = f"import os, sys; os.path.exists({str(tmp_path / 'broken')!r}) and sys.exit(2)\n"
    async with running(tmp_path, "flawed", flaw + PROGRAM) as child:
        (tmp_path / "broken").touch()
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        await until(lambda: child.restarts >= 3)
        (tmp_path / "broken").unlink()
        restarts = child.restarts
        await until(lambda: (tmp_path / "a.ready").exists())
        assert child.restarts <= restarts + 2
