"""The watchdog ends the process when work waits and nothing completes, and only then."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from streams.inspection.watchdog import EXIT_STATUS, Fenced, Watchdog

STALL_S = 0.2


class Dead:
    """Stands for end_process and waits for it."""

    def __init__(self) -> None:
        self.whys: list[str] = []
        self._called = threading.Event()

    def __call__(self, why: str) -> None:
        self.whys.append(why)
        self._called.set()

    def within(self, seconds: float) -> bool:
        return self._called.wait(seconds)


def test_work_that_waits_without_progress_ends_the_process() -> None:
    dead = Dead()
    Watchdog(lambda: True, STALL_S, dead).start()
    assert dead.within(20 * STALL_S)
    assert dead.whys == ["frames wait and none completed for 0.2 s"]


def test_progress_keeps_the_process_alive() -> None:
    dead = Dead()
    dog = Watchdog(lambda: True, STALL_S, dead)
    dog.start()
    end = time.monotonic() + 4 * STALL_S
    while time.monotonic() < end:
        dog.progressed()
        time.sleep(STALL_S / 20)
    assert not dead.whys
    assert dead.within(20 * STALL_S), "and without it no longer"


def test_a_worker_with_nothing_to_do_lives_on_and_its_idle_time_does_not_count() -> None:
    """
    outstanding   no ──────────────── yes ──▶
    ends                                  not before a whole stall time has gone by
    """
    dead, outstanding = Dead(), threading.Event()
    Watchdog(outstanding.is_set, STALL_S, dead).start()
    assert not dead.within(3 * STALL_S)
    began = time.monotonic()
    outstanding.set()
    assert dead.within(20 * STALL_S)
    assert time.monotonic() - began > STALL_S / 2


def test_time_between_making_and_starting_does_not_count() -> None:
    dead = Dead()
    dog = Watchdog(lambda: True, 1.0, dead)
    dog._last_progress -= 60
    dog.start()
    assert not dead.within(0.6)
    dog.stop()


def test_a_stopped_watchdog_ends_nothing() -> None:
    dead = Dead()
    dog = Watchdog(lambda: True, STALL_S, dead)
    dog.start()
    dog.stop()
    assert not dead.within(3 * STALL_S)


def test_it_ends_a_process_whose_event_loop_hangs() -> None:
    """The real thing in a process of its own: the loop never runs again, and exit handlers don't either."""
    program = (
        "import atexit, time\n"
        "from streams.inspection.watchdog import Watchdog\n"
        "atexit.register(lambda: print('drained'))\n"
        "Watchdog(lambda: True, 0.1).start()\n"
        "time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == EXIT_STATUS
    assert "frames under way will be delivered again" in done.stderr
    assert "drained" not in done.stdout


FROZEN = """
import sys, time
from streams.inspection.watchdog import Watchdog
dog = Watchdog(lambda: False, 60, standstill_s=1.0)
dog.start()
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def test_a_process_that_stood_still_for_a_session_ends_itself_when_it_goes_on() -> None:
    """
    process   runs ── SIGSTOP ······ 1.6 s ······ SIGCONT ─ ends
    """
    running = subprocess.Popen([sys.executable, "-c", FROZEN], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        time.sleep(0.6)
        os.kill(running.pid, signal.SIGSTOP)
        time.sleep(0.3)
        os.kill(running.pid, signal.SIGCONT)
        time.sleep(0.6)
        assert running.poll() is None, "a short pause is no harm"
        os.kill(running.pid, signal.SIGSTOP)
        time.sleep(1.6)
        os.kill(running.pid, signal.SIGCONT)
        _, said = running.communicate(timeout=10)
        assert running.returncode == EXIT_STATUS
        assert b"stood still" in said
    finally:
        running.kill()


class Sent:
    """A sender that counts."""

    def __init__(self) -> None:
        self.count = 0

    async def send(self, *_: object, **__: object) -> asyncio.Future[None]:
        self.count += 1
        return asyncio.get_running_loop().create_future()


async def test_nothing_is_sent_after_a_standstill_that_nobody_has_noticed_yet() -> None:
    def die(why: str) -> None:
        raise SystemExit(why)

    dog, sent = Watchdog(lambda: False, 60, die, standstill_s=0.2), Sent()
    fenced = Fenced(sent, dog.check_standstill)
    await fenced.send(None, None, key=b"k")  # type: ignore[arg-type]  # before it watches
    dog._looked_at = time.monotonic() - 0.1
    await fenced.send(None, None, key=b"k")  # type: ignore[arg-type]
    dog._looked_at = time.monotonic() - 0.3
    with pytest.raises(SystemExit, match="stood still"):
        await fenced.send(None, None, key=b"k")  # type: ignore[arg-type]
    assert sent.count == 2
