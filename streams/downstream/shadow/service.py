"""The shadow put together: live verdicts in, what another model would have said beside them out. Decides nothing.

Place in the flow: reads `verdicts` in a group of its own and, of those whose recipe names a shadow model, the frames
that they are about; writes `shadow`, to the partition of the same number. It is a program of its own, at the lowest
priority: a worker knows nothing of it, and a shadow that is slow, hangs or dies harms nobody. Where it can't follow it
sheds what is oldest, and counts it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial

import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry

from schemas.records import FrameCaptured, Reason, ShadowCompared, VerdictIssued
from streams.bus.control import ControlReader
from streams.bus.frames_at import FrameReader
from streams.bus.publisher import Publisher
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.downstream.shadow.backlog import Backlog, Shed
from streams.downstream.shadow.comparing import compared, is_compared, shadow_recipe, shadowed_by
from streams.downstream.shadow.left_over import LeftOver
from streams.errors import FrameRejectedError, OperatorError
from streams.health import Work
from streams.inspection.decide import Provenance, rejected
from streams.inspection.decode_pool import DecodePool, ExpiredError
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel, Unwatched
from streams.inspection.inspector import judgement_of
from streams.inspection.model_variants import shadow_of
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import RecipeBook
from streams.inspection.residents import named
from streams.inspection.turns import Turns
from streams.inspection.watchdog import end_process
from streams.model_keeper import ModelKeeper, Sources
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import MODELS, RECIPES, SHADOW, VERDICTS, frames_topics

log = logging.getLogger(__name__)
GROUP = "shadow"
MAX_BEHIND_S = 5.0
WAITING_MOST = 256  # verdicts that wait; they hold no picture
LEAST_LEFT = 0.25  # of the machine: with less, whatever a shadow does is felt by the line
AT_ONCE = 8  # frames in hand: at most so many pictures are held
TELL_S = 60.0


class ShadowMetrics:
    """What a shadow did and what it left out."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.compared = prometheus_client.Counter("lineside_shadow_compared", "Pairs published.", registry=registry)
        self.shed = prometheus_client.Counter("lineside_shadow_shed", "Frames left out.", ["why"], registry=registry)


