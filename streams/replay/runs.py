"""Runs for comparison and notebooks: `open_run("candidate-1").to_arrow()`.

A run's verdicts come from its folder once it is done, from its topic before. `live` is what inspection decided about
the frames of another run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from schemas.records import VerdictIssued
from streams.archive.catalogue import where_there
from streams.archive.session import Narrow, connect
from streams.arrow import schema_of, table_of
from streams.bus.present import present
from streams.bus.registry_client import codec_for
from streams.bus.subscriber import Received, Subscription
from streams.columns import columns_of, row
from streams.errors import CallerError
from streams.inspection.decide import LIVE
from streams.replay.run_folder import RunFolder
from streams.replay.selection import Selection, check_run
from streams.replay.topics import replay_topic
from streams.settings import Settings, load_settings
from streams.topics import VERDICTS, Topic, frames_topic

COLUMNS = columns_of(VerdictIssued)
SCHEMA = schema_of(COLUMNS)


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `info` is what was asked of it: model, recipe, selection, classes by role."""

    id: str
    info: Mapping[str, Any]
    folder: RunFolder
    settings: Settings

    def to_arrow(self) -> pa.Table:
        """Its verdicts, the first of each id, by partition and offset of their frames; columns as in the archive."""
        if self.id == LIVE:
            return _finished(_live(self))
        if self.folder.is_done:
            return self.folder.verdicts()
        return _finished(verdicts_of(self.settings, replay_topic(self.id)))

    def frames(self) -> pa.Table:
        """The frames of its range, as far as anything tells of them (`streams.replay.coverage.FRAMES`)."""
        return self.folder.frames()


def _finished(work: Coroutine[Any, Any, pa.Table]) -> pa.Table:
    """What a coroutine gives, also for a caller that lives on an event loop, as a notebook does."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


def folder_of(settings: Settings, run: str) -> RunFolder:
    """Where a run is kept."""
    return RunFolder(settings.data_dir / "replays" / check_run(run))


def open_run(run_id: str, settings: Settings | None = None, like: Run | None = None) -> Run:
    """A run by its id; `live` needs `like`, the run whose frames are meant. CallerError where there is none."""
    settings = settings or load_settings()
    if run_id == LIVE:
        if like is None:
            raise CallerError("`live` is compared with a replay: give the replay's run as the other one")
        return replace(like, id=LIVE, info={**like.info, "run": LIVE})
    folder = folder_of(settings, run_id)
    return Run(run_id, folder.info(), folder, settings)


async def verdicts_of(settings: Settings, topic: Topic, since: Mapping[int, int] | None = None) -> pa.Table:
    """Every verdict of a topic as it lies there now, the first of each id."""
    rows: list[list[Any]] = []
    seen: set[object] = set()
    async for event in present(settings, topic, since or "earliest"):
        if event.record.verdict_id not in seen:
            seen.add(event.record.verdict_id)
            rows.append(_row(event))
    return _ordered(table_of(SCHEMA, rows))


def _row(event: Received[VerdictIssued]) -> list[Any]:
    return row(COLUMNS, event)


def _ordered(verdicts: pa.Table) -> pa.Table:
    return verdicts.sort_by([("source_partition", "ascending"), ("source_offset", "ascending")])


async def _live(run: Run) -> pa.Table:
    """The live verdicts about a run's frames, from topic and archive."""
    selection = Selection.from_json(run.info["selection"])
    subscription: Subscription[VerdictIssued] = Subscription(
        VERDICTS, selection.since or "earliest", settings=run.settings, codec=codec_for(run.settings), follow=False
    )
    wanted = _places(run.frames())
    topic, rows, seen = frames_topic(run.settings), [], set()
    async with aclosing(aiter(subscription)) as events:
        async for event in events:
            verdict, place = event.record, (event.record.source_partition, event.record.source_offset)
            if verdict.source_topic == topic and not verdict.simulated and place in wanted and place not in seen:
                seen.add(place)
                rows.append(_row(event))
    heard = table_of(SCHEMA, rows)
    return _ordered(pa.concat_tables([heard, await asyncio.to_thread(_archived, run, wanted - seen)]))


def _places(frames: pa.Table) -> set[tuple[int, int]]:
    columns = (frames.column(name).to_pylist() for name in ("partition", "offset"))
    return set(zip(*columns, strict=True))


def _archived(run: Run, places: set[tuple[int, int]]) -> pa.Table:
    """Live verdicts that only the archive has."""
    if not places:
        return SCHEMA.empty_table()
    selection = Selection.from_json(run.info["selection"])
    names = ", ".join(f'v."{name}"' for name in SCHEMA.names)
    partitions, offsets = zip(*sorted(places), strict=True)
    asked = pa.table({"p": list(partitions), "o": list(offsets)})
    with (
        where_there(run.settings.archive_dir) as archive,
        connect(archive, narrow=Narrow(plant=selection.plant, line=selection.line)) as db,
    ):
        db.register("asked", asked)
        found: pa.Table = db.sql(
            f"SELECT {names} FROM verdicts v JOIN asked ON source_partition = p AND source_offset = o "
            "WHERE NOT simulated QUALIFY row_number() OVER (PARTITION BY verdict_id) = 1"
        ).to_arrow_table()
    return found.cast(SCHEMA)
