"""The archive's list: all of a period or nothing, one writer, and where a part is told of without a look into files."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from streams.archive.catalogue import NAME, ArchiveFile, Catalogue, Stretch, part_number, where_there
from streams.archive.periods import Period
from streams.errors import CallerError, OperatorError

PERIOD = Period(0, 1000)


def file(name: str, line: str = "l1", day: str = "2026-01-01", topic: str = "verdicts", *parts: str) -> ArchiveFile:
    return ArchiveFile(name, topic, "p1", line, day, 1, 1, "digest", frozenset(map(part_number, parts)))


def stretch(partition: int = 0, low: int = 0, high: int = 10, period: Period = PERIOD) -> Stretch:
    return Stretch("verdicts", partition, period, low, high, high - low, 0, 0, "digest")


@pytest.fixture
def catalogue(tmp_path: Path) -> Any:
    with Catalogue(tmp_path, writing=True) as opened:
        yield opened


def test_a_part_leads_to_the_files_of_the_lines_and_days_that_tell_of_it(catalogue: Catalogue) -> None:
    catalogue.commit([], [file("a", "l1", "2026-01-01", "verdicts", "P-1", "P-2"), file("b", "l2")])
    catalogue.commit([], [file("c", "l1", "2026-01-02", "outcomes", "P-1")])
    catalogue.commit([], [file("d", "l1", "2026-01-01", "pictures"), file("e", "l1", "2026-01-03", "verdicts", "P-3")])
    assert [f.path for f in catalogue.files("verdicts", part_id="P-1")] == ["a"]
    assert [f.path for f in catalogue.files("outcomes", part_id="P-1")] == ["c"]
    assert [f.path for f in catalogue.files("pictures", part_id="P-1")] == ["d"]
    assert [f.path for f in catalogue.files("verdicts", part_id="P-2", since="2026-01-02")] == []
    assert catalogue.files("verdicts", part_id="P-4") == []


def test_a_part_is_found_in_the_file_that_several_became(catalogue: Catalogue) -> None:
    old = [file("a", "l1", "2026-01-01", "verdicts", "P-1"), file("b", "l1", "2026-01-01", "verdicts", "P-2")]
    catalogue.commit([], old)
    catalogue.replace(old, file("day"))
    assert [f.path for f in catalogue.files("verdicts", part_id="P-2")] == ["day"]


def test_a_part_number_is_the_same_on_every_machine() -> None:
    # b2sum -l 64 of "SN-0001" is 94a494a28867285c, read as a signed number
    assert part_number("SN-0001") == -7735894834121594788


def test_a_period_that_fails_leaves_nothing_behind(catalogue: Catalogue) -> None:
    catalogue.commit([stretch()], [file("a", "l1", "2026-01-01", "verdicts", "P-1")])
    with pytest.raises(Exception, match="UNIQUE"):
        catalogue.commit([stretch(1)], [file("b"), file("a")])
    assert [s.partition for s in catalogue.stretches("verdicts")] == [0]
    assert catalogue.paths() == {"a"}
    assert catalogue.offsets("verdicts") == {0: 10}
    assert catalogue.archived_until_ms("verdicts") == 1000


def test_an_archive_belongs_to_one_cluster_and_prefix_and_has_one_writer(catalogue: Catalogue) -> None:
    catalogue.belongs_to("c1", "lineside.")
    catalogue.belongs_to("c1", "lineside.")
    with pytest.raises(CallerError, match="is that of the topics lineside"):
        catalogue.belongs_to("c2", "lineside.")
    with pytest.raises(CallerError, match="another archiver writes"):
        Catalogue(catalogue.folder, writing=True)
    with Catalogue(catalogue.folder) as reading:
        assert reading.files("verdicts") == []


def test_where_no_archive_is_none_is_made_by_looking(tmp_path: Path) -> None:
    with where_there(tmp_path / "none") as found:
        assert found is None
    with pytest.raises(CallerError, match="there is no archive in"):
        Catalogue(tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_an_archive_whose_making_was_cut_off_is_none_yet_and_is_made_by_the_next_start(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    with where_there(tmp_path) as found:
        assert found is None
    with Catalogue(tmp_path, writing=True) as opened:
        assert opened.paths() == set()


def test_another_format_or_no_sqlite_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / NAME) as old:
        old.execute("CREATE TABLE files (path TEXT)")
    old.close()
    for writing in (False, True):
        with pytest.raises(CallerError, match="has format 0, this program reads and writes format 2"):
            Catalogue(tmp_path, writing=writing)
    (tmp_path / NAME).write_bytes(b"no list of an archive" * 99)
    for writing in (False, True):
        with pytest.raises(OperatorError, match="can't be used"):
            Catalogue(tmp_path, writing=writing)
    assert (tmp_path / NAME).read_bytes().startswith(b"no list")


def test_a_list_that_cant_be_opened_is_one_sentence_and_leaves_no_lock(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    for _ in range(2):
        with pytest.raises(OperatorError, match="can't be used"):
            Catalogue(tmp_path, writing=True)


def test_files_are_narrowed_by_line_and_days(catalogue: Catalogue) -> None:
    catalogue.commit([], [file(f"{line}-{day}", line, f"2026-01-0{day}") for line in ("l1", "l2") for day in (1, 2, 3)])
    assert [f.path for f in catalogue.files("verdicts", line="l2", since="2026-01-02")] == ["l2-2", "l2-3"]
    assert [f.path for f in catalogue.files("verdicts", plant="p1", until="2026-01-01")] == ["l1-1", "l2-1"]
    assert catalogue.files("verdicts", plant="p2") == []
    kept = catalogue.files("verdicts", line="l1")[0]
    assert dataclasses.replace(kept, rows=2).rows == 2
