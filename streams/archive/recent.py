"""What of the topics is not archived yet, as rows of the archive's tables. The shell beside the archive's files.

Reads to the ends of the moment it is asked, and keeps rows, never pictures.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import pyarrow as pa

from schemas.codec import Codec
from schemas.records import FrameCaptured
from streams.archive.catalogue import Catalogue
from streams.archive.events import row_of
from streams.archive.log import Due, StretchCounter, TopicLog
from streams.archive.periods import Period
from streams.archive.tables import TABLES, without_picture
from streams.arrow import table_of
from streams.inspection.decide import verdict_id
from streams.settings import Settings
from streams.topics import FRAMES, VERDICTS

NOW = Period(0, 0)


async def recent(
    settings: Settings, codec: Codec, names: Iterable[str], archive: Catalogue | None
) -> dict[str, pa.Table]:
    """Rows by table, from where the archive ends, or everything where there is none. BrokerUnreachableError."""
    wanted = set(names) & set(TABLES)
    if FRAMES.name in wanted:
        wanted.add(VERDICTS.name)
    rows = {name: await _rows(settings, codec, name, archive) for name in sorted(wanted - {FRAMES.name})}
    if FRAMES.name in wanted:
        outcome, verdict = (TABLES[VERDICTS.name].schema.names.index(n) for n in ("outcome", "verdict_id"))
        said = {row[verdict]: row[outcome] for row in rows[VERDICTS.name]}
        rows[FRAMES.name] = [_judged(row, said) for row in await _rows(settings, codec, FRAMES.name, archive)]
    return {name: table_of(TABLES[name].schema, found) for name, found in rows.items()}


async def _rows(settings: Settings, codec: Codec, name: str, archive: Catalogue | None) -> list[list[Any]]:
    table, rows = TABLES[name], []
    async with TopicLog(settings, codec, table.topic) as topic_log:
        done = archive.offsets(name) if archive else {}
        bounds = await topic_log.landmarks.bounds()
        stretches = {p: (max(begin, done.get(p, 0)), end) for p, (begin, end) in bounds.items()}
        stretches = {p: span for p, span in stretches.items() if span[0] < span[1]}
        counter = StretchCounter(topic_log, Due(NOW, stretches, dict.fromkeys(stretches, 0)))
        async with topic_log.reading(stretches) as chunks:
            async for chunk in chunks:
                for raw in chunk:
                    if (found := counter.take(raw)) is None:
                        continue
                    record = found.event.record
                    if isinstance(record, FrameCaptured):
                        value = codec.encode(without_picture(record))
                        rows.append(row_of(table, found, None, None, found.sha256, value))
                    else:
                        rows.append(row_of(table, found, found.is_copy, found.sha256, found.value))
    return rows


def _judged(row: list[Any], said: dict[str, str]) -> list[Any]:
    """A frame's row with its live outcome, where there is one yet."""
    names = TABLES[FRAMES.name].schema.names
    at = str(verdict_id(UUID(row[names.index("frame_id")]), row[names.index("attempt")]))
    if at in said:
        row[names.index("outcome")], row[names.index("verdict_id")] = said[at], at
    return row
