"""Which frames a replay is about: what is asked for and nothing else, kept and read back as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.errors import CallerError
from streams.replay.saved_set import read_set
from streams.replay.selection import Selection, check_run, default_run, parse_offsets
from tests.builders import frame

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
FRAME = frame(1, plant="p1", line="l1", station="s1", sku="A", part_id="P-1")
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))
TEXT = st.none() | st.text(max_size=5)


@pytest.mark.parametrize(
    ("asked", "taken"),
    [
        ({}, True),
        ({"plant": "p1", "line": "l1", "station": "s1", "sku": "A"}, True),
        ({"line": "l2"}, False),
        ({"sku": "B"}, False),
        ({"since": AT}, True),
        ({"until": AT}, False),
        ({"since": AT + timedelta(milliseconds=1)}, False),
        ({"until": AT + timedelta(milliseconds=1)}, True),
        ({"part_ids": frozenset({"P-1"})}, True),
        ({"part_ids": frozenset({"P-2"})}, False),
        ({"frame_ids": frozenset({str(FRAME.frame_id)})}, True),
        ({"part_ids": frozenset({"P-2"}), "frame_ids": frozenset({str(FRAME.frame_id)})}, True),
        ({"offsets": {3: (7, 8)}}, True),
        ({"offsets": {3: (8, 9)}}, False),
        ({"offsets": {2: (0, 99)}}, False),
    ],
)
def test_a_frame_is_taken_where_all_that_is_asked_fits(asked: dict[str, Any], taken: bool) -> None:
    assert Selection(**asked).takes(FRAME, 3, 7, AT) is taken


@given(
    since=st.none() | TIMES,
    length=st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=9)),
    places=st.tuples(TEXT, TEXT, TEXT, TEXT),
    offsets=st.none() | st.dictionaries(st.integers(0, 99), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    ids=st.tuples(st.frozensets(st.text(max_size=5)), st.frozensets(st.text(max_size=5))),
)
def test_a_selection_outlives_its_json(since: Any, length: Any, places: Any, offsets: Any, ids: Any) -> None:
    until = since + length if since and length else None
    selection = Selection(since, until, *places, offsets, *ids)
    assert Selection.from_json(selection.to_json()) == selection


def test_a_range_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(CallerError, match="--from must be before --to"):
        Selection(since=AT, until=AT)


def test_offsets_are_read_with_both_ends_inclusive() -> None:
    assert parse_offsets([]) is None
    assert parse_offsets(["3:10-19", "0:5-5"]) == {3: (10, 20), 0: (5, 6)}
    for wrong in ("3", "3:10", "a:1-2", "3:10-19 ", "-1:0-1", "3:10-19\n", "\u0663:1-2", "1:" + "9" * 5000 + "-1"):
        with pytest.raises(CallerError, match="--offsets needs PARTITION:FIRST-LAST"):
            parse_offsets([wrong])
    with pytest.raises(CallerError, match="ends before it begins"):
        parse_offsets(["3:19-10"])


def test_a_run_has_a_name_that_no_live_decision_bears() -> None:
    assert check_run("new-model-1") == "new-model-1"
    for taken in ("live", "shadow", "shadow-2"):
        with pytest.raises(CallerError, match="choose another name with --run"):
            check_run(taken)
    for wrong in ("", "-a", "a" * 41, "A", "a/b", "a\n", "../x"):
        with pytest.raises(CallerError, match="takes 1 to 40"):
            check_run(wrong)
    for model in ("cell-resnet18", "ÄÖ", "--", "M" * 90, "live", "shadow"):
        assert check_run(default_run(model, AT)).endswith("0301-120000")


def test_sets_are_read_from_parquet_csv_and_text(tmp_path: Path) -> None:
    frame_id = str(FRAME.frame_id)
    pq.write_table(pa.table({"frame_id": [frame_id, None], "part_id": ["P-1", "P-2"]}), tmp_path / "a.parquet")
    pc.write_csv(pa.table({"part_id": ["0012", "7"]}), tmp_path / "b.csv")
    (tmp_path / "c.txt").write_text(f"{frame_id}\n\n")
    (tmp_path / "d.txt").write_text(f"  P-1 \n{frame_id}\n")
    assert read_set(tmp_path / "a.parquet") == ({frame_id}, frozenset())
    assert read_set(tmp_path / "b.csv") == (frozenset(), {"0012", "7"})
    assert read_set(tmp_path / "c.txt") == ({frame_id}, frozenset())
    assert read_set(tmp_path / "d.txt") == (frozenset(), {"P-1", frame_id})


def test_files_that_are_no_sets_are_refused_with_what_is_wrong(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "a.parquet")
    (tmp_path / "b.parquet").write_bytes(b"no parquet")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "d.txt").write_text("\n")
    for name, why in (
        ("a.parquet", "needs a column frame_id or part_id; it has id"),
        ("b.parquet", "can't be read"),
        ("c.txt", "can't be read"),
        ("d.txt", "must hold 1 to 1,000,000 ids; it holds 0"),
        ("e.csv", "can't be read"),
    ):
        with pytest.raises(CallerError, match=why):
            read_set(tmp_path / name)
