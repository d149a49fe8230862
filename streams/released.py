"""Released models in a worker: the topic `models` read, the keeper at work, and alarms about what can't be loaded.

Place in the flow: put together by `app.py`. Which models to hold, and how they come, `model_keeper.py` knows; where a
picture is tried alone, the quarantine.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from schemas.codec import Codec
from schemas.records import AlarmRaised
from streams.bus.control import ControlReader
from streams.bus.present import present
from streams.bus.publisher import Publisher
from streams.errors import LinesideError
from streams.inspection.alone import Alone, ChildModel
from streams.inspection.engine_room import EngineRoom, ServingModel
from streams.inspection.model_alarms import ModelAlarms
from streams.inspection.model_variants import asked_by
from streams.inspection.quarantine import Quarantine
from streams.inspection.recipes import RecipeBook
from streams.model_keeper import ModelKeeper, Sources
from streams.settings import Settings
from streams.topics import ALARMS, MODELS

log = logging.getLogger(__name__)


class ReleasedModels:
    """Of one worker; `rooms` holds the models that it was started with, and gets the others."""

    def __init__(
        self,
        settings: Settings,
        codec: Codec,
        publisher: Publisher,
        recipes: RecipeBook,
        rooms: dict[str, EngineRoom],
        make_room: Callable[[ServingModel], EngineRoom],
        sources: Sources,
        alone: Alone | None,
        quarantine: Quarantine,
    ) -> None:
        """With `alone`, pictures of these models are tried alone too."""
        self._settings, self._codec = settings, codec
        self._publisher, self._recipes, self._make_room = publisher, recipes, make_room
        self._alone, self._quarantine = alone, quarantine
        self._alarms, self._telling = ModelAlarms(socket.gethostname()), set[asyncio.Task[None]]()
        self._keeper = ModelKeeper(
            rooms, self._room, recipes, sources, settings.models_max_bytes, self._state, self._forget
        )
        self.look, self.close = self._keeper.look, self._keeper.close
        self.reader = ControlReader(settings, codec, MODELS, self._keeper.take)

    async def ready(self) -> None:
        """Every released model that is in force is loaded, or could not be; ask once both topics were read."""
        async for event in present(self._settings, ALARMS, codec=self._codec):
            self._alarms.stand(event.record)
        for name in self._alarms.open:
            self._keeper.failed_before(name)
        await self._keeper.ready()

    async def run(self) -> None:
        """The others are loaded while frames come; for as long as it runs."""
        await self._keeper.run()

    def _room(self, name: str, model: ServingModel, directory: Path) -> EngineRoom:
        if self._alone:
            engine = model.engine
            self._alone.know(ChildModel(model.model_id, str(directory), engine.device, engine.precision))
            self._quarantine.rooms[name] = self._alone.room(model)
        return self._make_room(model)

    def _forget(self, name: str) -> None:
        self._quarantine.rooms.pop(name, None)

    def _state(self, name: str, why: str | None, tries: int) -> None:
        """Tells people of a model that can't be loaded, or can again."""
        now = datetime.now(UTC)
        if why is None:
            alarm = self._alarms.well(name, now)
        else:
            present = (recipe for recipe, is_now in self._recipes.named(now) if is_now)
            in_force = any(str(variant) == name for recipe in present for variant in asked_by(recipe))
            alarm = self._alarms.failed(name, why, tries, in_force, now)
        if alarm is not None:
            task = asyncio.create_task(self._tell(alarm))
            self._telling.add(task)
            task.add_done_callback(self._telling.discard)

    async def _tell(self, alarm: AlarmRaised) -> None:
        try:
            await (await self._publisher.send(ALARMS, alarm, key=alarm.subject.encode(), partition=0))
        except LinesideError as error:  # the log has it already
            log.error("the alarm about model %s could not be sent: %s", alarm.subject, error)
