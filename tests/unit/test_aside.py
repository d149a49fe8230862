"""What nobody can send is kept for people, up to a bound."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streams.capture.aside import Aside


def test_the_newest_stay_within_the_bound_and_what_goes_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    aside = Aside(tmp_path / "aside", 1000)
    for number in range(10):
        path = aside.keep(f"refused-{number}", bytes(100))
        os.utime(path, ns=(number, number))
    assert len(list(aside.folder.iterdir())) == 10
    assert caplog.text == ""

    aside.keep("refused-10", bytes(100))
    assert sorted(path.name for path in aside.folder.iterdir()) == [
        "refused-10",
        *(f"refused-{number}" for number in range(4, 10)),
    ]
    assert "its 4 oldest files are removed" in caplog.text


def test_what_an_earlier_process_left_counts_and_one_too_large_stays_alone(tmp_path: Path) -> None:
    Aside(tmp_path, 1000).keep("old", bytes(900))
    newest = Aside(tmp_path, 1000).keep("large", bytes(5000))
    assert list(tmp_path.iterdir()) == [newest]
    assert newest.stat().st_size == 5000


def test_a_disk_that_fails_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    aside = Aside(tmp_path / "aside")
    aside.keep("no/such/folder", b"x")
    assert "can't be kept" in caplog.text
