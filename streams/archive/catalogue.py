"""The archive's list of what counts: files, how far each partition is archived, and where each part is told of.

One SQLite file beside the Parquet.

Place in the flow: the archiver commits a period here in one transaction after its files are whole; readers see
committed files alone. A file that no row names is the rest of an end without notice or was merged into another;
`compaction` removes it after a while. One archiver writes at a time; any number read. One thread uses an object at a
time. Knows neither Kafka nor Parquet.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from streams.archive.periods import Period
from streams.errors import CallerError, OperatorError

NAME = "catalogue.sqlite"
FORMAT = 2
_TABLES = """
CREATE TABLE origin (cluster TEXT NOT NULL, prefix TEXT NOT NULL);
CREATE TABLE stretches (
  topic TEXT, partition INTEGER, start_ms INTEGER, end_ms INTEGER, low INTEGER, high INTEGER, rows INTEGER,
  passed_over INTEGER, expired INTEGER, sha256 TEXT, PRIMARY KEY (topic, partition, start_ms)) WITHOUT ROWID;
CREATE TABLE files (
  path TEXT PRIMARY KEY, topic TEXT, plant TEXT, line TEXT, day TEXT, rows INTEGER, bytes INTEGER, sha256 TEXT)
  WITHOUT ROWID;
CREATE INDEX files_by_topic ON files (topic, plant, line, day);
CREATE TABLE places (
  id INTEGER PRIMARY KEY, plant TEXT, line TEXT, day TEXT, UNIQUE (plant, line, day));
CREATE TABLE parts (part INTEGER, place INTEGER, PRIMARY KEY (part, place)) WITHOUT ROWID;
"""


_OF_PART = (
    "(plant, line, day) IN (SELECT plant, line, day FROM places JOIN parts ON parts.place = places.id WHERE part = ?)"
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a period took of a partition: offsets `low` to `high` (exclusive).

    `passed_over` values were no event of the topic; `expired` offsets below `low` were gone before they were archived.
    `sha256` covers every row's offset and digest, in order (`digest_of`).
    """

    topic: str
    partition: int
    period: Period
    low: int
    high: int
    rows: int
    passed_over: int
    expired: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ArchiveFile:
    """One Parquet file; `path` is relative to the archive, `topic` may also be `pictures`.

    `parts`, of a new file alone: the numbers of the parts that it tells of (`part_number`).
    """

    path: str
    topic: str
    plant: str
    line: str
    day: str
    rows: int
    bytes: int
    sha256: str
    parts: frozenset[int] = field(default=frozenset(), compare=False, repr=False)


def part_number(part_id: str) -> int:
    """The number under which a part is indexed: 64 bits of a digest. Two parts may share one, at no harm."""
    return int.from_bytes(hashlib.blake2b(part_id.encode(), digest_size=8).digest(), "big", signed=True)


