"""The journal of frames in hand: what an end of the process leaves behind, and what it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.inspection.journal import KEPT_FILES, KEPT_S, SLOT, SLOTS, Journal, lives_cost

LIFE = """
import sys, os, signal, contextlib
from pathlib import Path
from streams.inspection.journal import Journal
journal = Journal(Path(sys.argv[1]))
with journal.in_hand(3, 40):
    pass
hands = contextlib.ExitStack()
hands.enter_context(journal.in_hand(3, 41))
hands.enter_context(journal.in_hand(4, 7))
{end}
"""
ENDS = {
    "kill": "os.kill(os.getpid(), signal.SIGKILL)",
    "segfault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "exit": "os._exit(70)",
    "acquitted": "journal.acquit(); os._exit(70)",
    "clean": "hands.close(); journal.close()",
}


def lived(folder: Path, end: str) -> int:
    return subprocess.run([sys.executable, "-c", LIFE.format(end=ENDS[end]), str(folder)], check=False).returncode


@pytest.mark.parametrize("end", ["kill", "segfault", "exit"])
def test_an_unclean_end_leaves_the_frames_that_were_in_hand(tmp_path: Path, end: str) -> None:
    assert lived(tmp_path, end) in (-signal.SIGKILL, -signal.SIGSEGV, 70)
    assert lives_cost(tmp_path) == {(3, 41): 1, (4, 7): 1}
    assert lives_cost(tmp_path) == {(3, 41): 1, (4, 7): 1}, "and looking takes nothing away"
    lived(tmp_path, end)
    assert lives_cost(tmp_path) == {(3, 41): 2, (4, 7): 2}


@pytest.mark.parametrize("end", ["acquitted", "clean"])
def test_an_end_that_is_no_frames_fault_leaves_nothing(tmp_path: Path, end: str) -> None:
    lived(tmp_path, end)
    assert lives_cost(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_lives_accuses_nobody(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    with journal.in_hand(1, 2):
        assert lives_cost(tmp_path) == {}
    journal.close()


def test_more_frames_than_there_is_room_for_are_not_noted_and_harm_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    hands = [journal.in_hand(0, offset) for offset in range(SLOTS + 2)]
    for hand in hands:
        hand.__enter__()
    for hand in hands:
        hand.__exit__(None, None, None)
    with journal.in_hand(5, 6):
        kept = journal.path.read_bytes()
    assert [(p, o) for o, p, mark in SLOT.iter_unpack(kept) if mark] == [(5, 6)]
    journal.close()


def test_old_traces_and_all_but_the_newest_are_removed(tmp_path: Path) -> None:
    for number in range(KEPT_FILES + 3):
        lived_at = tmp_path / f"{number:020d}-1.inflight"
        lived_at.write_bytes(SLOT.pack(number, 0, 0x0F0F0F0F) + bytes(SLOT.size * (SLOTS - 1)))
    newest = tmp_path / f"{KEPT_FILES + 2:020d}-1.inflight"
    long_ago = time.time() - KEPT_S - 1
    os.utime(newest, (long_ago, long_ago))
    cost = lives_cost(tmp_path)
    assert set(cost) == {(0, number) for number in range(3, KEPT_FILES + 2)}
    assert len(list(tmp_path.iterdir())) == KEPT_FILES - 1


def test_a_damaged_trace_is_read_as_far_as_it_goes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "1-1.inflight").write_bytes(SLOT.pack(9, 1, 0x0F0F0F0F) + b"half")
    (tmp_path / "2-1.inflight").write_bytes(b"")
    assert lives_cost(tmp_path) == {(1, 9): 1}
    assert "bytes, expected" in caplog.text
