"""The watchdog ends the process when work waits and nothing completes, and only then."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

from streams.inspection.watchdog import EXIT_STATUS, Watchdog

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
