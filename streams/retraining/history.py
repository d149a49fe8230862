"""Frames that a line has seen, judged again by the model in force and by the new one. The shell around the replay.

Place in the flow: `lineside retrain`, after the held-out comparison. Reads, judges and pairs as `lineside replay` and
`lineside compare` do, but keeps the verdicts in memory: no topic is made, and it takes no rights but to read. Of a long
range a random share is judged, chosen by each frame's id, so that both models and every call see the same frames.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.records import Recipe, VerdictIssued
from streams.archive.catalogue import where_there
from streams.arrow import table_of
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received
from streams.columns import row
from streams.downstream.sampling.plan import draw
from streams.inspection.budget import Budget
from streams.inspection.decide import ClassRoles
from streams.inspection.decode_pool import DecodePool
from streams.inspection.engine_room import EngineRoom, RoomLimits, ServingModel, Unwatched
from streams.inspection.pictures import Pictures
from streams.inspection.recipes import RecipeBook
from streams.inspection.watchdog import end_process
from streams.replay.coverage import readable
from streams.replay.decided import Decisions, decisions_of
from streams.replay.judging import PastJudge
from streams.replay.pace import Pace
from streams.replay.past import Past, PastFrames
from streams.replay.pipeline import Pipeline
from streams.replay.planning import Range
from streams.replay.prepare import Planned
from streams.replay.recipes_of import GIVEN, ReplayRecipes
from streams.replay.runs import COLUMNS, SCHEMA
from streams.replay.selection import Selection
from streams.replay.service import BATCHES_AHEAD, NO_LIMIT_S
from streams.settings import Settings
from streams.store import FrameStore
from streams.topics import frames_topic


@dataclass(frozen=True, slots=True)
class Side:
    """A model and the limits by which it decides; `name` is its run's in the comparison."""

    name: str
    model: ServingModel
    recipe: Recipe


@dataclass(frozen=True, slots=True)
class Share:
    """Which frames of a range are judged: none that the new model has `learned` from, by frame_id, and of the others at
    most about `most`, each with the same chance.
    """

    seed: int
    share: float
    learned: frozenset[str]

    @classmethod
    def of(cls, planned: Planned, most: int, learned: frozenset[str], seed: int = 0) -> Share:
        return cls(seed, min(1.0, most / max(1, readable(planned.frames))), learned)

    def takes(self, frame_id: str) -> bool:
        if frame_id in self.learned:
            return False
        return self.share >= 1 or draw(self.seed, "retrain", frame_id) < self.share


class _Kept:
    """The pipeline's way out: verdicts in memory."""

    def __init__(self) -> None:
        self.verdicts: list[VerdictIssued] = []

    async def send(self, verdict: VerdictIssued) -> Awaitable[object]:
        self.verdicts.append(verdict)
        return _sent()


async def _sent() -> None:
    """A verdict in memory needs no confirmation."""


async def judged_again(
    settings: Settings,
    selection: Selection,
    reach: Range,
    share: Share,
    side: Side,
    on_progress: Callable[[int], None],
) -> list[VerdictIssued]:
    """What one model says of the frames of a range, in the order of their partitions and offsets."""
    pool = DecodePool(settings.decode_threads or os.cpu_count() or 1)
    limits = RoomLimits(settings.max_batch, settings.linger_ms / 1000, NO_LIMIT_S)
    room = EngineRoom(side.model, pool, limits, Unwatched(), end_process)
    out, topic = _Kept(), frames_topic(settings)
    with ExitStack() as stack:
        stack.callback(pool.close)
        stack.callback(room.close)
        archive = stack.enter_context(where_there(settings.archive_dir))
        recipes = ReplayRecipes(GIVEN, RecipeBook(), None, side.recipe, side.model.model_id)
        pictures = Pictures(FrameStore(settings.frame_store_url))
        judge = PastJudge(side.name, {side.model.model_id: room}, recipes, pictures, 2 * (os.cpu_count() or 1))
        budget = Budget(settings.inflight_max_bytes, settings.inflight_max_s, BATCHES_AHEAD * settings.max_batch)
        pipeline = Pipeline(side.name, judge, out, budget, Pace(None).wait)
        past = PastFrames(settings.bootstrap, topic, codec_for(settings), archive, selection)
        starts = {p: reach.lows[p] for p, high in reach.highs.items() if reach.lows[p] < high}
        async with aclosing(past.read(starts, reach)) as chunks:
            await pipeline.run(_chosen(chunks, share, lambda: on_progress(pipeline.done)), {})
    on_progress(pipeline.done)
    return out.verdicts


async def _chosen(
    chunks: AsyncIterator[list[Past]], share: Share, on_chunk: Callable[[], None]
) -> AsyncIterator[list[Past]]:
    async for chunk in chunks:
        on_chunk()
        yield [past for past in chunk if share.takes(str(past.frame.frame_id))]


def decisions(name: str, verdicts: Sequence[VerdictIssued], roles: ClassRoles) -> Decisions:
    """Verdicts as comparisons take them."""
    events: list[Received[VerdictIssued]] = [
        Received(v, v.source_partition, v.source_offset, v.decided_at, None) for v in verdicts
    ]
    table: pa.Table = table_of(SCHEMA, [row(COLUMNS, event) for event in events])
    return decisions_of(name, table, by_role(roles))


def by_role(roles: ClassRoles) -> Mapping[str, Any]:
    """A model's classes, "good" or "defect" each."""
    return {name: "defect" if name in roles.defects else "good" for name in roles.names}
