"""Faults that the quick selection (`tests/faults/test_chaos.py`) leaves to this one."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.chaos.fault import Fault, Size, one_after_the_other
from streams.chaos.runner import ground, run_fault
from tests.faults.test_chaos import QUICK_STARTS, RATE_PER_S, SLOW_MACHINE, holds


@pytest.mark.timeout(600)
async def test_every_promise_holds_through_an_outage_wrong_clocks_and_compressed_batches(tmp_path: Path) -> None:
    harm = one_after_the_other("broker-stop-5", "frame-clocks", "compressed")
    async with ground(tmp_path, size=Size.QUICK, rate_per_s=RATE_PER_S) as made:
        outcome = await run_fault(made, Fault("more", "", harm, SLOW_MACHINE, settings=QUICK_STARTS))
    holds(outcome)
    assert outcome.recovery_s is not None
