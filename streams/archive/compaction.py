"""The files of a closed day into one, ordered by part: fewer files to open, and a part's rows beside each other.

Place in the flow: after the archiver has nothing else to do. The new file is whole before the catalogue names it and
the old ones go after that; readers that hold the old list are told by a missing file and ask again.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable

import duckdb

from streams.archive.catalogue import ArchiveFile, Catalogue
from streams.archive.parquet import UNFINISHED, full, settled
from streams.archive.periods import day_of_ms
from streams.archive.tables import PICTURES, TABLES

log = logging.getLogger(__name__)
ROW_GROUP = 8192  # a part lies in one or two of these
MERGED = "day"


def compact_closed_days(catalogue: Catalogue) -> int:
    """Merges the files of every line and day that will get no more from a period; how many files were made."""
    made = 0
    for topic in (*TABLES, PICTURES):
        open_from = day_of_ms(catalogue.archived_until_ms("frames" if topic == PICTURES else topic))
        for files in _by_day(catalogue.files(topic)):
            if len(files) > 1 and files[0].day < open_from:
                _merge(catalogue, files)
                made += 1
    return made


def _by_day(files: Iterable[ArchiveFile]) -> Iterable[list[ArchiveFile]]:
    days: dict[tuple[str, str, str], list[ArchiveFile]] = defaultdict(list)
    for file in files:
        days[file.plant, file.line, file.day].append(file)
    return days.values()


def _merge(catalogue: Catalogue, files: list[ArchiveFile]) -> None:
    first = files[0]
    version = sum(file.path.rpartition("/")[2].startswith(MERGED) for file in files)
    path = (catalogue.folder / first.path).with_name(f"{MERGED}-{files[-1].sha256[:12]}-{version}.parquet")
    unfinished = path.with_name(path.name + UNFINISHED)
    order = 'partition, "offset"' if first.topic == PICTURES else 'part_id, partition, "offset"'
    names = [str(catalogue.folder / file.path) for file in files]
    try:
        with duckdb.connect() as db:
            db.execute("SET threads = 1")
            db.execute("SET memory_limit = '1GB'")
            db.execute(f"SET temp_directory = '{catalogue.folder / '.tmp'}'")
            db.execute(
                f"COPY (SELECT * FROM read_parquet($names, hive_partitioning = false) ORDER BY {order}) "  # noqa: S608
                f"TO '{unfinished}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})",
                {"names": names},
            )
    except duckdb.Error as error:
        unfinished.unlink(missing_ok=True)
        raise full(catalogue.folder, error) from error
    merged = settled(catalogue.folder, unfinished, path, first.topic, (first.plant, first.line, first.day))
    if merged.rows != sum(file.rows for file in files):
        raise RuntimeError(f"{path} holds {merged.rows} rows of {sum(file.rows for file in files)}")
    catalogue.replace(files, merged)
    for name in names:
        (catalogue.folder / name).unlink(missing_ok=True)
