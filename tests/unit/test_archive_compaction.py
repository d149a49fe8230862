"""Files of a closed day become one: the same rows, nothing of an open day, and readers of the old list go on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from streams.archive.catalogue import ArchiveFile, Catalogue, Stretch
from streams.archive.compaction import GRACE_S, compact_closed_days, remove_remains
from streams.archive.parquet import PeriodFiles
from streams.archive.periods import Period, day_of_ms
from streams.archive.session import connect
from streams.archive.tables import TABLES
from streams.settings import DAY_S

DAY_MS = int(DAY_S * 1000)
PERIODS_A_DAY = 3
LINES = ("l0", "it's l1")
SCHEMA = TABLES["parts"].schema
TYPES: dict[pa.DataType, Any] = {pa.string(): "text", pa.int64(): 1, pa.float64(): 0.5, pa.bool_(): False}


def part_row(part_id: str, offset: int, at_ms: int) -> list[Any]:
    known = {"part_id": part_id, "partition": 0, "offset": offset, "appended_at": at_ms, "event": b"\x00event"}
    return [known.get(field.name, TYPES.get(field.type)) for field in SCHEMA]


def archived(catalogue: Catalogue, days: int) -> None:
    """Three parts a period and line; the last day is open yet."""
    offset = 0
    for start in range(0, days * DAY_MS, DAY_MS // PERIODS_A_DAY):
        files, low = PeriodFiles(catalogue.folder, "parts", SCHEMA, str(start)), offset
        for line in LINES:
            for n in range(3):
                files.add(("p1", line, day_of_ms(start)), part_row(f"P-{(7 * offset + n) % 5}", offset, start + n))
                offset += 1
        period = Period(start, start + DAY_MS // PERIODS_A_DAY)
        catalogue.commit([Stretch("parts", 0, period, low, offset, offset - low, 0, 0, "digest")], files.finish())


@pytest.fixture
def catalogue(tmp_path: Path) -> Any:
    with Catalogue(tmp_path / "archive of Ana's", writing=True) as opened:
        archived(opened, 3)
        # The last day's end is not archived yet: its first period alone would close it, were the day's number enough.
        opened._db.execute("DELETE FROM stretches WHERE end_ms = ?", (3 * DAY_MS,))
        yield opened


def rows(catalogue: Catalogue) -> list[tuple[Any, ...]]:
    with connect(catalogue) as db:
        return db.execute('SELECT * FROM parts ORDER BY "offset"').fetchall()


def by_day(files: Sequence[ArchiveFile]) -> dict[tuple[str, str], int]:
    return {(f.line, f.day): sum((g.line, g.day) == (f.line, f.day) for g in files) for f in files}


def test_closed_days_become_one_file_a_line_with_the_same_rows_in_order_of_parts(catalogue: Catalogue) -> None:
    before = rows(catalogue)
    assert set(by_day(catalogue.files("parts")).values()) == {PERIODS_A_DAY}
    assert compact_closed_days(catalogue) == 4
    counts = by_day(catalogue.files("parts"))
    assert {n for (_, day), n in counts.items() if day < day_of_ms(2 * DAY_MS)} == {1}
    assert {n for (_, day), n in counts.items() if day == day_of_ms(2 * DAY_MS)} == {PERIODS_A_DAY}
    assert rows(catalogue) == before
    assert len(before) == 3 * PERIODS_A_DAY * len(LINES) * 3
    merged = catalogue.files("parts", line=LINES[1], until=day_of_ms(0))
    table = pq.read_table(catalogue.folder / merged[0].path, columns=["part_id"], partitioning=None)
    parts = table.column("part_id").to_pylist()
    assert parts == sorted(parts)
    assert compact_closed_days(catalogue) == 0


def test_a_reader_with_the_old_list_goes_on_until_the_grace_is_over(catalogue: Catalogue) -> None:
    with connect(catalogue) as early:
        before = rows(catalogue)
        compact_closed_days(catalogue)
        now = time.time()
        assert remove_remains(catalogue, now) == 0
        assert early.execute('SELECT * FROM parts ORDER BY "offset"').fetchall() == before
    assert remove_remains(catalogue, now + GRACE_S + 60) == 4 * PERIODS_A_DAY
    assert rows(catalogue) == before
    on_disk = {str(path.relative_to(catalogue.folder)) for path in catalogue.folder.glob("parts/**/*.*")}
    assert on_disk == catalogue.paths()


def test_what_a_period_adds_later_to_a_merged_day_joins_it(catalogue: Catalogue) -> None:
    compact_closed_days(catalogue)
    files = PeriodFiles(catalogue.folder, "parts", SCHEMA, "late")
    files.add(("p1", "l0", day_of_ms(0)), part_row("P-late", 10_000, 1))
    catalogue.commit([], files.finish())
    before = rows(catalogue)
    assert compact_closed_days(catalogue) == 1
    assert rows(catalogue) == before
    assert set(by_day(catalogue.files("parts", line="l0", until=day_of_ms(0))).values()) == {1}


def test_a_merge_that_ends_halfway_leaves_the_old_files_in_force(
    catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(catalogue)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Catalogue, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            compact_closed_days(catalogue)
    assert rows(catalogue) == before
    assert remove_remains(catalogue, time.time(), grace_s=0.0) == 1
    assert compact_closed_days(catalogue) == 4
    assert rows(catalogue) == before


def test_files_of_an_earlier_version_are_read_and_merged_with_what_they_lack_left_empty(tmp_path: Path) -> None:
    with Catalogue(tmp_path / "old", writing=True) as opened:
        archived(opened, 1)
        for file in opened.files("parts")[::2]:  # as written before `detail` was thought of
            table = pq.read_table(opened.folder / file.path, partitioning=None)
            pq.write_table(table.drop_columns(["detail"]), opened.folder / file.path)
        asked = "SELECT count(*), count(detail), count(DISTINCT day) FROM parts WHERE plant = 'p1'"
        count = PERIODS_A_DAY * len(LINES) * 3
        with connect(opened) as db:
            assert db.execute(asked).fetchone() == (count, count / 2, 1)
        assert compact_closed_days(opened) == len(LINES)
        with connect(opened) as db:
            assert db.execute(asked).fetchone() == (count, count / 2, 1)
        for file in opened.files("parts"):
            table = pq.read_table(opened.folder / file.path, partitioning=None)
            pq.write_table(table.drop_columns(["detail"]), opened.folder / file.path)
        with connect(opened) as db:
            assert db.execute(asked).fetchone() == (count, 0, 1), "no file has it"
