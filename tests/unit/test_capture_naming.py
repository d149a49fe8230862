"""Name patterns and labels: what a path tells, and clear words where it does not."""

from __future__ import annotations

import time
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.capture.naming import PLACEHOLDERS, CsvLabels, FolderLabels, NamePattern
from streams.errors import CallerError

WORDS = st.text(st.sampled_from("abcXYZ019"), min_size=1, max_size=12)
FIELDS = [p for p in PLACEHOLDERS if p not in ("_", "ext", "pass_no", "view", "views")]


def test_sku_part_and_view_are_read_from_a_usual_name() -> None:
    pattern = NamePattern.parse("{sku}_{part_id}_{view}.{ext}")
    found = pattern.match(PurePosixPath("monday/plate-12_S0042_3.jpeg"))
    assert found == {"sku": "plate-12", "part_id": "S0042", "view": "3"}


def test_folders_can_be_part_of_the_pattern_and_text_can_be_skipped() -> None:
    pattern = NamePattern.parse("{line}/{label}/{_}-{part_id}.{ext}")
    found = pattern.match(PurePosixPath("x/line-1/scratch/20260101-77.png"))
    assert found == {"line": "line-1", "label": "scratch", "part_id": "77"}


@pytest.mark.parametrize(
    "name", ["plate_1.jpg", "plate_1_x.jpg", "plate_1_2", "a_b_c_2.jpg", "pl@te_1_2.jpg", "_1_2.jpg"]
)
def test_a_name_that_does_not_match_gives_nothing(name: str) -> None:
    assert NamePattern.parse("{sku}_{part_id}_{view}.{ext}").match(PurePosixPath(name)) is None


@given(st.lists(st.tuples(st.sampled_from(FIELDS), WORDS), min_size=1, max_size=6, unique_by=lambda f: f[0]))
def test_what_a_pattern_writes_it_reads_again(fields: list[tuple[str, str]]) -> None:
    text = "_".join(f"{{{name}}}" for name, _ in fields) + ".{ext}"
    path = PurePosixPath(text.format(**dict(fields), ext="png"))
    assert NamePattern.parse(text).match(path) == dict(fields)


@given(st.text(max_size=40))
def test_any_text_is_a_pattern_or_the_callers_mistake(text: str) -> None:
    try:
        pattern = NamePattern.parse(text)
    except CallerError:
        return
    pattern.match(PurePosixPath("a/b_c.png"))


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="{}/_."), min_size=1, max_size=8))
def test_literal_text_means_itself(literal: str) -> None:
    pattern = NamePattern.parse(f"{literal}_{{part_id}}.png")
    assert pattern.match(PurePosixPath(f"{literal}_7.png")) == {"part_id": "7"}


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("{serial}.{ext}", "{serial} is no placeholder"),
        ("{sku}{part_id}.{ext}", "nothing parts {sku} from {part_id}"),
        ("{sku}_{sku}.{ext}", "{sku} comes twice"),
        ("{sku", "expected '}'"),
        ("sku}", "Single '}'"),
        ("{}.png", "{} is no placeholder"),
        ("{0}.png", "{0} is no placeholder"),
        ("{sku.__class__}.png", "no placeholder"),
        ("{sku!r}.png", "no placeholder"),
        ("{view:03d}.png", "no placeholder"),
        ("picture.png", "it has no placeholder"),
        ("", "it has no placeholder"),
    ],
)
def test_a_bad_pattern_is_explained(pattern: str, why: str) -> None:
    with pytest.raises(CallerError) as caught:
        NamePattern.parse(pattern)
    assert why in str(caught.value)
    assert "a good one is" in str(caught.value)


@pytest.mark.alone
def test_no_name_makes_matching_slow() -> None:
    pattern = NamePattern.parse("{sku}_{part_id}_{lot_id}_{order_id}_{label}_{camera}_{view}.{ext}")
    start_s = time.perf_counter()
    for filler in ("_", "a", "a_", "._"):
        pattern.match(PurePosixPath(filler * 2000))
    assert time.perf_counter() - start_s < 0.5


def test_folder_labels_are_the_parents_name() -> None:
    assert FolderLabels().of(PurePosixPath("line/scratch/a.png")) == "scratch"
    assert FolderLabels().of(PurePosixPath("a.png")) is None


def test_csv_labels_go_by_path_first_and_by_name_otherwise(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    table.write_text("\ufefffile,label,who\na.png,good,x\nsub/a.png,dent,x\n", encoding="utf-8")
    labels = CsvLabels(table)
    assert labels.of(PurePosixPath("sub/a.png")) == "dent"
    assert labels.of(PurePosixPath("other/a.png")) == "good"
    assert labels.of(PurePosixPath("b.png")) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name,label\na,b\n", "needs the columns"),
        ("", "needs the columns"),
        ("file,label\na.png,good\na.png,dent\n", "two labels"),
        ("file,label\na.png\n", "line 2: expected a file and its label"),
        ("file,label\n,good\n", "line 2: expected a file and its label"),
    ],
)
def test_a_bad_table_of_labels_is_explained(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(CallerError, match=why):
        CsvLabels(tmp_path / "labels.csv")


@pytest.mark.parametrize("content", [None, b"file,label\n\xff\xfe,x\n"])
def test_a_table_that_cannot_be_read_is_the_callers_mistake(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(CallerError, match="can't be read"):
        CsvLabels(tmp_path / "labels.csv")
