"""How fast the archive answers: a line's day and a part's history over millions of verdicts.

    .venv/bin/python infra/benchmarks/archive_query.py [--rows 10000000] [--lines 4] [--days 30] [--folder DIR]

Makes an archive of its own with synthetic rows (as the compaction leaves it: a file a line and day, by part), in the
archive's own schema, then asks through the sessions of `lineside query` and `lineside part`, which narrows to the files
that tell of its part: each question with a connection of its own. Times are medians of 5 with the slowest.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import tempfile
import time
from pathlib import Path

import duckdb

from streams.archive.catalogue import ArchiveFile, Catalogue, part_number
from streams.archive.compaction import ROW_GROUP
from streams.archive.session import Narrow, connect
from streams.archive.tables import TABLES

REPEAT = 5
ROW = """
SELECT {columns} FROM (
  SELECT (i % 12)::BIGINT AS "partition", {day} * 1000000 + i AS "offset",
    TIMESTAMPTZ '2026-01-01 00:00:00+00' + INTERVAL ({day}) DAY + INTERVAL (i * 86400000 // {rows}) MILLISECOND
      AS appended_at, md5('{line}' || {day} || i) AS h, i,
    'SN-' || md5('{line}/{day}/' || (i // 2)) AS part_id, random() AS score
  FROM range({rows}) t(i)) ORDER BY part_id, "partition", "offset"
"""
VALUES = {
    "verdict_id": "h", "run": "'live'", "frame_id": "h", "plant": "'p1'", "line": "'{line}'", "station": "'s1'",
    "camera": "'c1'", "sku": "'sku-' || i % 2", "outcome": "CASE WHEN score > 0.97 THEN 'NG' WHEN score > 0.95 THEN "
    "'UNSURE' ELSE 'OK' END", "reason": "'SCORE'", "detail": "''", "scores": "'{{\"good\": ' || 1 - score || ', "
    "\"scratch\": ' || score || '}}'", "findings": "'[]'", "mode": "'ACT'", "model_id": "'cell-resnet18'",
    "model_sha256": "md5('m') || md5('m')", "preprocess_sha256": "md5('p') || md5('p')", "device": "'openvino:CPU'",
    "precision": "'FP32'", "source_topic": "'lineside.frames'", "image_sha256": "h || h", "event_sha256": "h || h",
    "event": "(h || h || h || h || h)::BLOB", "is_copy": "false", "simulated": "false", "part_id": "part_id",
    "appended_at": "appended_at", "captured_at": "appended_at", "received_at": "appended_at",
    "decided_at": "appended_at", "source_timestamp": "appended_at", "source_partition": "\"partition\"",
    "source_offset": "\"offset\"", "partition": "\"partition\"", "offset": "\"offset\"", "trigger_seq": "i",
}  # fmt: skip


def make(folder: Path, rows: int, lines: int, days: int) -> None:
    schema, per_file = TABLES["verdicts"].schema, rows // (lines * days)
    with Catalogue(folder, writing=True) as catalogue, duckdb.connect() as db:
        db.execute("SET TimeZone = 'UTC'")
        for line in (f"line-{n}" for n in range(lines)):
            for day in range(days):
                name = f"{2026}-01-{day + 1:02}"
                at = folder / "verdicts" / "plant=p1" / f"line={line}" / f"day={name}"
                at.mkdir(parents=True)
                columns = ", ".join(
                    f'CAST({VALUES.get(f.name, "NULL").format(line=line)} AS {sql_type(f.type)}) AS "{f.name}"'
                    for f in schema
                )
                query = ROW.format(columns=columns, day=day, rows=per_file, line=line)
                db.execute(f"COPY ({query}) TO '{at}/day.parquet' (COMPRESSION zstd, ROW_GROUP_SIZE {ROW_GROUP})")
                path = at / "day.parquet"
                sha256 = hashlib.sha256(str(path).encode()).hexdigest()
                ids = db.sql(f"SELECT DISTINCT part_id FROM '{path}'").fetchall()
                parts = frozenset(part_number(part_id) for (part_id,) in ids)
                place, nbytes = ("verdicts", "p1", line, name), path.stat().st_size
                file = ArchiveFile(str(path.relative_to(folder)), *place, per_file, nbytes, sha256, parts)
                catalogue.commit([], [file])


def sql_type(arrow: object) -> str:
    names = {"string": "VARCHAR", "int64": "BIGINT", "double": "DOUBLE", "bool": "BOOLEAN", "binary": "BLOB"}
    return names.get(str(arrow), "TIMESTAMPTZ")


def timed(catalogue: Catalogue, sql: str, narrow: Narrow) -> tuple[list[float], int]:
    seconds, rows = [], 0
    for _ in range(REPEAT):
        started = time.perf_counter()
        with connect(catalogue, narrow=narrow) as db:
            rows = db.sql(sql).to_arrow_table().num_rows
        seconds.append(time.perf_counter() - started)
    return seconds, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--lines", type=int, default=4)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        started = time.perf_counter()
        if not (folder / "catalogue.sqlite").exists():
            make(folder, options.rows, options.lines, options.days)
        with Catalogue(folder) as catalogue:
            files = catalogue.files("verdicts")
            nbytes = sum(file.bytes for file in files)
            print(f"{sum(f.rows for f in files):,} rows, {len(files)} files, {nbytes / 2**30:.2f} GiB", end=" ")
            print(f"made in {time.perf_counter() - started:.0f} s")
            with connect(catalogue) as db:
                (part,) = db.sql("SELECT part_id FROM verdicts WHERE day = '2026-01-17' LIMIT 1").fetchall()[0]
            day, history = "WHERE line = 'line-1' AND day = '2026-01-17'", f"WHERE part_id = '{part}'"
            columns = "SELECT * EXCLUDE (event) FROM verdicts"
            questions = {
                "a line's day by outcome": (f"SELECT outcome, count(*) FROM verdicts {day} GROUP BY ALL", Narrow()),
                "a line's day, every row": (f"{columns} {day}", Narrow()),
                "a part's history": (f"{columns} {history}", Narrow(part_id=part)),
                "a part's history by plain SQL": (f"{columns} {history}", Narrow()),
            }
            for name, (sql, narrow) in questions.items():
                seconds, rows = timed(catalogue, sql, narrow)
                print(f"{name}: median {statistics.median(seconds):.3f} s, slowest {max(seconds):.3f} s, {rows} rows")


if __name__ == "__main__":
    main()
