"""No harm at all: what every other row is compared with."""

from __future__ import annotations

from streams.chaos.fault import Size, fault
from streams.chaos.stage import Stage


@fault("calm", "nothing happens; not one copy may appear", duplicates=0, wait_s=10, size=Size.QUICK)
async def calm(stage: Stage) -> None:
    stage.cause_ended()
    await stage.load_on()