class Catalogue:
    """Opens the archive in a folder. Use it as a context manager, or close() it."""

    def __init__(self, folder: Path, *, writing: bool = False) -> None:
        """CallerError where there is no archive to read, where another archiver writes, or for one that can't be."""
        self.folder = folder
        if not writing and not _is_there(folder):
            raise CallerError(f"there is no archive in {folder}; `lineside archive` makes one")
        self._held = contextlib.ExitStack()
        if writing:
            self._held.enter_context(_locked(folder))
        try:
            db = sqlite3.connect(folder / NAME, timeout=30.0, isolation_level=None, check_same_thread=False)
            self._db = self._held.enter_context(contextlib.closing(db))
            if writing:
                self._db.execute("PRAGMA synchronous=FULL")
                self._make_tables()
                self._db.execute("PRAGMA journal_mode=WAL")
            (came,) = self._db.execute("PRAGMA user_version").fetchone()
        except sqlite3.Error as error:
            self.close()
            raise OperatorError(f"the archive's list {folder / NAME} can't be used: {error}") from error
        if came != FORMAT:
            self.close()
            raise CallerError(
                f"the archive {folder} has format {came}, this program reads and writes format {FORMAT}: let the"
                " version that made it work on it, or choose another folder with LINESIDE_ARCHIVE"
            )

    def _make_tables(self) -> None:
        """Of a new archive; another format stays as it is."""
        if not self._db.execute("SELECT 1 FROM sqlite_master").fetchone():
            self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")

    def close(self) -> None:
        self._held.close()

    def __enter__(self) -> Catalogue:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def belongs_to(self, cluster: str, prefix: str) -> None:
        """Ties a new archive to a Kafka cluster and topic prefix; CallerError for one that is tied to another."""
        if (row := self._db.execute("SELECT cluster, prefix FROM origin").fetchone()) is None:
            self._db.execute("INSERT INTO origin VALUES (?, ?)", (cluster, prefix))
        elif tuple(row) != (cluster, prefix):
            raise CallerError(
                f"the archive {self.folder} is that of the topics {row[1]}* on cluster {row[0]}, not of {prefix}* on"
                f" {cluster}; offsets of two would be mixed: choose another folder with LINESIDE_ARCHIVE"
            )

    def offsets(self, topic: str) -> dict[int, int]:
        """By partition, the first offset that is not archived yet."""
        rows = self._db.execute(
            "SELECT partition, MAX(high) FROM stretches WHERE topic = ? GROUP BY partition", (topic,)
        )
        return dict(rows.fetchall())

    def archived_until_ms(self, topic: str) -> int:
        """End of the last archived period; 0 where there is none."""
        (end,) = self._db.execute("SELECT MAX(end_ms) FROM stretches WHERE topic = ?", (topic,)).fetchone()
        return end or 0

    def stretches(self, topic: str) -> Iterator[Stretch]:
        """All stretches of a topic, by partition and time."""
        for row in self._db.execute(
            "SELECT topic, partition, start_ms, end_ms, low, high, rows, passed_over, expired, sha256 FROM stretches "
            "WHERE topic = ? ORDER BY partition, start_ms",
            (topic,),
        ):
            yield Stretch(row[0], row[1], Period(row[2], row[3]), *row[4:])

    def files(
        self,
        topic: str,
        *,
        plant: str | None = None,
        line: str | None = None,
        since: str | None = None,
        until: str | None = None,
        part_id: str | None = None,
    ) -> list[ArchiveFile]:
        """Committed files of a topic, oldest day first; `since` and `until` are days, both inclusive.

        With `part_id` those of the lines and days that tell of a part, found without a look into any file.
        """
        wanted: dict[str, str | int | None] = {
            "plant = ?": plant,
            "line = ?": line,
            "day >= ?": since,
            "day <= ?": until,
        }
        wanted[_OF_PART] = None if part_id is None else part_number(part_id)
        asked = {clause: value for clause, value in wanted.items() if value is not None}
        sql = " AND ".join(["topic = ?", *asked])
        rows = self._db.execute(
            f"SELECT * FROM files WHERE {sql} ORDER BY day, plant, line, path",  # noqa: S608  # clauses are ours
            (topic, *asked.values()),
        )
        return [ArchiveFile(*row) for row in rows]

    def paths(self) -> set[str]:
        """Every file that counts."""
        return {path for (path,) in self._db.execute("SELECT path FROM files")}

    def commit(self, stretches: Iterable[Stretch], files: Iterable[ArchiveFile]) -> None:
        """A period is archived: all of it or nothing."""
        with self._transaction():
            self._db.executemany(
                "INSERT INTO stretches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                [(s.topic, s.partition, s.period.start_ms, s.period.end_ms, *_counts(s)) for s in stretches],
            )
            self._add(files)

    def replace(self, old: Sequence[ArchiveFile], new: ArchiveFile) -> None:
        """Several files became one."""
        with self._transaction():
            self._db.executemany("DELETE FROM files WHERE path = ?", [(file.path,) for file in old])
            self._add([new])

    def _add(self, files: Iterable[ArchiveFile]) -> None:
        for f in files:
            place = (f.plant, f.line, f.day)
            row = (f.path, f.topic, *place, f.rows, f.bytes, f.sha256)
            self._db.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)
            self._db.execute("INSERT OR IGNORE INTO places (plant, line, day) VALUES (?, ?, ?)", place)
            at = self._db.execute("SELECT id FROM places WHERE (plant, line, day) = (?, ?, ?)", place).fetchone()
            parts = [(part, *at) for part in sorted(f.parts)]
            self._db.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", parts)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise OperatorError(f"the archive's list {self.folder / NAME} can't be written: {error}") from error
            raise


def where_there(folder: Path) -> contextlib.AbstractContextManager[Catalogue | None]:
    """The archive in a folder for reading, None where there is none."""
    return Catalogue(folder) if _is_there(folder) else contextlib.nullcontext()


def _is_there(folder: Path) -> bool:
    """Tables come whole: until then the file is empty."""
    return (folder / NAME).is_file() and (folder / NAME).stat().st_size > 0


def _counts(stretch: Stretch) -> tuple[int, int, int, int, int, str]:
    return stretch.low, stretch.high, stretch.rows, stretch.passed_over, stretch.expired, stretch.sha256


def _locked(folder: Path) -> IO[str]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise CallerError(f"the archive {folder} can't be made: {error.strerror}; choose another folder") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise CallerError(f"another archiver writes to {folder}; one is enough for an installation") from None
    return lock
