"""Work in a session of its own: signals and the exit status pass through, nothing outlives the caller's process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

AUTOGROUP = Path("/proc/self/autogroup")
BEGIN = "import os, sys, time, signal; from streams.commands.yielding import *; in_a_session_of_its_own(); "
SAY = "print(os.getpid(), os.getppid(), os.getsid(0) == os.getpid(), flush=True); "
needs_autogroup = pytest.mark.skipif(not AUTOGROUP.exists(), reason="this Linux shares processor time by process")


def started(program: str) -> tuple[subprocess.Popen[str], list[str]]:
    """A program that says three words first."""
    process = subprocess.Popen([sys.executable, "-c", BEGIN + SAY + program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said, _ = process.communicate(timeout=20)
    return process.returncode, said


@needs_autogroup
def test_the_work_leads_a_session_below_the_callers_process_which_ends_as_it_ends() -> None:
    process, (child, parent, leads) = started("sys.exit(7)")
    assert (int(parent), leads) == (process.pid, "True")
    assert int(child) != process.pid
    assert ended(process) == (7, "")


@needs_autogroup
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_what_asks_to_stop_is_handed_on(number: signal.Signals) -> None:
    handler = f"signal.signal({int(number)}, lambda *_: (print('drained'), sys.exit(3))); print('.', flush=True); "
    process, _ = started(handler + "time.sleep(20)")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    assert ended(process) == (3, "drained\n")


@needs_autogroup
def test_a_child_that_a_signal_ends_gives_the_status_that_shells_give() -> None:
    process, _ = started("os.kill(os.getpid(), signal.SIGKILL)")
    assert ended(process) == (128 + signal.SIGKILL, "")


@needs_autogroup
def test_a_killed_caller_takes_the_work_with_it() -> None:
    process, (child, *_) = started("time.sleep(60)")
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="priorities are those of Linux")
def test_the_lowest_priority_is_that_of_the_session_only_where_it_is_its_own() -> None:
    say = "yield_to_the_line(); print(os.sched_getscheduler(0) == os.SCHED_IDLE, open('/proc/self/autogroup').read())"
    before = AUTOGROUP.read_text() if AUTOGROUP.exists() else ""
    shared = "import os; from streams.commands.yielding import *; " + say
    assert subprocess.check_output([sys.executable, "-c", shared], text=True).startswith("True")
    assert (AUTOGROUP.read_text() if AUTOGROUP.exists() else "") == before
    if before:
        process, _ = started(say)
        idle, group, nice = ended(process)[1].split(maxsplit=2)
        assert (idle, nice.strip()) == ("True", "nice 19")
        assert group != before.split()[0]


def test_who_leads_a_session_already_stays_where_it_is() -> None:
    said = subprocess.check_output(
        [sys.executable, "-c", BEGIN + "print(os.getppid())"], text=True, start_new_session=True
    )
    assert int(said) == os.getpid()
