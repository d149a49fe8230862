"""Runs faults one after the other on one broker, and gives an outcome for each.

Place in the flow: behind `lineside chaos` and the tests. It brings the ground (an embedded Kafka at a fixed address, so
that it can come back there; a model), the load around each fault, and the judgement. Decides nothing itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

from streams.bus.embedded import BrokerConfig, EmbeddedBroker
from streams.chaos.fault import Fault, Size
from streams.chaos.judgement import Outcome, judge
from streams.chaos.stage import Ground, Stage

log = logging.getLogger(__name__)
Say = Callable[[str], None]
HEAP_MB = 512


@contextlib.asynccontextmanager
async def ground(
    folder: Path,
    model_dir: Path | None = None,
    size: Size = Size.NORMAL,
    rate_per_s: float = 150.0,
    workers: int = 0,
    few_rejects: bool = False,
) -> AsyncIterator[Ground]:
    """A broker of its own in `folder`, and a model: the one given, else a tiny one of random weights.

    It rejects or asks about half of the parts, so that every outcome occurs; with `few_rejects` a tenth, as on a line.
    """
    if model_dir is None:
        from models.artifact import save_artifact  # torch is seconds of start-up
        from models.tiny import tiny_artifact

        model_dir = folder / "model"
        made = tiny_artifact(threshold=0.8, unsure_band=0.02) if few_rejects else tiny_artifact()
        await asyncio.to_thread(save_artifact, made, model_dir)
    broker = EmbeddedBroker(BrokerConfig(folder / "broker", heap_mb=HEAP_MB))
    try:
        await asyncio.to_thread(broker.start)
        stay_at_its_address(broker)
        yield Ground(broker, folder, model_dir, size, rate_per_s, workers)
    finally:
        await asyncio.to_thread(broker.stop)


def stay_at_its_address(broker: EmbeddedBroker) -> None:
    """From now on the broker starts again at the ports that it has."""
    port = int(broker.bootstrap_servers.rpartition(":")[2])
    broker.config = BrokerConfig(broker.config.data_dir, port, broker.config.controller_port, broker.config.heap_mb)


async def run_fault(shared: Ground, fault: Fault) -> Outcome:
    """One fault under load, judged. What could not even be run is a failed outcome with the reason."""
    started = time.monotonic()
    try:
        if not shared.broker.is_running:  # the fault before could not bring it back
            await asyncio.to_thread(shared.broker.start)
        async with Stage(shared, fault) as stage:
            await stage.load_on()
            await fault.cause(stage)
            await stage.recovered()
            await stage.drained()
            found, evidence = await stage.read(), await stage.evidence()
            outcome = judge(fault.name, fault.limits, found, evidence)
            log.info("%s", outcome.to_json())
            for mark in evidence.marks:
                log.info("seconds by partition: %s", found.waits_s(mark))
            return outcome
    except Exception as error:  # of this fault alone: the others are still to be run
        log.exception("%s could not be run", fault.name)
        return _not_run(fault, f"{type(error).__name__}: {error}", time.monotonic() - started)


def _not_run(fault: Fault, why: str, took_s: float) -> Outcome:
    return Outcome(fault.name, 0, 0, 0, 0, 0, 0, None, 0.0, 0, took_s, (f"it could not be run: {why}",))


async def run_all(shared: Ground, faults: Sequence[Fault], say: Say, outcomes: list[Outcome]) -> None:
    """Every fault, each told as it begins and ends. `outcomes` grows as they end, whatever ends the run."""
    for number, fault in enumerate(faults, 1):
        say(f"[{number}/{len(faults)}] {fault.name}: {fault.help}")
        outcomes.append(await run_fault(shared, fault))
        problems = "; ".join(outcomes[-1].problems)
        say(f"    {'pass' if outcomes[-1].passed else f'FAIL: {problems}'} ({outcomes[-1].took_s:.0f} s)")


@contextlib.contextmanager
def logs_in(folder: Path) -> Iterator[Path]:
    """Everything that is logged meanwhile goes to `chaos.log` there: a broker that is away is no news here."""
    handler = logging.FileHandler(folder / "chaos.log")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-8s %(name)s: %(message)s"))
    root = logging.getLogger()
    before, root.handlers = root.handlers, [handler]
    try:
        yield folder / "chaos.log"
    finally:
        root.handlers = before
        handler.close()


def forget(folder: Path) -> None:
    """Remove what a run that passed has left."""
    shutil.rmtree(folder, ignore_errors=True)
