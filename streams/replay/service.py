"""One worker of a replay: takes its share of the partitions, judges their frames, and stays until the run is done.

Several workers share one run through a consumer group of the run's own: Kafka moves the partitions of one that dies to
the others. What the run's topic holds already is never judged again. Writes to the run's topic alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from schemas.records import VerdictIssued
from streams.archive.catalogue import where_there
from streams.bus.landmarks import Landmarks
from streams.bus.membership import Membership
from streams.bus.publisher import Publisher
from streams.bus.readback import VerdictTail
from streams.bus.registry_client import codec_for
from streams.inspection.budget import Budget
from streams.inspection.decide import VerdictAt
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel, Unwatched
from streams.inspection.pictures import Pictures
from streams.inspection.watchdog import end_process
from streams.replay.judging import PastJudge
from streams.replay.pace import Pace
from streams.replay.past import PastFrames
from streams.replay.pipeline import Pipeline
from streams.replay.planning import Range
from streams.replay.recipes_of import ReplayRecipes
from streams.replay.selection import Selection
from streams.replay.topics import ReplayPublisher, replay_topic
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import frames_topic

COMMIT_S = 1.0
LOOK_S = 0.5  # between two looks whether the others are done
BATCHES_AHEAD = 8  # with two seconds of work, as live, the rate was a fifth lower (measured side by side)
NO_LIMIT_S = 300.0  # for one batch: at the lowest priority it may wait for the line


@dataclass(frozen=True, slots=True)
class Task:
    """What every worker of a run must know."""

    run: str
    selection: Selection
    reach: Range
    recipes: ReplayRecipes
    speed: float | None  # times real time; None: as fast as the engine goes


class ReplayWorker:
    """Works on one run until it is done or `stop` is set."""

    def __init__(
        self,
        settings: Settings,
        task: Task,
        models: Sequence[ServingModel],
        also: Mapping[str, ServingModel] = MappingProxyType({}),
    ) -> None:
        """`also`: by name, models as recipes ask for them, where that is not how `models` were opened."""
        self._settings = settings
        self._task = task
        self._codec = codec_for(settings)
        threads = settings.decode_threads or os.cpu_count() or 1
        self._pool = DecodePool(threads)
        limits = RoomLimits(settings.max_batch, settings.linger_ms / 1000, NO_LIMIT_S)
        named = {m.model_id: m for m in models} | dict(also)
        self._rooms = {name: EngineRoom(m, self._pool, limits, Unwatched(), end_process) for name, m in named.items()}
        pictures = Pictures(FrameStore(settings.frame_store_url))
        self._judge = PastJudge(task.run, self._rooms, task.recipes, pictures, 2 * threads)
        self._frames_topic = frames_topic(settings)
        self._work: asyncio.Task[None] | None = None
        self.done = 0

    async def run(self, stop: asyncio.Event) -> bool:
        """True where the run is done, by whomever; False where `stop` came first: it can be gone on with."""
        settings, name = self._settings, run_topic(self._settings, self._task.run)
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._close)
            publisher = await stack.enter_async_context(
                Publisher(settings.bootstrap, settings.topic_prefix, self._codec, linger_ms=5)
            )
            out = ReplayPublisher(publisher, self._task.run)
            tail = VerdictTail(settings.bootstrap, name, self._codec)
            await tail.start()
            stack.push_async_callback(tail.stop)
            landmarks = await stack.enter_async_context(Landmarks(settings.bootstrap, self._frames_topic))
            group = f"{settings.topic_prefix}replay.{self._task.run}"
            member = Membership(settings.bootstrap, group, self._frames_topic, self._give_back)
            await stack.enter_async_context(member)
            stopping = asyncio.create_task(stop.wait())
            stack.callback(stopping.cancel)
            return await self._turns(member, landmarks, tail, out, stopping)

    async def _turns(
        self,
        member: Membership,
        landmarks: Landmarks,
        tail: VerdictTail,
        out: ReplayPublisher,
        stopping: asyncio.Task[bool],
    ) -> bool:
        """One turn for every assignment; between them it looks whether the whole run is done."""
        while not stopping.done():
            member.changes.clear()
            committed = await member.committed()
            if all(committed[p] >= high for p, high in self._task.reach.highs.items()):
                return True
            mine = {p: committed[p] for p in member.assigned if committed[p] < self._task.reach.highs[p]}
            if mine:
                self._work = asyncio.create_task(self._turn(mine, member, landmarks, tail, out))
                await asyncio.wait((self._work, stopping), return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    await self._give_back()
                elif not self._work.cancelled():
                    self._work.result()
            else:
                changed = asyncio.create_task(member.changes.wait())
                await asyncio.wait((changed, stopping), timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
                changed.cancel()
        return False

    async def _turn(
        self,
        starts: Mapping[int, int],
        member: Membership,
        landmarks: Landmarks,
        tail: VerdictTail,
        out: ReplayPublisher,
    ) -> None:
        """Everything that is left of some partitions."""
        reach = self._task.reach
        begins = {p: begin for p, (begin, _) in (await landmarks.bounds()).items()}  # retention goes on meanwhile
        now = Range(reach.lows, reach.highs, {p: max(begins[p], reach.begins[p]) for p in reach.begins})
        published: dict[int, dict[VerdictAt, VerdictIssued]] = {
            p: (await tail.published(p, self._frames_topic, start)).about for p, start in starts.items()
        }
        ahead = BATCHES_AHEAD * self._settings.max_batch
        budget = Budget(self._settings.inflight_max_bytes, self._settings.inflight_max_s, ahead)
        pipeline = Pipeline(self._task.run, self._judge, out, budget, Pace(self._task.speed).wait)
        before = self.done
        with where_there(self._settings.archive_dir) as archive:
            past = PastFrames(self._settings.bootstrap, self._frames_topic, self._codec, archive, self._task.selection)
            notes = asyncio.create_task(self._note(pipeline, member, before))
            try:
                async with contextlib.aclosing(past.read(starts, now)) as chunks:
                    await pipeline.run(chunks, published)
            finally:
                notes.cancel()
                await asyncio.wait([notes])
                self.done = before + pipeline.done
                await member.commit(pipeline.reached)
        await member.commit({p: reach.highs[p] for p in starts})

    async def _note(self, pipeline: Pipeline, member: Membership, before: int) -> None:
        while True:
            await asyncio.sleep(COMMIT_S / 4)
            self.done = before + pipeline.done
            await member.commit(dict(pipeline.reached))

    async def _give_back(self) -> None:
        """Ends the work under way: what is published stays, the rest is judged by whoever goes on."""
        if self._work and not self._work.done():
            self._work.cancel()
            await asyncio.wait([self._work])

    def _close(self) -> None:
        for room in self._rooms.values():
            room.close()
        self._pool.close()


def run_topic(settings: Settings, run: str) -> str:
    """The full name of a run's topic."""
    return settings.topic_prefix + replay_topic(run).name
