"""`lineside topics --grow N`: puts a growth together, shows its steps, and gives its figures."""

from __future__ import annotations

import dataclasses
import getpass
import json

from streams.bus.control import ControlReader
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.commands.ui import Ui
from streams.growth.gateways import Pause
from streams.growth.growth import Growth, Report
from streams.growth.kafka_ground import kafka_ground
from streams.settings import Settings
from streams.topics import GATES


async def grow_topics(settings: Settings, target: int, timeout_s: float, as_json: bool) -> None:
    """Grows, or raises CallerError or OperatorError."""
    ui = Ui()
    report = await grown(settings, target, timeout_s, ui)
    if as_json:
        print(json.dumps(dataclasses.asdict(report), indent=2))
        return
    for key, partitions in report.moved_keys.items():
        ui.say(f"{key} has frames in partitions {partitions}: their order is not kept (frames grew behind our back)")
    done = f"{len(report.grown)} topics have grown" if report.grown else "nothing was to be done"
    print(f"{done}: all have {target} partitions. Set {report.setting} everywhere.")


async def grown(settings: Settings, target: int, timeout_s: float, ui: Ui) -> Report:
    codec = codec_for(settings)
    async with (
        Publisher(settings.bootstrap, settings.topic_prefix, codec) as publisher,
        kafka_ground(settings, publisher, getpass.getuser()) as ground,
    ):
        pause = Pause(ground)
        async with ControlReader(settings, codec, GATES, pause.take) as signals:
            await signals.caught_up()
            return await Growth(ground, pause, ui.say, timeout_s).run(target)
