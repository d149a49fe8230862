"""What the archive holds, once: its tables with their columns. Pure.

A row is an event as `streams.columns` flattens it, with the digest of its bytes in the topic and the event itself.
Frames leave their picture out: what was kept of pictures is a table of its own, because corrections come later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from schemas import records
from streams.arrow import schema_of
from streams.columns import Column, Kind, columns_of
from streams.topics import DEFECTS, FRAMES, OUTCOMES, PARTS, VERDICTS, Topic

PICTURES = "pictures"
EVENT = Column(
    "event", Kind.BYTES, "The event: Avro in Confluent framing; of a frame without its picture.", lambda e: None
)
COPY = Column(
    "is_copy", Kind.BOOLEAN, "A later record of an id that counts once; queries leave it out.", lambda e: None
)
DIGEST = Column("event_sha256", Kind.TEXT, "SHA-256 of the event's bytes in the topic.", lambda e: None)
LIVE_OUTCOME = Column("outcome", Kind.TEXT, "Outcome of the live verdict; empty where none was found.", lambda e: None)
LIVE_VERDICT = Column("verdict_id", Kind.TEXT, "The live verdict.", lambda e: None)


@dataclass(frozen=True, slots=True)
class Table:
    """One archived topic. `columns` are read from the event; `more` are given by the archiver, behind them."""

    topic: Topic
    columns: tuple[Column, ...]
    more: tuple[Column, ...] = (COPY, DIGEST, EVENT)

    @property
    def name(self) -> str:
        return self.topic.name

    @property
    def schema(self) -> pa.Schema:
        return schema_of((*self.columns, *self.more))


def _frame_columns() -> tuple[Column, ...]:
    return tuple(column for column in columns_of(records.FrameCaptured) if column.name != "image")


TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        Table(VERDICTS, columns_of(records.VerdictIssued)),
        Table(DEFECTS, columns_of(records.DefectDetected, unprefixed="verdict")),
        Table(PARTS, columns_of(records.PartDecided)),
        Table(OUTCOMES, columns_of(records.ReworkOutcome)),
        Table(FRAMES, _frame_columns(), (LIVE_OUTCOME, LIVE_VERDICT, DIGEST, EVENT)),
    )
}
PICTURE_SCHEMA = pa.schema(
    [
        ("plant", pa.string()),
        ("line", pa.string()),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
        ("frame_id", pa.string()),
        ("kept_for", pa.string()),
        ("inclusion_probability", pa.float64()),
        ("picture_ref", pa.string()),
        ("picture_sha256", pa.string()),
        ("picture_bytes", pa.int64()),
    ]
)


@dataclass(frozen=True, slots=True)
class KeptPicture:
    """A frame's picture in the frame store, why it is kept, and with which probability any such frame's is."""

    plant: str
    line: str
    partition: int
    offset: int
    frame_id: str
    kept_for: str
    inclusion_probability: float | None
    picture_ref: str
    picture_sha256: str
    picture_bytes: int


def without_picture(frame: records.FrameCaptured) -> records.FrameCaptured:
    """The frame as it is archived."""
    return replace(frame, image=None)


def place_of(record: Any) -> tuple[str, str]:
    """Plant and line that an event belongs to."""
    of = record.verdict if isinstance(record, records.DefectDetected) else record
    return of.plant, of.line
