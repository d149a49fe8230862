"""Rows of a period into Parquet files by line and day, each read back before it may count.

A file appears whole under its name; nothing names it until the catalogue does. Rows are written in groups as they come,
so that memory does not grow with a period. Knows no Kafka.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.archive.catalogue import ArchiveFile, part_number
from streams.arrow import table_of
from streams.errors import OperatorError

ROW_GROUP = 10_000
COMPRESSION = "zstd"
UNFINISHED = ".new"
Place = tuple[str, str, str]  # plant, line, day


@dataclass(slots=True)
class _Open:
    path: Path
    writer: pq.ParquetWriter
    waiting: list[Sequence[Any]] = field(default_factory=list)
    parts: set[int] = field(default_factory=set)
    rows: int = 0


class PeriodFiles:
    """The files of one topic and period. `finish` makes them whole; leave them without it and nothing counts."""

    def __init__(self, archive: Path, topic: str, schema: pa.Schema, name: str) -> None:
        self._archive = archive
        self._topic = topic
        self._schema = schema
        self._part = schema.get_field_index("part_id")  # -1: the table tells of no part
        self._name = name
        self._open: dict[Place, _Open] = {}

    def add(self, place: Place, row: Sequence[Any]) -> None:
        """A row in the order of the schema; OperatorError where the disk takes no more."""
        if place not in self._open:
            self._open[place] = self._opened(place)
        file = self._open[place]
        file.waiting.append(row)
        if self._part >= 0 and row[self._part]:
            file.parts.add(part_number(row[self._part]))
        if len(file.waiting) >= ROW_GROUP:
            self._write(file)

    def finish(self) -> list[ArchiveFile]:
        """Closes, reads back and names the files; OperatorError where one does not hold what was written."""
        return [self._finished(place, file) for place, file in sorted(self._open.items())]

    def _opened(self, place: Place) -> _Open:
        plant, line, day = place
        folder = self._archive / self._topic / f"plant={plant}" / f"line={line}" / f"day={day}"
        path = folder / f"{self._name}.parquet"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writer = pq.ParquetWriter(path.with_name(path.name + UNFINISHED), self._schema, compression=COMPRESSION)
        except OSError as error:
            raise full(self._archive, error) from error
        return _Open(path, writer)

    def _write(self, file: _Open) -> None:
        try:
            file.writer.write_table(table_of(self._schema, file.waiting))
        except OSError as error:
            raise full(self._archive, error) from error
        file.rows += len(file.waiting)
        file.waiting.clear()

    def _finished(self, place: Place, file: _Open) -> ArchiveFile:
        self._write(file)
        unfinished = file.path.with_name(file.path.name + UNFINISHED)
        try:
            file.writer.close()
        except OSError as error:
            raise full(self._archive, error) from error
        named = settled(self._archive, unfinished, file.path, self._topic, place)
        if named.rows != file.rows:
            raise OperatorError(f"{file.path} holds {named.rows} rows where {file.rows} were written; see the disk")
        return replace(named, parts=frozenset(file.parts))


def settled(archive: Path, unfinished: Path, path: Path, topic: str, place: Place) -> ArchiveFile:
    """Brings a written file safely under its name, and says what it holds."""
    try:
        with unfinished.open("rb") as data:
            os.fsync(data.fileno())
            sha256 = hashlib.file_digest(data, "sha256").hexdigest()
        rows = pq.read_metadata(unfinished).num_rows
        unfinished.replace(path)
        sync(path.parent)
        return ArchiveFile(str(path.relative_to(archive)), topic, *place, rows, path.stat().st_size, sha256)
    except (OSError, pa.ArrowException) as error:
        raise full(archive, error) from error


def sync(folder: Path) -> None:
    """The folder's entries outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def full(archive: Path, error: Exception) -> OperatorError:
    """What people are told where the archive takes nothing more."""
    why = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else str(error)
    return OperatorError(f"the archive {archive} takes no more: {why}; make room, then start `lineside archive` again")
