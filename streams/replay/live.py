"""The live verdicts about a range of frames: the narrow table that coverage is made from. The shell around a topic."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import pyarrow as pa

from schemas.records import VerdictIssued
from streams.archive.log import TopicLog
from streams.arrow import table_of
from streams.replay.coverage import FRAMES
from streams.replay.selection import Selection

CHUNK = 50_000
VERDICTS = pa.schema([field for field in FRAMES if field.name not in ("picture", "inclusion_probability")])


async def live_verdicts(
    verdicts: TopicLog,
    frames_topic: str,
    selection: Selection,
    highs: Mapping[int, int],
    progress: Callable[[int], None],
) -> pa.Table:
    """Verdicts, copies included, about selected frames below offset `highs` of a frames topic (full name).

    A verdict follows its frame, so reading begins at the selection's start and ends where all are past `highs`.
    """
    firsts = await verdicts.landmarks.first_at(selection.since_ms)
    ends = {p: end for p, (_, end) in (await verdicts.landmarks.bounds()).items()}
    stretches = {p: (at.offset, ends[p]) for p, at in firsts.items() if at and at.offset < ends[p]}
    past, tables, rows, read = set(highs) - set(stretches), [], [], 0
    async with verdicts.reading(stretches) as chunks:
        async for chunk in chunks:
            for raw in chunk:
                verdict = verdicts.decoded(raw)
                if not isinstance(verdict, VerdictIssued) or _is_of_others(verdict, frames_topic, raw.partition):
                    continue
                if verdict.source_offset >= highs.get(raw.partition, 0):
                    past.add(raw.partition)
                elif _is_asked_for(verdict, selection):
                    rows.append(_row(verdict))
            if len(rows) >= CHUNK:
                tables.append(table_of(VERDICTS, rows))
                rows = []
            progress(read := read + len(chunk))
            if past >= set(highs):
                break
    return pa.concat_tables([*tables, table_of(VERDICTS, rows)])


def _is_of_others(verdict: VerdictIssued, frames_topic: str, partition: int) -> bool:
    return verdict.simulated or verdict.source_topic != frames_topic or verdict.source_partition != partition


def _is_asked_for(verdict: VerdictIssued, selection: Selection) -> bool:
    at = verdict.source_timestamp
    return (
        selection.takes_place(verdict.plant, verdict.line, verdict.station, verdict.sku)
        and selection.takes_identity(str(verdict.frame_id), verdict.part_id)
        and selection.takes_offset(verdict.source_partition, verdict.source_offset)
        and (selection.since or datetime.min.replace(tzinfo=UTC)) <= at
        and (selection.until is None or at < selection.until)
    )


def _row(verdict: VerdictIssued) -> tuple[object, ...]:
    return (
        str(verdict.frame_id),
        verdict.attempt,
        verdict.source_partition,
        verdict.source_offset,
        verdict.source_timestamp,
        verdict.plant,
        verdict.line,
        verdict.station,
        verdict.sku,
        verdict.part_id,
        verdict.outcome.value,
    )
