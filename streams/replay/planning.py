"""Before a replay: how far its range reaches in the topic, and which frames of it are to be had. The shell around both.

The ends are those of the moment of planning: what is captured later is never part of the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pyarrow as pa

from schemas.codec import FIRST_TIME, LAST_TIME
from streams.archive.catalogue import Catalogue
from streams.archive.log import TopicLog
from streams.archive.periods import day_of
from streams.archive.session import Narrow, connect
from streams.bus.landmarks import Landmarks
from streams.replay.coverage import FRAMES, PictureIs
from streams.replay.live import live_verdicts
from streams.replay.selection import Selection
from streams.store import FrameStore, ReferenceRefusedError

_ASKED = """
  {at} >= $since AND {at} < $until AND coalesce(plant = $plant, true) AND coalesce(line = $line, true)
  AND coalesce(station = $station, true) AND coalesce(sku = $sku, true)
  AND ($everyone OR list_contains($frame_ids, frame_id) OR list_contains($part_ids, part_id))
"""
_PLACE = "plant, line, station, sku, part_id"
_JOINED = f"""
WITH said AS (
    SELECT * FROM topic_verdicts UNION ALL
    SELECT frame_id, attempt, source_partition, source_offset, source_timestamp, {_PLACE}, outcome
    FROM verdicts WHERE NOT simulated AND {_ASKED.format(at="source_timestamp")}),
  heard AS (SELECT * FROM said QUALIFY row_number() OVER (PARTITION BY partition, "offset") = 1),
  archived AS (
    SELECT frame_id, attempt, partition, "offset", appended_at, {_PLACE}, outcome, picture_ref, inclusion_probability,
      true AS there
    FROM frames WHERE {_ASKED.format(at="appended_at")}),
  both_sides AS (
    SELECT coalesce(a.frame_id, h.frame_id) AS frame_id, coalesce(a.attempt, h.attempt) AS attempt,
      coalesce(a.partition, h.partition) AS partition, coalesce(a."offset", h."offset") AS "offset",
      coalesce(a.appended_at, h.appended_at) AS appended_at, coalesce(a.plant, h.plant) AS plant,
      coalesce(a.line, h.line) AS line, coalesce(a.station, h.station) AS station, coalesce(a.sku, h.sku) AS sku,
      coalesce(a.part_id, h.part_id) AS part_id, coalesce(h.outcome, a.outcome) AS outcome,
      a.picture_ref, a.inclusion_probability, a.there
    FROM heard h FULL JOIN archived a ON h.partition = a.partition AND h."offset" = a."offset")
SELECT both_sides.*, "offset" >= reach.begin AS in_topic
FROM both_sides JOIN reach ON both_sides.partition = reach.partition
WHERE "offset" < reach.begin AND "offset" >= reach.first AND "offset" < reach.last
  OR "offset" >= reach.low AND "offset" < reach.high
