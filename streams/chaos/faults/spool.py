"""A real gateway that is killed, and one whose broker goes away: its spool holds what comes meanwhile, in order."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import defaultdict

from streams.chaos.fault import Size, fault
from streams.chaos.programs import OneShot
from streams.chaos.stage import Stage

PLANT, LINES = "spooled", 6
SOURCE = [
    "gateway",
    "--source",
    "synthetic",
    "--plant",
    PLANT,
    "--lines",
    str(LINES),
    "--rate",
    "60",
    "--distinct",
    "16",
]
AWAY_S = 10.0
KILLS = 3
SMALL_SPOOL_BYTES = 300_000
REFUSED_STATUS = 1
DRAINED_S = 30.0  # a gateway that stops sends what it holds


async def capture(stage: Stage, name: str, **environment: str) -> OneShot:
    """A gateway at work: each of its lines has a verdict."""
    await stage.until_read(lambda found: not found.lost(), "not every frame of before was decided")
    before = decided(stage)
    gateway = stage.programs.once(name, [*SOURCE, "--json"], environment=environment)
    await stage.until_read(lambda _: decided(stage) > before + 2 * LINES, f"{name} sends nothing")
    return gateway


def decided(stage: Stage) -> int:
    """Effective verdicts of its frames."""
    return sum(verdict.plant == PLANT for verdict in stage.results.effective())


def missing_triggers(stage: Stage) -> int:
    """Numbers below the highest of each camera that no verdict has."""
    seen: dict[str, set[int]] = defaultdict(set)
    for verdict in stage.results.effective():
        if verdict.plant == PLANT:
            seen[verdict.line].add(verdict.trigger_seq)
    return sum(max(numbers) - len(numbers) for numbers in seen.values())


async def all_decided(stage: Stage, gateway: OneShot, status: int = 0) -> int:
    """Ends the gateway; when all that it confirmed is decided, how many it refused."""
    came = await gateway.stop(timeout_s=DRAINED_S)
    stage.expect(came == status, f"the gateway ended with status {came}, expected {status}: {gateway.output()[-300:]}")
    said = [line for line in gateway.output().splitlines() if line.startswith("{")]
    if not said:
        stage.expect(False, "the gateway gave no counts")
        return 0
    counts = json.loads(said[-1])
    stage.expect(counts["waiting"] == 0, f"{counts['waiting']} frames are left in the spool")
    await stage.until_read(lambda found: not found.lost(), "not every frame was decided")
    return int(counts["refused"])


async def away(stage: Stage, seconds: float = AWAY_S) -> None:
    """Kafka is stopped for a while."""
    await asyncio.to_thread(stage.broker.stop)
    await asyncio.sleep(seconds)
    await asyncio.to_thread(stage.broker.start)
    stage.cause_ended(stage.busy_partitions)


@fault(
    "gateway-spool",
    f"Kafka stopped for {AWAY_S:g} s under a real gateway: not one trigger is missing",
    rate=0,
    size=Size.QUICK,
)
async def gateway_spool(stage: Stage) -> None:
    gateway = await capture(stage, "gateway")
    await away(stage)
    await stage.recovered()
    await stage.load_on()
    refused = await all_decided(stage, gateway)
    stage.expect("go to the spool" in gateway.output(), "the gateway did not say that it spools")
    stage.expect(refused == 0 and missing_triggers(stage) == 0, f"{missing_triggers(stage)} triggers are missing")


@fault("gateway-kill", "SIGKILL of a real gateway again and again; what it had taken over is sent", rate=0)
async def gateway_kill(stage: Stage) -> None:
    for number in range(KILLS):
        gateway = await capture(stage, f"gateway-{number}")
        await stage.load_on(2)
        await gateway.stop(signal.SIGKILL)
        stage.cause_ended(stage.busy_partitions)
    refused = await all_decided(stage, await capture(stage, "gateway-last"))
    stage.expect(refused == 0, f"{refused} frames were refused")
    stage.note(
        f"{missing_triggers(stage)} triggers that nobody had taken over were lost with the process, and show as gaps"
    )


@fault(
    "gateway-kill-spooling",
    "SIGKILL of a gateway while Kafka is away: what the disk had is sent at the next start",
    rate=0,
)
async def gateway_kill_spooling(stage: Stage) -> None:
    gateway = await capture(stage, "gateway-0")
    await asyncio.to_thread(stage.broker.stop)
    await asyncio.sleep(AWAY_S / 2)
    await gateway.stop(signal.SIGKILL)
    again = stage.programs.once("gateway-1", [*SOURCE, "--json"])
    await asyncio.sleep(AWAY_S / 2)
    await asyncio.to_thread(stage.broker.start)
    stage.cause_ended(stage.busy_partitions)
    await stage.recovered()
    await stage.load_on()
    stage.expect(await all_decided(stage, again) == 0, "frames were refused")
    stage.expect(
        missing_triggers(stage) < 60, f"{missing_triggers(stage)} triggers are missing: more than were in hand"
    )
    stage.note(f"{missing_triggers(stage)} triggers were in hand at the kill")


@fault(
    "spool-full", "a spool that is full while Kafka is away: refused loudly, counted, shown as missing triggers", rate=0
)
async def spool_full(stage: Stage) -> None:
    gateway = await capture(stage, "gateway", LINESIDE_SPOOL_MAX_BYTES=str(SMALL_SPOOL_BYTES))
    await away(stage)
    await stage.recovered()
    await stage.load_on()
    refused = await all_decided(stage, gateway, REFUSED_STATUS)
    stage.expect("are refused" in gateway.output(), "the gateway did not say that it refuses")
    stage.expect(
        0 < refused == missing_triggers(stage), f"{refused} refused, {missing_triggers(stage)} triggers missing"
    )
