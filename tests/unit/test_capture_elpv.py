"""The ELPV protocol: the split's sizes, its strata and its errors; the pictures themselves stay in their package."""

from __future__ import annotations

import importlib
from collections import Counter
from pathlib import Path

import pytest

from streams.capture.elpv import cells, split_of
from streams.errors import CallerError

# The data set's table, counted: (type, probability) -> pictures.
STRATA = {
    ("mono", 0.0): 588,
    ("poly", 0.0): 920,
    ("mono", 1 / 3): 117,
    ("poly", 1 / 3): 178,
    ("mono", 2 / 3): 56,
    ("poly", 2 / 3): 50,
    ("mono", 1.0): 313,
    ("poly", 1.0): 402,
}
ITEMS = [stratum for stratum, count in STRATA.items() for _ in range(count)]


def test_the_split_has_the_protocols_sizes_and_keeps_every_stratum() -> None:
    split = split_of(ITEMS)
    assert Counter(split) == {"train": 1968, "test": 656}
    held_out = Counter(stratum for stratum, part in zip(ITEMS, split, strict=True) if part == "test")
    assert all(abs(held_out[s] - count / 4) < 1 for s, count in STRATA.items())


def test_the_split_is_the_same_for_a_seed_and_another_for_another() -> None:
    assert split_of(ITEMS) == split_of(ITEMS)
    assert split_of(ITEMS) != split_of(ITEMS, seed=1)


def _package(folder: Path, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "elpv_dataset" / "data").mkdir(parents=True)
    (folder / "elpv_dataset" / "__init__.py").write_text("")
    (folder / "elpv_dataset" / "data" / "labels.csv").write_text(table)
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()


def test_a_cell_is_defective_from_a_probability_of_one_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "images/cell0001.png  0.3333333333333333 mono\nimages/cell0002.png  0.6666666666666666 poly\n"
    _package(tmp_path, rows, monkeypatch)
    assert [(c.name, c.label, c.kind) for c in cells()] == [
        ("cell0001", "good", "mono"),
        ("cell0002", "defective", "poly"),
    ]


@pytest.mark.parametrize(
    "row", ["../../secret.png 1.0 mono", "images/../x.png 1.0 mono", "images/a.png often mono", "x"]
)
def test_a_table_that_is_not_as_known_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str) -> None:
    _package(tmp_path, row + "\n", monkeypatch)
    with pytest.raises(CallerError, match="line 1: expected a picture"):
        cells()


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streams.capture.elpv.importlib.util.find_spec", lambda _: None)
    with pytest.raises(CallerError, match=r"pip install lineside\[elpv\]"):
        cells()
