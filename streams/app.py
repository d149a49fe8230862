"""The composition root: the one place that chooses real or fake parts and puts a worker together.

Knows every part and decides nothing about frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from aiokafka.errors import IllegalStateError
from faust.exceptions import ConsumerNotStarted
from prometheus_client import REGISTRY, CollectorRegistry

from schemas.records import DeadLetter, Recipe
from streams.bus.admin import require_topics
from streams.bus.control import ControlReader
from streams.bus.landmarks import Landmarks
from streams.bus.publisher import Publisher
from streams.bus.readback import TopicTail, VerdictTail
from streams.bus.registry_client import codec_for
from streams.errors import BrokerUnreachableError
from streams.faust_app import faust_app, why_it_gave_up
from streams.health import Work
from streams.holding import Holding
from streams.inspection.agent import attach
from streams.inspection.alone import Alone, ChildModel
from streams.inspection.budget import Budget
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel
from streams.inspection.inspection import Inspection
from streams.inspection.inspector import Inspector
from streams.inspection.metrics import InspectionMetrics
from streams.inspection.model_variants import names_of
from streams.inspection.pictures import Pictures
from streams.inspection.quarantine import Quarantine
from streams.inspection.recipes import RecipeBook
from streams.inspection.standing import Standing
from streams.inspection.turns import Turns
from streams.inspection.watchdog import Fenced, Watchdog, end_process
from streams.model_keeper import Sources
from streams.monitor import monitored
from streams.released import ReleasedModels
from streams.serving import Own, WorkerOptions, load_artifacts, open_models, own_recipe, released_models
from streams.settings import Settings
from streams.stopping import stop_on_signals
from streams.store import FrameStore
from streams.topics import DEADLETTERS, DEFECTS, RECIPES, VERDICTS, frames_topic, inspection_group, topic_specs

log = logging.getLogger(__name__)
LAG_INTERVAL_S = 1.0
DRAIN_TIMEOUT_S = 50.0  # shorter than the rebalance timeout


class InspectionWorker:
    """One inspection worker: everything between the two topics. Start it on the loop that it shall live on."""

    def __init__(
        self,
        settings: Settings,
        models: Sequence[ServingModel],
        default: Recipe | None,
        registry: CollectorRegistry = REGISTRY,
        alone: Alone | None = None,
        die: Callable[[str], None] = end_process,
        sources: Sources | None = None,
    ) -> None:
        """Without `alone` no frame is tried in a process of its own. `die` is told why, and must end the process.

        Without `sources` it serves the models that it was given and no released ones.
        """
        self._settings, self._alone, self._die = settings, alone, die
        codec, prefix = codec_for(settings), settings.topic_prefix
        self.metrics, self.recipes = InspectionMetrics(registry), RecipeBook(default)
        self._control = [ControlReader(settings, codec, RECIPES, self._take_recipe)]
        self._released: ReleasedModels | None = None
        self._publisher = Publisher(settings.bootstrap, prefix, codec)
        self._tail = VerdictTail(settings.bootstrap, prefix + VERDICTS.name, codec)
        self._letters = TopicTail(settings.bootstrap, prefix + DEADLETTERS.name, DeadLetter, codec)
        self._frames = Landmarks(settings.bootstrap, frames_topic(settings))
        self._standing = Standing(frames_topic(settings), self._frames, self._tail, self._letters, self.metrics)
        self._gaps: dict[int, tuple[int, int]] = {}  # offsets that did not come, by partition
        threads = settings.decode_threads or os.cpu_count() or 1
        self._pool = DecodePool(threads)
        self._limits = RoomLimits(settings.max_batch, settings.linger_ms / 1000, settings.infer_timeout_s)
        self._turns: dict[str, Turns] = {}
        self._rooms = {name: room for m in models for room in [self._room(m)] for name in _names(m)}
        pictures = Pictures(FrameStore(settings.frame_store_url))
        self._quarantine = _quarantine(settings, alone, models)
        if sources is not None:
            self._released = ReleasedModels(
                *(settings, codec, self._publisher, self.recipes, self._rooms, self._room),
                *(sources, alone, self._quarantine),
            )
            self._control.append(self._released.reader)
        inspector = Inspector(codec, self.recipes, self._rooms, pictures, 2 * threads, self._quarantine)
        budget = Budget(settings.inflight_max_bytes, settings.inflight_max_s)
        self._watchdog = Watchdog(self._outstanding, settings.stall_timeout_s, die, what_waits=self._what_waits)
        sender = Fenced(self._publisher, self._watchdog.check_standstill)
        self.inspection = Inspection(
            inspector, self._tail.published, sender, budget, self.metrics, self._end_acquitted, self._note_gap
        )
        self._faust = faust_app(settings, inspection_group(settings.pool))
        self._faust.starts = self._starts
        needs = [prefix + topic.name for topic in (VERDICTS, DEFECTS, DEADLETTERS)]
        self._holding = Holding(self._faust, settings.bootstrap, needs, self.metrics.held.set)
        attach(self._faust, frames_topic(settings), self.inspection.accept)
        self._unread = 0
        self._waiting = False
        self._beat = time.monotonic()

    def work(self) -> Work:
        """What waits, as `/progressing` shows it."""
        return Work(self._unread, self.inspection.in_flight, self.inspection.completed)

    async def run(self, stop: asyncio.Event, on_ready: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` is set, then drain: every frame under way is decided, published and committed."""
        async with contextlib.AsyncExitStack() as stack:
            for part in (self._publisher, self._tail, self._letters):
                await part.start()
                stack.push_async_callback(part.stop)
            for reader in self._control:
                await stack.enter_async_context(reader)
            await stack.enter_async_context(self._frames)
            stack.callback(self._holding.stop)
            await asyncio.gather(*(reader.caught_up() for reader in self._control))
            models = await self._with_models()
            await self._faust.start()
            self._watchdog.start()
            observer = asyncio.create_task(self._observe())
            on_ready()
            await _first(
                stop.wait(), self._faust._crashed.wait(), *(reader.wait() for reader in self._control), *models
            )
            if self._faust._crashed.is_set():
                self._end_acquitted(why_it_gave_up(self._faust, self._settings))
            await self._drain()
            observer.cancel()
            self._watchdog.stop()
            self.inspection.close()
            if self._released:
                await self._released.close()
            for room in set(self._rooms.values()):
                room.close()
            self._pool.close()
            self._quarantine.close()
            if self._alone:
                await self._alone.close()

    async def _with_models(self) -> list[asyncio.Task[None]]:
        """Every released model that is in force is loaded before the first frame; the others while frames come."""
        if self._released is None:
            return []
        await self._released.ready()
        return [asyncio.create_task(self._released.run(), name="models")]

    def _room(self, model: ServingModel) -> EngineRoom:
        """All models on one device share its places for batches."""
        engine = model.engine
        turns = self._turns.setdefault(engine.device, Turns(engine.concurrency))
        return EngineRoom(model, self._pool, self._limits, self.metrics, self._die, turns)

    def _end_acquitted(self, why: str) -> None:
        """Ends the process for a reason that lies outside the pictures in hand."""
        self._quarantine.acquit()
        self._die(why)

    async def _drain(self) -> None:
        """Stop Faust: it takes in nothing more, waits until every event it handed over is acknowledged, and commits."""
        log.info("stopping: %d frames under way are finished first", self.inspection.in_flight)
        try:
            await asyncio.wait_for(self._faust.stop(), DRAIN_TIMEOUT_S)
        except TimeoutError:
            self._die(
                f"{self.inspection.in_flight} frames were not finished within {DRAIN_TIMEOUT_S:.0f} s of the stop"
            )

    async def _starts(self, committed: Mapping[Any, int | None]) -> dict[Any, int]:
        """Where each partition of a new assignment is read from, whatever was done to the group's offsets."""
        await self._holding.assigned(committed)
        read = {tp.partition: offset for tp, offset in committed.items() if tp not in self._faust.held}
        starts = await self._standing.starts(read)  # held ones have no verdicts to ask about
        return {tp: starts[tp.partition] for tp in committed if tp.partition in starts}

    def _note_gap(self, partition: int, low: int, high: int) -> None:
        self._gaps[partition] = (self._gaps.get(partition, (low, high))[0], high)

    def _take_recipe(self, recipe: Recipe, published_at: datetime) -> None:
        if self._released:
            self._released.look()
        if not self.recipes.add(recipe, published_at):
            scope = f"{recipe.plant}/{recipe.line} SKU {recipe.sku}"
            log.warning(
                "recipe version %s for %.200s takes no effect: too late, or a text too long", recipe.version, scope
            )

    def _outstanding(self) -> bool:
        """True where work should be moving, or where the event loop has been silent and nobody can know."""
        return self._waiting or time.monotonic() - self._beat > 10 * LAG_INTERVAL_S

    def _what_waits(self) -> str:
        """In words, for the log of a worker that stands still."""
        said = [f"{self._unread} frames unread", f"{self.inspection.in_flight} in hand"]
        if numbers := self.inspection.reading_back:
            said.append(f"partitions {', '.join(map(str, numbers))} being read back")
        if not cast("Any", self._faust.consumer).flow_active:
            said.append("a rebalance under way")
        if (silent_s := time.monotonic() - self._beat) > 10 * LAG_INTERVAL_S:
            said.append(f"the event loop silent for {silent_s:.0f} s")
        return "; ".join(said)

    async def _observe(self) -> None:
        """Keep the lag gauges and the watchdog's question up to date."""
        completed = -1
        while True:
            self._beat = time.monotonic()
            unread = 0
            with contextlib.suppress(ConsumerNotStarted, IllegalStateError):  # before the first and during a rebalance
                unread = self._count_unread()
            self._unread = unread
            self._waiting = unread > 0 or self.inspection.in_flight > 0
            if (decoding_s := self._pool.longest_s()) > self._settings.decode_timeout_s:
                self._die(f"a picture has been in its decoder for {decoding_s:.0f} s")
            if self.inspection.completed != completed:
                completed = self.inspection.completed
                self._watchdog.progressed()
            with contextlib.suppress(BrokerUnreachableError):
                while self._gaps:
                    partition, gap = self._gaps.popitem()
                    await self._standing.missed(partition, *gap)
            await asyncio.sleep(LAG_INTERVAL_S)

    def _count_unread(self) -> int:
        """Frames that are ready in Kafka and not fetched yet; sets the lag gauges on the way."""
        consumer: Any = self._faust.consumer
        for tp in consumer.assignment() - self._faust.held:
            end, committed = consumer.highwater(tp), consumer._committed_offset[tp]
            if end is not None and committed is not None:
                self.metrics.lag.labels(tp.partition).set(max(0, end - committed))
        return sum(self._faust.unread().values())


