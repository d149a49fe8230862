"""Trigger numbers go on: across restarts, SIGKILL and cameras with odd names; damage is no new camera."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from streams.capture.sequence import TriggerSequence
from streams.capture.source import Camera
from streams.errors import CallerError, OperatorError

CAMERA = Camera("plant", "line", "station", "cam")

# Takes numbers and tells each one after it was taken, until it is killed.
TAKER = """
import sys
from pathlib import Path
from streams.capture.sequence import TriggerSequence
from streams.capture.source import Camera
sequence = TriggerSequence(Path(sys.argv[1]), Camera("plant", "line", "station", "cam"))
while True:
    print(sequence.take(), flush=True)
"""


def test_numbers_start_at_one_and_go_on_after_a_restart(tmp_path: Path) -> None:
    with TriggerSequence(tmp_path / "gateway", CAMERA) as sequence:
        assert [sequence.take() for _ in range(3)] == [1, 2, 3]
    with TriggerSequence(tmp_path / "gateway", CAMERA) as sequence:
        assert sequence.last == 3
        assert sequence.take() == 4


def test_no_number_comes_twice_after_sigkill(tmp_path: Path) -> None:
    told = 0
    for _ in range(3):
        taker = subprocess.Popen([sys.executable, "-c", TAKER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        assert taker.stdout is not None
        first = int(taker.stdout.readline())
        assert (
            told < first <= told + 2
        )  # one may be on record that was never told: the frame that died with the process
        told = int([taker.stdout.readline() for _ in range(200)][-1])
        os.kill(taker.pid, signal.SIGKILL)
        rest = taker.stdout.read().split("\n")
        taker.stdout.close()
        taker.wait()
        told = max([told, *(int(line) for line in rest[:-1])])
    with TriggerSequence(tmp_path, CAMERA) as sequence:
        assert told < sequence.take() <= told + 2


def test_cameras_count_apart_whatever_their_names(tmp_path: Path) -> None:
    names = [
        CAMERA,
        Camera("plant", "line", "station", "cam2"),
        Camera("..", "..", "..", ".."),
        Camera(*["n" * 64] * 4),
    ]
    for camera in names:
        with TriggerSequence(tmp_path / "gateway", camera) as sequence:
            assert sequence.take() == 1
    assert {p.parent for p in tmp_path.rglob("*.seq")} == {tmp_path / "gateway"}


def test_a_second_process_for_one_camera_is_refused_and_other_cameras_are_not(tmp_path: Path) -> None:
    with TriggerSequence(tmp_path, CAMERA):
        with pytest.raises(CallerError, match="already driven by another gateway"):
            TriggerSequence(tmp_path, CAMERA)
        TriggerSequence(tmp_path, Camera("plant", "line", "station", "cam2")).close()
    TriggerSequence(tmp_path, CAMERA).close()


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\x00" * 80, b"\xff\xfe"])
def test_a_damaged_record_is_an_error_and_never_a_new_start(tmp_path: Path, damage: bytes) -> None:
    with TriggerSequence(tmp_path, CAMERA) as sequence:
        sequence.take()
    sequence.path.write_bytes(damage)
    with pytest.raises(OperatorError, match="is damaged"):
        TriggerSequence(tmp_path, CAMERA)


def test_every_flipped_byte_of_a_record_is_noticed(tmp_path: Path) -> None:
    with TriggerSequence(tmp_path, CAMERA) as sequence:
        sequence.take()
    whole = sequence.path.read_bytes()
    for at in range(len(whole)):
        sequence.path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(OperatorError, match="is damaged"):
            TriggerSequence(tmp_path, CAMERA)


def test_a_folder_that_cannot_be_used_is_one_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CallerError, match="trigger numbers of plant/line/station/cam can't be kept"):
        TriggerSequence(tmp_path / "file", CAMERA)
