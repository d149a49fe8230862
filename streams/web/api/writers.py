"""Rows as JSON, NDJSON, CSV or Parquet, into a binary file.

Place in the flow: `page.py` hands over events in order; the file is sent when it is whole. JSON is what `lineside tail`
prints. A writer knows columns and events, neither Kafka nor HTTP.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from datetime import datetime
from typing import IO, Any, Protocol

import pyarrow.parquet as pq

from streams.arrow import schema_of, table_of
from streams.bus.subscriber import Received
from streams.columns import Column, row
from streams.tail import json_line, plain
from streams.web.api.query import Form

BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")  # what makes a spreadsheet calculate, by OWASP
ROW_GROUP = 10_000


class Writer(Protocol):
    """Takes rows, then `finish` with the cursor behind them, None where there is nothing more."""

    def write(self, events: Sequence[Received[Any]]) -> None: ...

    def finish(self, next_cursor: str | None) -> None: ...


def writer_of(form: Form, file: IO[bytes], columns: tuple[Column, ...], *, bom: bool = False) -> Writer:
    """A writer of this form; `bom` marks CSV as UTF-8 for Excel."""
    match form:
        case Form.CSV:
            return CsvWriter(file, columns, bom=bom)
        case Form.PARQUET:
            return ParquetWriter(file, columns)
        case Form.NDJSON:
            return NdjsonWriter(file)
        case Form.JSON:
            return JsonWriter(file)


class NdjsonWriter:
    """One event a line, as `lineside tail --json` prints it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, events: Sequence[Received[Any]]) -> None:
        self._file.writelines(f"{json_line(event)}\n".encode() for event in events)

    def finish(self, next_cursor: str | None) -> None:
        pass


class JsonWriter:
    """One object: `items`, how many (`count`), and `next`, the cursor of the page behind."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._count = 0
        file.write(b'{"items":[')

    def write(self, events: Sequence[Received[Any]]) -> None:
        for event in events:
            self._file.write((",\n" if self._count else "\n").encode() + json_line(event).encode())
            self._count += 1

    def finish(self, next_cursor: str | None) -> None:
        self._file.write(f'\n],"count":{self._count},"next":{json.dumps(next_cursor)}}}\n'.encode())


class CsvWriter:
    """RFC 4180 with a header line, UTF-8. Empty cells are nulls; text that a spreadsheet would calculate is defused."""

    def __init__(self, file: IO[bytes], columns: tuple[Column, ...], *, bom: bool = False) -> None:
        self._file = file
        self._columns = columns
        self._file.write((BOM if bom else "").encode() + csv_lines([[column.name for column in columns]]))

    def write(self, events: Sequence[Received[Any]]) -> None:
        self._file.write(csv_lines([[cell(value) for value in row(self._columns, event)] for event in events]))

    def finish(self, next_cursor: str | None) -> None:
        pass


def csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    """RFC 4180: lines end with CR LF, quotes are doubled."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def cell(value: Any) -> str:
    """A value as a cell. Numbers stay numbers; text that begins like a formula gets a leading apostrophe."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return str(plain(value))
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return "'" + value
    return str(value)


class ParquetWriter:
    """Typed columns, times as UTC milliseconds; each column's meaning is its field's `description`."""

    def __init__(self, file: IO[bytes], columns: tuple[Column, ...]) -> None:
        self._columns = columns
        self._schema = schema_of(columns)
        self._parquet = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[list[Any]] = []

    def write(self, events: Sequence[Received[Any]]) -> None:
        self._rows.extend(row(self._columns, event) for event in events)
        if len(self._rows) >= ROW_GROUP:
            self._flush()

    def finish(self, next_cursor: str | None) -> None:
        if self._rows:
            self._flush()
        self._parquet.close()

    def _flush(self) -> None:
        self._parquet.write_table(table_of(self._schema, self._rows))
        self._rows.clear()