def _quarantine(settings: Settings, alone: Alone | None, models: Sequence[ServingModel]) -> Quarantine:
    if alone is None:
        return Quarantine()
    folder = settings.data_dir / "inspection" / frames_topic(settings)
    return Quarantine(folder, {name: alone.room(model) for model in models for name in _names(model)})


def _names(model: ServingModel) -> tuple[str, ...]:
    """What a model that the worker was started with may be asked for as."""
    return names_of(model.model_id, model.engine.device, model.engine.precision)


async def _first(*waits: Any) -> None:
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def run_worker(settings: Settings, options: WorkerOptions, on_ready: Callable[[], None] = lambda: None) -> None:
    """`lineside worker`: check the ground, load the models, then inspect until told to stop."""
    artifacts = await asyncio.to_thread(load_artifacts, options)  # a wrong directory is told before anything is reached
    async with monitored(settings, "worker") as monitor:
        _, models = await asyncio.gather(  # after an outage nothing is left to do but to join
            require_topics(settings.bootstrap, topic_specs(settings), settings.kafka_wait_s),
            asyncio.to_thread(open_models, settings, options, artifacts),
        )
        children = [
            ChildModel(m.model_id, str(directory), m.engine.device, m.engine.precision)
            for m, directory in zip(models, options.model_dirs, strict=True)
        ]
        alone = Alone(children, settings.alone_timeout_s, options.alone_module)
        own = {m.model_id: Own(directory, m.sha256) for m, directory in zip(models, options.model_dirs, strict=True)}
        worker = InspectionWorker(
            settings, models, own_recipe(models, options), alone=alone, sources=released_models(settings, options, own)
        )
        monitor.watch(worker.work)
        stop = asyncio.Event()
        with stop_on_signals(stop):
            await worker.run(stop, on_ready)