class ShadowService:
    """One run, until it is told to stop. `counts` says what was compared and what was shed, by why."""

    def __init__(
        self,
        settings: Settings,
        sources: Sources,
        max_behind_s: float = MAX_BEHIND_S,
        registry: CollectorRegistry = REGISTRY,
        left_over: Callable[[], float] | None = None,
    ) -> None:
        """`left_over`: the share of this machine that its line leaves over."""
        self._settings, self._max_behind_s = settings, max_behind_s
        self._left_over = left_over or LeftOver(time.monotonic)
        codec = self._codec = codec_for(settings)
        self._metrics, self._told = ShadowMetrics(registry), Counter[Shed]()
        self._recipes = RecipeBook()
        self._rooms: dict[str, EngineRoom] = {}
        self._pool = DecodePool(settings.decode_threads or os.cpu_count() or 1)
        self._limits = RoomLimits(settings.max_batch, settings.linger_ms / 1000, settings.infer_timeout_s)
        self._turns: dict[str, Turns] = {}
        self._keeper = ModelKeeper(
            *(self._rooms, lambda name, model, _: self._room(model), self._recipes, sources, settings.models_max_bytes),
            on_state=lambda name, why, tries: None,  # the log has it
            wants=partial(named, asked=shadow_of),
        )
        self._control = [
            ControlReader(settings, codec, RECIPES, self._take_recipe),
            ControlReader(settings, codec, MODELS, self._keeper.take),
        ]
        self._frames = {name: FrameReader(settings.bootstrap, name, codec) for name in frames_topics(settings)}
        self._pictures = Pictures(FrameStore(settings.frame_store_url))
        self._backlog: Backlog[Received[VerdictIssued]] = Backlog(WAITING_MOST, max_behind_s)
        self._came = asyncio.Event()
        self._in_hand = self.pairs = 0

    @property
    def shed(self) -> Counter[Shed]:
        """Frames that were left out so far."""
        return self._backlog.shed

    def work(self) -> Work:
        """What waits, as `/progressing` shows it."""
        return Work(0, self._in_hand, self.pairs + self.shed.total())

    async def run(self, stop: asyncio.Event, on_ready: asyncio.Event | None = None) -> None:
        """Compares from now on until `stop` is set; `on_ready` is set when every model that is named was tried.

        Raises BrokerUnreachableError, CallerError where a topic is missing, and whatever a refused send raises.
        """
        settings = self._settings
        async with contextlib.AsyncExitStack() as stack:
            for reader in self._control:
                await stack.enter_async_context(reader)
            for frames in self._frames.values():
                await stack.enter_async_context(frames)
            publisher = await stack.enter_async_context(
                Publisher(settings.bootstrap, settings.topic_prefix, self._codec)
            )
            await asyncio.gather(*(reader.caught_up() for reader in self._control))
            await self._keeper.ready()
            stack.push_async_callback(self._keeper.close)
            stack.callback(self._pool.close)
            if on_ready:
                on_ready.set()
            tasks = [asyncio.create_task(work) for work in (self._listen(), self._work(publisher), self._keeper.run())]
            tasks += [asyncio.create_task(reader.wait()) for reader in self._control]
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((*tasks, stopping), return_when=asyncio.FIRST_COMPLETED)
            for task in (*tasks, stopping):
                if task.done() and not task.cancelled():
                    task.result()
                task.cancel()
            await asyncio.gather(*tasks, stopping, return_exceptions=True)

    def _take_recipe(self, recipe: object, published_at: datetime) -> None:
        self._recipes.add(recipe, published_at)  # type: ignore[arg-type]  # of the topic `recipes`
        self._keeper.look()

    def _room(self, model: ServingModel) -> EngineRoom:
        engine = model.engine
        turns = self._turns.setdefault(engine.device, Turns(engine.concurrency))
        return EngineRoom(model, self._pool, self._limits, Unwatched(), end_process, turns)

    async def _listen(self) -> None:
        """Every live verdict whose recipe names a shadow; never waits for what comes of it."""
        subscription: Subscription[VerdictIssued] = Subscription(
            VERDICTS, "latest", settings=self._settings, codec=self._codec, group=self._settings.topic_prefix + GROUP
        )
        async with aclosing(aiter(subscription)) as events:
            async for received in events:
                if is_compared(received.record) and shadowed_by(received.record, self._recipes):
                    self._backlog.add(received, received.timestamp.timestamp())
                    self._came.set()

    async def _work(self, publisher: Publisher) -> None:
        told_s = time.monotonic()
        while True:
            self._came.clear()
            if self._left_over() < LEAST_LEFT:
                self._backlog.shed_all(Shed.BUSY)
            taken = self._backlog.take(AT_ONCE, time.time())
            if taken:
                self._in_hand = len(taken)
                await self._compare(taken, publisher)
                self._in_hand = 0
            self._count_shed()
            if time.monotonic() - told_s > TELL_S:
                told_s = time.monotonic()
                log.info("%d pairs so far; shed: %s", self.pairs, dict(self.shed) or "none")
            if not len(self._backlog):
                await self._came.wait()

    async def _compare(self, taken: Sequence[Received[VerdictIssued]], publisher: Publisher) -> None:
        wanted = defaultdict[tuple[str, int], list[int]](list)
        for received in taken:
            wanted[_place(received.record)].append(received.record.source_offset)
        try:
            frames = {
                (topic, at): await self._frames[topic].fetch_all(at, offsets)
                for (topic, at), offsets in wanted.items()
                if topic in self._frames
            }
        except OperatorError as error:  # the broker gives nothing just now
            log.warning("%d frames are not compared: %s", len(taken), error)
            self.shed[Shed.GONE] += len(taken)
            return
        pairs = await asyncio.gather(
            *(self._pair(r, frames.get(_place(r.record), {}).get(r.record.source_offset)) for r in taken)
        )
        sent = [
            await publisher.send(SHADOW, pair, key=received.key, partition=received.partition)
            for received, pair in zip(taken, pairs, strict=True)
            if pair is not None
        ]
        await asyncio.gather(*sent)
        self.pairs += len(sent)
        self._metrics.compared.inc(len(sent))

    async def _pair(self, received: Received[VerdictIssued], frame: FrameCaptured | None) -> ShadowCompared | None:
        """None for what is shed."""
        live, received_at = received.record, datetime.now(UTC)
        asked = shadowed_by(live, self._recipes)
        if frame is None or frame.frame_id != live.frame_id or asked is None:
            self.shed[Shed.GONE] += 1
            return None
        if (room := self._rooms.get(str(*shadow_of(asked)))) is None:
            self.shed[Shed.NOT_LOADED] += 1
            return None
        recipe = shadow_recipe(asked, dict(room.model.thresholds), room.model.unsure_band)
        try:
            image = await self._pictures.fetch(frame, math.inf)
            expires_at = time.monotonic() + self._max_behind_s
            said, provenance = await judgement_of(self._rooms, frame, recipe, image, expires_at)
        except FrameRejectedError as error:
            said, provenance = rejected(Reason(error.reason), error.detail, recipe), Provenance()
        except ExpiredError:
            self.shed[Shed.BEHIND] += 1
            return None
        return compared(live, frame, said, recipe, provenance, received_at, datetime.now(UTC))

    def _count_shed(self) -> None:
        for why, count in self.shed.items():
            self._metrics.shed.labels(why).inc(count - self._told[why])
        self._told = Counter(self.shed)


def _place(verdict: VerdictIssued) -> tuple[str, int]:
    return verdict.source_topic, verdict.source_partition
