"""The files of a closed day into one, ordered by part: fewer files to open, and a part's rows beside each other.

Place in the flow: after the archiver has nothing else to do. The new file is whole before the catalogue names it; the
old ones go GRACE_S later, because readers may still hold the list that names them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import duckdb

from streams.archive.catalogue import ArchiveFile, Catalogue
from streams.archive.parquet import UNFINISHED, full, settled
from streams.archive.periods import day_of_ms
from streams.archive.session import NO_DOWNLOADS, quoted
from streams.archive.tables import PICTURES, TABLES

GRACE_S = 600.0  # a question to the archive takes no longer
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
    listed = ", ".join(quoted(str(catalogue.folder / file.path)) for file in files)
    try:
        with duckdb.connect(config=NO_DOWNLOADS) as db:
            db.execute("SET threads = 1")
            db.execute("SET memory_limit = '1GB'")
            db.execute(f"SET temp_directory = {quoted(str(catalogue.folder / '.tmp'))}")
            db.execute("SET TimeZone = 'UTC'")
            db.execute(
                f"COPY (SELECT * FROM read_parquet([{listed}], hive_partitioning = false, union_by_name = true) "
                f"ORDER BY {order}) TO {quoted(str(unfinished))} "
                f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})"
            )
    except duckdb.Error as error:
        unfinished.unlink(missing_ok=True)
        raise full(catalogue.folder, error) from error
    merged = settled(catalogue.folder, unfinished, path, first.topic, (first.plant, first.line, first.day))
    if merged.rows != sum(file.rows for file in files):
        raise RuntimeError(f"{path} holds {merged.rows} rows of {sum(file.rows for file in files)}")
    catalogue.replace(files, merged)
    for file in files:  # a reader may hold the old list: they go later, by `remove_remains`
        (catalogue.folder / file.path).touch()


def remove_remains(catalogue: Catalogue, now_s: float, grace_s: float = GRACE_S) -> int:
    """Removes files that nothing names and that were not touched for `grace_s`; how many.

    Those are what merged files were made from, and what an archiver left behind that ended without notice.
    """
    counted, removed = catalogue.paths(), 0
    for path in catalogue.folder.glob("*/plant=*/line=*/day=*/*"):
        named = str(path.relative_to(catalogue.folder)) in counted
        if not named and now_s - path.stat().st_mtime >= grace_s:
            path.unlink()
            removed += 1
    return removed
