"""A quick selection of `lineside chaos`: real Kafka, real workers, seconds of load a fault, every promise measured.

What these can find is shown in tests/unit/test_chaos_ledger.py, where each promise is broken by hand.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from streams.chaos.fault import FAULTS, Fault, Limits, Size, all_faults, one_after_the_other
from streams.chaos.faults.pictures import SABOTAGED
from streams.chaos.judgement import Outcome
from streams.chaos.runner import ground, logs_in, run_fault
from streams.chaos.stage import Ground, Stage

RATE_PER_S = 40.0
SLOW_MACHINE = Limits(recovery_s=120)  # `lineside chaos` holds each fault to its own limit
WATCHERS_S = 20  # who watches Kafka and the workers looks twice a second whether they are still there, then ends
QUICK_STARTS = {"max_batch": 4}  # every size of batch costs a worker a part of a second when it starts
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Ground]:
    """A broker of its own: it is stopped and killed here."""
    folder = tmp_path_factory.mktemp("chaos")
    with logs_in(folder):
        async with ground(folder, size=Size.QUICK, rate_per_s=RATE_PER_S) as made:
            yield made


def holds(outcome: Outcome) -> None:
    counts = (outcome.lost, outcome.contradictions, outcome.order_breaks, outcome.promise_1_breaks)
    assert outcome.problems == ()
    assert counts == (0, 0, 0, 0)
    assert outcome.frames > 5 * RATE_PER_S


@pytest.mark.timeout(600)  # a minute on a machine that is not shared
async def test_every_promise_holds_through_a_kill_and_a_zombie(shared: Ground) -> None:
    harm = one_after_the_other("kill-worker", "freeze")
    outcome = await run_fault(shared, Fault("harm", "", harm, SLOW_MACHINE, settings=QUICK_STARTS))
    holds(outcome)
    assert outcome.recovery_s is not None
    assert outcome.restarts >= 2, "one killed, one frozen"


async def bad_input_then_refusals_and_kills(stage: Stage) -> None:
    await one_after_the_other("poison", "transactions")(stage)
    stage.expect((await stage.read()).duplicates() == 0, "copies appeared although nothing had failed")
    await one_after_the_other("deadly-picture", "verdicts-refused")(stage)
    for program in stage.downstream.values():
        gone = program.pid
        program.send_signal(signal.SIGKILL)
        await stage.until(lambda p=program, g=gone: p.pid != g and p.is_ready, f"{program} did not come back")


@pytest.mark.timeout(600)
async def test_every_promise_holds_among_bad_input_and_refusals_and_what_works_downstream_is_complete(
    shared: Ground,
) -> None:
    options = {"workers": 1, "downstream": ("parts", "statistics"), "settings": QUICK_STARTS, "module": SABOTAGED}
    outcome = await run_fault(shared, Fault("bad", "", bad_input_then_refusals_and_kills, SLOW_MACHINE, **options))
    holds(outcome)
    assert outcome.restarts >= 4, "ended twice by a picture, refused, and refused again when it started"


@pytest.mark.asyncio(loop_scope="function")
async def test_ctrl_c_leaves_nothing_running(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "streams.cli", "chaos", "calm", "--data-dir", str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LINESIDE_")}
    running = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("chaos/*/calm/logs/*.log")) and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.1)
        begun = psutil.Process(running.pid).children(recursive=True)
        assert len(begun) >= 2, "a broker and a worker"
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
        assert running.returncode == 130, "as for any program that Ctrl-C ends"
        assert b"Traceback" not in said
        _, left = psutil.wait_procs(begun, timeout=WATCHERS_S)
        assert not left
    finally:
        running.kill()


async def test_every_fault_has_a_name_and_a_line_of_help() -> None:
    assert len(all_faults()) >= 20
    assert FAULTS.keys() == all_faults().keys()
    assert all(found.help and found.limits.recovery_s <= 30 for found in all_faults().values())
