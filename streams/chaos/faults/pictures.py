"""Pictures that harm whoever looks at them, and an engine that fails: the workers run sabotaged (`sabotage.py`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from schemas.records import Reason
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.chaos.fault import Size, fault
from streams.chaos.load import SIDE, pictures
from streams.chaos.sabotage import sabotaged
from streams.chaos.stage import Stage
from streams.chaos.stations import stations
from streams.topics import FRAMES

SABOTAGED = "streams.chaos.sabotage"
LIVES = 2  # of workers that a picture may cost; then it is tried alone
ENDS_S = 60.0
LIMIT_S = 4.0


async def send_harm(stage: Stage, harms: Sequence[str]) -> int:
    """One picture of each harm, all of one station; its partition."""
    station, settings = stations(stage.settings.partitions, shared=0, prefix="x")[0], stage.settings
    async with Publisher(settings.bootstrap, settings.topic_prefix, codec_for(settings)) as publisher:
        for harm, picture in zip(harms, pictures(len(harms)), strict=True):
            frame = station.frame(sabotaged(picture, harm), SIDE, datetime.now(UTC))
            await publisher.send(FRAMES, frame, key=station.key)
    return station.partition


async def refusals(stage: Stage) -> Counter[Reason]:
    """Dead letters so far, by reason."""
    letters = (letter for log in (await stage.read()).letters.values() for _, letter in log)
    return Counter(letter.reason for letter in letters)


async def refused_as(stage: Stage, reasons: Sequence[Reason], before: Counter[Reason]) -> None:
    """Nothing but the harmful pictures is refused, each for its reason."""
    await stage.until_letters(len(reasons))
    came = await refusals(stage) - before
    stage.expect(came == Counter(reasons), f"refused for {dict(came)}, expected {dict(Counter(reasons))}")


async def costs_two_lives(stage: Stage, harm: str, reason: Reason) -> None:
    """A picture that ends two workers is a dead letter the third time; recovery counts from the second end."""

    def ends() -> int:
        return sum(worker.restarts for worker in stage.workers)

    refused, enough = await refusals(stage), ends() + LIVES
    partition = await send_harm(stage, [harm])
    await stage.until(lambda: ends() >= enough, f"workers did not end {LIVES} times", ENDS_S)
    stage.cause_ended([partition])
    await refused_as(stage, [reason], refused)
    stage.expect(ends() == enough, f"workers ended {ends() - enough + LIVES} times; expected {LIVES}")


@fault("deadly-picture", "a picture that ends the process that decodes it (SIGSEGV)", module=SABOTAGED, size=Size.QUICK)
async def deadly_picture(stage: Stage) -> None:
    await costs_two_lives(stage, "decode-exit", Reason.DECODE_CRASHED)


@fault(
    "endless-picture",
    f"a picture that hangs its decoder, with a limit of {LIMIT_S:g} s",
    module=SABOTAGED,
    settings={"decode_timeout_s": LIMIT_S, "alone_timeout_s": LIMIT_S},
)
async def endless_picture(stage: Stage) -> None:
    await costs_two_lives(stage, "decode-hang", Reason.DECODE_CRASHED)


@fault(
    "engine-hangs",
    f"an engine that never answers for one picture, with a limit of {LIMIT_S:g} s",
    module=SABOTAGED,
    settings={"infer_timeout_s": LIMIT_S, "alone_timeout_s": LIMIT_S},
)
async def engine_hangs(stage: Stage) -> None:
    await costs_two_lives(stage, "engine-hang", Reason.ENGINE_FAILED)


@fault("engine-killed", "an engine that runs out of memory at one picture: the process gets SIGKILL", module=SABOTAGED)
async def engine_killed(stage: Stage) -> None:
    await costs_two_lives(stage, "engine-exit", Reason.ENGINE_FAILED)


@fault("engine-lost", "an engine that says at one picture that its device is lost", module=SABOTAGED)
async def engine_lost(stage: Stage) -> None:
    await costs_two_lives(stage, "engine-lost", Reason.ENGINE_FAILED)


@fault(
    "engine-errors",
    "an engine that raises once, always for one picture, returns NaN, has no memory; a decoder that raises",
    module=SABOTAGED,
    size=Size.QUICK,
)
async def engine_errors(stage: Stage) -> None:
    harms = ("engine-raise-once", "engine-raise", "engine-nan", "engine-memory", "decode-raise")
    refused = await refusals(stage)
    partition = await send_harm(stage, harms)
    stage.cause_ended([partition])
    reasons = (Reason.ENGINE_FAILED, Reason.NON_FINITE, Reason.ENGINE_FAILED, Reason.DECODE_CRASHED)
    await refused_as(stage, reasons, refused)
    stage.expect(not any(worker.restarts for worker in stage.workers), "a worker ended")
