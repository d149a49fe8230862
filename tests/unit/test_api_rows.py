"""Events as rows: flattening, CSV that is safe to open, Parquet with types, and the merge of partitions."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.bus.spans import merged
from streams.bus.subscriber import Received
from streams.columns import Kind, row
from streams.tail import plain
from streams.web.api.query import Form
from streams.web.api.resources import RESOURCES
from streams.web.api.writers import cell, csv_lines, writer_of
from tests.contracts.samples import AT, DEFECT, SAMPLES, VERDICT, WINDOW, defect

EVENTS = {
    name: Received(SAMPLES[r.topic.record.__name__], 3, 17, AT, b"leipzig/L1/S2") for name, r in RESOURCES.items()
}


def written(form: Form, resource: str, events: list[Received[Any]], **options: bool) -> bytes:
    file = io.BytesIO()
    writer = writer_of(form, file, RESOURCES[resource].columns, **options)
    writer.write(events)
    writer.finish(None)
    return file.getvalue()


def cells(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline=""), strict=True))


@pytest.mark.parametrize("name", RESOURCES)
def test_every_field_of_an_event_is_a_column_of_its_own_type(name: str) -> None:
    columns = RESOURCES[name].columns
    assert len({c.name for c in columns}) == len(columns)
    types = {Kind.INTEGER: int, Kind.NUMBER: float, Kind.BOOLEAN: bool, Kind.TIME: datetime}
    for column, value in zip(columns, row(columns, EVENTS[name]), strict=True):
        if value is not None:
            assert type(value) is types.get(column.kind, str), column.name
        if column.kind == Kind.JSON:
            json.loads(value)


def test_a_defect_is_flat_with_its_surest_finding() -> None:
    columns = RESOURCES["defects"].columns
    flat = dict(zip((c.name for c in columns), row(columns, EVENTS["defects"]), strict=True))
    assert (flat["partition"], flat["offset"], flat["appended_at"]) == (3, 17, AT)
    assert (flat["plant"], flat["outcome"], flat["image_ref"], flat["encoding"]) == (
        "leipzig",
        "NG",
        "frames/40/40aff2e9",
        "MONO8",
    )
    assert (flat["top_label"], flat["top_score"]) == ("scratch", 0.9375)
    assert json.loads(flat["findings"]) == plain(VERDICT.findings)
    assert json.loads(flat["scores"]) == {"ok": 0.0625, "scratch": 0.9375}
    bare = Received(dataclasses.replace(VERDICT, findings=()), 0, 0, AT, None)
    assert row(RESOURCES["verdicts"].columns, bare)[-2:] == [None, None]


def test_estimates_are_columns_of_their_own_and_empty_where_unknown() -> None:
    columns = RESOURCES["line-stats"].columns
    flat = dict(zip((c.name for c in columns), row(columns, EVENTS["line-stats"]), strict=True))
    assert (flat["overkill_value"], flat["overkill_n"]) == (WINDOW.overkill.value, 512)  # type: ignore[union-attr]
    assert flat["escape_value"] is None
    assert flat["escape_n"] is None


def test_columns_say_what_the_schemas_say() -> None:
    meanings = {c.name: c.meaning for c in RESOURCES["defects"].columns}
    assert meanings["source_timestamp"] == "Append time of the frame by the broker."
    assert meanings["image_ref"].startswith("URI of the picture")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_text_that_a_spreadsheet_would_calculate_is_defused(start: str) -> None:
    hostile = f"{start}cmd|' /C calc'!A0,\"x\""
    data = written(Form.CSV, "defects", [Received(defect(1, part_id=hostile), 0, 0, AT, None)])
    assert cells(data)[0]["part_id"] == "'" + hostile


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1.5, "-1.5"), (-3, "-3"), (True, "true"), (None, ""), (float("-inf"), "-inf"), ("a-1", "a-1"), ("", "")],
)
def test_numbers_stay_numbers_and_nulls_are_empty(value: Any, expected: str) -> None:
    assert cell(value) == expected


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=2, max_size=4), max_size=4))
def test_any_text_survives_csv(rows: list[list[str]]) -> None:
    text = csv_lines(rows).decode()
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == rows


def test_csv_lines_end_as_rfc_4180_says_and_the_mark_for_excel_is_optional() -> None:
    plain_csv = written(Form.CSV, "alarms", [EVENTS["alarms"]])
    assert plain_csv.startswith(b"partition,offset,appended_at,")
    assert plain_csv.count(b"\r\n") == plain_csv.count(b"\n") == 2
    assert written(Form.CSV, "alarms", [EVENTS["alarms"]], bom=True) == b"\xef\xbb\xbf" + plain_csv


@pytest.mark.parametrize("name", RESOURCES)
def test_parquet_csv_and_json_say_the_same(name: str) -> None:
    events = [EVENTS[name], dataclasses.replace(EVENTS[name], offset=18)]
    table = pq.read_table(io.BytesIO(written(Form.PARQUET, name, events)))
    rows = cells(written(Form.CSV, name, events))
    items = json.loads(written(Form.JSON, name, events))["items"]
    lines = [json.loads(line) for line in written(Form.NDJSON, name, events).splitlines()]
    assert table.num_rows == len(rows) == len(items) == 2
    assert lines == items
    for typed, text, item in zip(table.to_pylist(), rows, items, strict=True):
        assert {column: cell(value) for column, value in typed.items()} == text
        assert (text["partition"], text["offset"]) == (str(item["partition"]), str(item["offset"]))
        assert text["appended_at"] == item["timestamp"]


def test_parquet_has_types_and_meanings_even_without_rows() -> None:
    schema = pq.read_schema(io.BytesIO(written(Form.PARQUET, "defects", [])))
    assert schema.field("appended_at").type == pa.timestamp("ms", tz="UTC")
    assert schema.field("trigger_seq").type == pa.int64()
    assert schema.field("top_score").type == pa.float64()
    assert schema.field("simulated").type == pa.bool_()
    assert schema.field("verdict_id").metadata[b"description"] == b"uuid5 of frame_id, attempt and run."


def test_many_rows_are_several_row_groups_in_order() -> None:
    events = [Received(DEFECT, 0, n, AT, None) for n in range(10_500)]
    file = io.BytesIO()
    writer = writer_of(Form.PARQUET, file, RESOURCES["defects"].columns)
    for start in range(0, len(events), 500):
        writer.write(events[start : start + 500])
    writer.finish(None)
    read = pq.ParquetFile(io.BytesIO(file.getvalue()))
    assert read.metadata.num_row_groups == 2
    assert read.read(["offset"])["offset"].to_pylist() == list(range(10_500))


def test_an_empty_page_is_valid_in_every_form() -> None:
    assert json.loads(written(Form.JSON, "parts", [])) == {"items": [], "count": 0, "next": None}
    assert written(Form.NDJSON, "parts", []) == b""
    assert cells(written(Form.CSV, "parts", [])) == []


@dataclass
class Record:
    partition: int
    timestamp: int
    offset: int = 0
    key: bytes | None = None
    value: bytes | None = None


def queues(**times: list[int]) -> dict[int, deque[Any]]:
    return {int(name[1:]): deque(Record(int(name[1:]), t) for t in of) for name, of in times.items()}


def test_partitions_are_merged_by_time_and_then_by_number() -> None:
    taken = merged(queues(p0=[1, 4, 4], p1=[2, 4], p2=[]), set(), 99)
    assert [(r.timestamp, r.partition) for r in taken] == [(1, 0), (2, 1), (4, 0), (4, 0), (4, 1)]


def test_a_merge_waits_for_a_partition_whose_next_record_is_unknown() -> None:
    # p0: 1 . 3 . 5      p1: . 2 . (more to come, may be 4)
    waiting = queues(p0=[1, 3, 5], p1=[2])
    assert [r.timestamp for r in merged(waiting, {1}, 99)] == [1, 2]
    assert merged(waiting, {1}, 99) == []
    assert [r.timestamp for r in merged(waiting, set(), 1)] == [3]


@given(st.lists(st.lists(st.integers(0, 50)), min_size=1, max_size=5), st.integers(1, 7))
def test_chunks_of_a_merge_put_together_are_sorted(times: list[list[int]], most: int) -> None:
    waiting = {p: deque(Record(p, t) for t in sorted(of)) for p, of in enumerate(times)}
    taken: list[int] = []
    while chunk := merged(waiting, set(), most):  # type: ignore[arg-type]
        taken += [r.timestamp for r in chunk]
    assert taken == sorted(t for of in times for t in of)
