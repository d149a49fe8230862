"""Two gateways that claim to drive the same camera."""

from __future__ import annotations

import asyncio

from streams.chaos.fault import fault
from streams.chaos.stage import Stage

FRAMES_EACH = 60
SOURCE = ["gateway", "--source", "synthetic", "--plant", "twins", "--rate", "20", "--distinct", "8"]


@fault("twin-gateways", "two gateways with one camera: refused on one machine, harmless from two")
async def twin_gateways(stage: Stage) -> None:
    first = stage.programs.once("gateway-1", [*SOURCE, "--frames", "400"])
    await asyncio.sleep(0.2)
    second = stage.programs.once("gateway-2", [*SOURCE, "--frames", "400"])
    one, two = asyncio.create_task(first.wait()), asyncio.create_task(second.wait())
    done, _ = await asyncio.wait((one, two), return_when=asyncio.FIRST_COMPLETED, timeout=60)
    loser = second if two in done else first
    stage.expect(done and done.pop().result() == 2, f"neither was refused: {loser.output()[-300:]}")
    stage.expect("by another gateway process" in loser.output(), f"it did not say why: {loser.output()[-300:]}")
    await asyncio.gather(first.stop(), second.stop())

    elsewhere = [stage.settings.data_dir / f"machine-{number}" for number in (1, 2)]
    twins = [
        stage.programs.once(folder.name, [*SOURCE, "--line", "twins", "--frames", str(FRAMES_EACH)], folder)
        for folder in elsewhere
    ]
    for twin in twins:
        stage.expect(await twin.wait() == 0, f"a gateway of two machines failed: {twin.output()[-300:]}")
    stage.cause_ended()
    await stage.until_read(
        lambda found: sum(v.plant == "twins" for v in found.effective()) >= 2 * FRAMES_EACH,
        "both gateways' frames have no verdict",
    )