ORDER BY partition, "offset"
"""


@dataclass(frozen=True, slots=True)
class Range:
    """By partition of the frames topic: offsets from `lows` to before `highs`, and where the topic begins now.

    What lies below a begin is to be had from the archive alone, chosen by time and not by `lows`.
    """

    lows: Mapping[int, int]
    highs: Mapping[int, int]
    begins: Mapping[int, int]


async def range_of(landmarks: Landmarks, selection: Selection) -> Range:
    """Where a selection lies in the topic at this moment."""
    bounds = await landmarks.bounds()
    since = await landmarks.first_at(selection.since_ms)
    until = {} if selection.until_ms is None else await landmarks.first_at(selection.until_ms)
    lows, highs = {}, {}
    for partition, (begin, end) in bounds.items():
        first, last = since.get(partition), until.get(partition)
        low = first.offset if first else end
        high = min(end, last.offset) if last else end
        if selection.offsets is not None:
            asked = selection.offsets.get(partition, (0, 0))
            low, high = max(low, asked[0]), min(high, asked[1])
        lows[partition] = max(low, begin)
        highs[partition] = max(lows[partition], high)
    return Range(lows, highs, {p: begin for p, (begin, _) in bounds.items()})


def narrowed(reach: Range, frames: pa.Table, selection: Selection) -> Range:
    """The range that is read: where single frames are asked for, from the first to the last of them."""
    if not selection.is_sparse:
        return reach
    asked: dict[int, list[int]] = {}
    columns = (frames.column(name).to_pylist() for name in ("partition", "offset", "picture"))
    for partition, offset, place in zip(*columns, strict=True):
        if place == PictureIs.TOPIC:
            asked.setdefault(partition, []).append(offset)
    lows = {p: min(asked[p]) if p in asked else high for p, high in reach.highs.items()}
    highs = {p: max(asked[p]) + 1 if p in asked else high for p, high in reach.highs.items()}
    return Range(lows, highs, reach.begins)


async def frames_of(
    selection: Selection,
    reach: Range,
    verdicts: TopicLog,
    frames_topic: str,
    archive: Catalogue | None,
    store: FrameStore,
    progress: Callable[[int], None],
) -> pa.Table:
    """The frames of a range as far as anything tells of them, with where their pictures are (`coverage.FRAMES`)."""
    heard = await live_verdicts(verdicts, frames_topic, selection, reach.highs, progress)
    return await asyncio.to_thread(_joined, selection, reach, heard, archive, store)


def _joined(
    selection: Selection, reach: Range, heard: pa.Table, archive: Catalogue | None, store: FrameStore
) -> pa.Table:
    narrow = Narrow(
        plant=selection.plant, line=selection.line, since=day_of(selection.since) if selection.since else None
    )
    with connect(archive, narrow=narrow) as db:
        db.register("topic_verdicts", heard)
        db.register("reach", _reach_table(selection, reach))
        found: pa.Table = db.sql(_JOINED, params=_parameters(selection)).to_arrow_table()
    pictures, probabilities = [], []
    columns = ("in_topic", "there", "picture_ref", "inclusion_probability")
    for in_topic, there, reference, probability in zip(*(found.column(c).to_pylist() for c in columns), strict=True):
        place = PictureIs.TOPIC if in_topic else _place(there, reference, store)
        pictures.append(place.value)
        known = {PictureIs.TOPIC: 1.0, PictureIs.STORE: probability}
        probabilities.append(known.get(place))
    own = {"picture": pa.array(pictures, pa.string()), "inclusion_probability": pa.array(probabilities, pa.float64())}
    arrays = [own[name] if name in own else found.column(name) for name in FRAMES.names]
    return pa.table(arrays, names=FRAMES.names).cast(FRAMES)


def _place(there: bool | None, reference: str | None, store: FrameStore) -> PictureIs:
    if not there:
        return PictureIs.EXPIRED
    if reference is None:
        return PictureIs.NOT_KEPT
    try:
        return PictureIs.MISSING if store.size(reference) is None else PictureIs.STORE
    except ReferenceRefusedError:
        return PictureIs.MISSING


def _reach_table(selection: Selection, reach: Range) -> pa.Table:
    """Stretches by partition; `first` and `last` bound what only the archive has."""
    asked = dict.fromkeys(reach.begins, (0, 1 << 62)) if selection.offsets is None else selection.offsets
    rows = [
        (p, reach.lows[p], reach.highs[p], begin, *asked.get(p, (0, 0))) for p, begin in sorted(reach.begins.items())
    ]
    names = ("partition", "low", "high", "begin", "first", "last")
    return pa.table({name: pa.array([row[i] for row in rows], pa.int64()) for i, name in enumerate(names)})


def _parameters(selection: Selection) -> dict[str, object]:
    return {
        "since": selection.since or FIRST_TIME,
        "until": selection.until or LAST_TIME,
        "plant": selection.plant,
        "line": selection.line,
        "station": selection.station,
        "sku": selection.sku,
        "everyone": not selection.is_sparse,
        "frame_ids": sorted(selection.frame_ids),
        "part_ids": sorted(selection.part_ids),
    }
