"""The spool on disk: what is durable comes back in order, whatever ended the process or ate at the files."""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from streams.capture.spool import Spool
from streams.capture.spool_format import HEADER_BYTES, PLACE_BYTES
from streams.errors import CallerError, OperatorError

MIB = 1 << 20


def body(number: int) -> bytes:
    return f"body of {number} ".encode() * (number % 7 + 1)


def bodies(first: int, last: int) -> list[tuple[int, bytes]]:
    return [(1000 + number, body(number)) for number in range(first, last)]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def numbers(spool: Spool) -> list[int]:
    """Everything that can be read, checked to be what was written."""
    found = []
    while records := spool.read(64):
        for record in records:
            assert (record.at_ms, record.body) == (1000 + record.number, body(record.number))
            found.append(record.number)
    return found


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Opens the spool of the test; an earlier opening ends as by SIGKILL: nothing of it is written any more."""
    opened: list[Spool] = []

    def again(**options: object) -> Spool:
        if opened:
            opened.pop().close()  # writes nothing: the lock goes, as it does with a process
        opened.append(Spool(tmp_path / "spool", **({"max_bytes": MIB} | options)))  # type: ignore[arg-type]
        return opened[-1]

    yield again
    for spool in opened:
        spool.close()


def test_records_come_back_in_order_after_a_restart(reopen: Callable[..., Spool]) -> None:
    spool = reopen()
    assert spool.append(bodies(0, 5)) == 5
    assert spool.append(bodies(5, 9)) == 4
    assert (spool.frames, spool.unread, spool.end) == (9, 9, 9)
    spool = reopen()
    assert (spool.frames, spool.unread) == (9, 9)
    assert numbers(spool) == list(range(9))
    assert (spool.frames, spool.unread) == (9, 0)
    assert spool.torn_bytes == spool.damaged == 0


def test_what_is_done_is_not_read_again_and_numbers_go_on(reopen: Callable[..., Spool]) -> None:
    spool = reopen()
    spool.append(bodies(0, 9))
    assert numbers(spool)[:4] == [0, 1, 2, 3]
    spool.acknowledge(4)
    assert spool.frames == 5
    spool = reopen()
    assert numbers(spool) == [4, 5, 6, 7, 8]
    spool.rewind()
    assert numbers(spool) == [4, 5, 6, 7, 8]
    spool.acknowledge(9)
    spool = reopen()
    assert spool.append(bodies(9, 11)) == 2
    assert numbers(spool) == [9, 10]


def test_a_spool_that_is_done_takes_no_room(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    spool = reopen()
    spool.append(bodies(0, 9))
    numbers(spool)
    spool.acknowledge(9)
    assert segments(tmp_path / "spool") == []
    assert (spool.size_bytes, spool.frames, spool.oldest_at_ms()) == (0, 0, None)


def test_segments_are_removed_as_they_are_done(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    spool = reopen(segment_bytes=150)
    spool.append(bodies(0, 20))
    files = segments(tmp_path / "spool")
    assert len(files) > 5
    assert numbers(spool) == list(range(20))
    spool.acknowledge(int(files[3].stem))
    assert segments(tmp_path / "spool") == files[3:]
    assert spool.oldest_at_ms() == 1000 + int(files[3].stem)
    assert numbers(reopen(segment_bytes=150)) == list(range(int(files[3].stem), 20))


def test_reading_goes_on_with_what_is_appended_meanwhile(reopen: Callable[..., Spool]) -> None:
    spool = reopen(segment_bytes=150)
    for first in range(0, 30, 3):
        spool.append(bodies(first, first + 3))
        assert numbers(spool) == [first, first + 1, first + 2]
        spool.acknowledge(first + 2)


def test_an_end_torn_at_any_byte_is_cut_off_told_and_kept(
    reopen: Callable[..., Spool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reopen().append(bodies(0, 4))
    file = segments(tmp_path / "spool")[0]
    whole = file.read_bytes()
    last = len(whole) - HEADER_BYTES - len(body(3))
    for length in range(last + 1, len(whole)):
        file.write_bytes(whole[:length])
        caplog.clear()
        spool = reopen()
        assert (spool.torn_bytes, spool.frames, spool.end) == (length - last, 3, 3)
        assert numbers(spool) == [0, 1, 2]
        assert "had a torn end" in caplog.text
        assert (tmp_path / "spool" / "aside" / f"torn-{file.stem}-{last}").read_bytes() == whole[last:length]
        assert spool.append(bodies(3, 5)) == 2  # on top of the cut
        assert numbers(reopen()) == [0, 1, 2, 3, 4]


def test_an_end_of_zeros_is_torn(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    """What a power cut leaves of a file whose length was written before its bytes."""
    reopen().append(bodies(0, 4))
    with segments(tmp_path / "spool")[0].open("ab") as file:
        file.write(bytes(3000))
    spool = reopen()
    assert (spool.torn_bytes, numbers(spool)) == (3000, [0, 1, 2, 3])


@pytest.mark.parametrize("is_last", [True, False])
def test_a_flipped_bit_costs_its_own_record_alone(
    reopen: Callable[..., Spool], tmp_path: Path, caplog: pytest.LogCaptureFixture, is_last: bool
) -> None:
    reopen(segment_bytes=MIB if is_last else 200, max_bytes=100 * MIB).append(bodies(0, 12))
    file = segments(tmp_path / "spool")[0]
    whole = file.read_bytes()
    offset = HEADER_BYTES + len(body(0))  # record 1 begins here
    for at in range(offset, offset + HEADER_BYTES + len(body(1))):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])
        caplog.clear()
        spool = reopen(max_bytes=100 * MIB)
        assert numbers(spool) == [0, *range(2, 12)]
        assert (spool.frames, spool.unread, spool.damaged, spool.torn_bytes) == (11, 0, 1, 0)
        assert f"damaged at byte {offset}" in caplog.text
        spool.rewind()
        assert numbers(spool) == [0, *range(2, 12)]
        assert spool.damaged == 1  # told once
    aside = tmp_path / "spool" / "aside" / f"damaged-{file.stem}-{offset}"
    assert len(aside.read_bytes()) == HEADER_BYTES + len(body(1))


def test_bytes_that_are_gone_from_the_middle_hide_nothing_behind_them(
    reopen: Callable[..., Spool], tmp_path: Path
) -> None:
    reopen().append(bodies(0, 12))
    file = segments(tmp_path / "spool")[0]
    whole = file.read_bytes()
    file.write_bytes(whole[:50] + whole[70:])
    spool = reopen()
    assert numbers(spool) == [0, *range(2, 12)]
    assert (spool.frames, spool.damaged) == (11, 1)


def test_a_segment_of_nonsense_is_skipped(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    reopen(segment_bytes=150).append(bodies(0, 20))
    second, third = segments(tmp_path / "spool")[1:3]
    second.write_bytes(os.urandom(second.stat().st_size))
    spool = reopen()
    lost = range(int(second.stem), int(third.stem))
    assert numbers(spool) == [n for n in range(20) if n not in lost]
    assert spool.frames == 20 - len(lost)
    assert spool.damaged == 1


def test_everything_damaged_ends_as_done(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    reopen(segment_bytes=150).append(bodies(0, 20))
    for file in segments(tmp_path / "spool"):
        file.write_bytes(bytes(file.stat().st_size))
    spool = reopen()
    assert numbers(spool) == []
    spool.acknowledge(spool.unread_from)
    assert spool.frames == 0
    assert spool.append(bodies(spool.end, spool.end + 2)) == 2


def test_the_bound_holds_and_room_comes_back(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    spool = reopen(max_bytes=2000)
    kept = spool.append(bodies(0, 100))
    assert 0 < kept < 100
    assert spool.full.startswith(f"the spool {tmp_path / 'spool'} is full (")
    assert sum(file.stat().st_size for file in segments(tmp_path / "spool")) == spool.size_bytes <= 2000
    assert spool.append(bodies(kept, kept + 1)) == 0
    assert numbers(spool) == list(range(kept))
    spool.acknowledge(kept // 2)
    assert spool.append(bodies(kept, kept + 1)) == 1
    assert spool.full == ""


def test_a_spool_of_no_bytes_takes_nothing(reopen: Callable[..., Spool]) -> None:
    assert reopen(max_bytes=0).append(bodies(0, 1)) == 0


class SmallDisk:
    """A file has room for `room` bytes; a write takes what fits, then it is full. Its syncs fail while `broken`."""

    def __init__(self, room: int) -> None:
        self.room, self.broken = room, False

    def writev(self, descriptor: int, buffers: Sequence[bytes | memoryview]) -> int:
        data = b"".join(buffers)[: self.room - os.fstat(descriptor).st_size]
        if not data:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        os.fsync(descriptor)


def test_a_full_disk_takes_what_fits_and_leaves_no_half_record(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    disk = SmallDisk(700)
    spool = reopen(disk=disk)
    kept = spool.append(bodies(0, 20))
    assert 0 < kept < 20
    assert spool.full == f"no room is left on the disk of the spool {tmp_path / 'spool'}"
    assert sum(file.stat().st_size for file in segments(tmp_path / "spool")) == spool.size_bytes
    disk.room = 10_000
    assert spool.append(bodies(kept, 20)) == 20 - kept
    assert numbers(spool) == list(range(20))
    spool = reopen()
    assert (numbers(spool), spool.torn_bytes, spool.damaged) == (list(range(20)), 0, 0)


def test_what_cannot_be_synced_is_not_kept(reopen: Callable[..., Spool]) -> None:
    disk = SmallDisk(MIB)
    spool = reopen(disk=disk)
    spool.append(bodies(0, 3))
    disk.broken = True
    assert spool.append(bodies(3, 5)) == 0
    assert "can't be written (Input/output error)" in spool.full
    spool.acknowledge(1)  # is logged, and costs copies alone
    disk.broken = False
    assert spool.append(bodies(3, 5)) == 2
    assert numbers(reopen()) == [1, 2, 3, 4]


def test_every_record_is_synced_before_it_counts_and_many_share_one_sync(reopen: Callable[..., Spool]) -> None:
    synced: list[int] = []

    class Counting(SmallDisk):
        def fsync(self, descriptor: int) -> None:
            synced.append(os.fstat(descriptor).st_size)
            super().fsync(descriptor)

    spool = reopen(disk=Counting(MIB))
    spool.append(bodies(0, 1))
    synced.clear()
    spool.append(bodies(1, 101))
    assert synced == [spool.size_bytes]


@pytest.mark.parametrize("slot", [0, 1])
def test_a_damaged_note_of_what_is_done_costs_copies_alone(
    reopen: Callable[..., Spool], tmp_path: Path, slot: int
) -> None:
    spool = reopen()
    spool.append(bodies(0, 9))
    for done in (3, 5, 6):
        spool.acknowledge(done)
    note = tmp_path / "spool" / "done"
    data = bytearray(note.read_bytes())
    data[slot * PLACE_BYTES + 9] ^= 1
    note.write_bytes(data)
    assert numbers(reopen()) in ([6, 7, 8], [5, 6, 7, 8])


def test_a_note_that_is_nonsense_is_told(
    reopen: Callable[..., Spool], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reopen().append(bodies(0, 3))
    (tmp_path / "spool" / "done").write_bytes(b"x" * 2 * PLACE_BYTES)
    with caplog.at_level(logging.ERROR):
        assert numbers(reopen()) == [0, 1, 2]
    assert "frames may be sent twice" in caplog.text


def test_one_process_a_spool(reopen: Callable[..., Spool], tmp_path: Path) -> None:
    reopen()
    with pytest.raises(CallerError, match=r"used by another gateway process; stop that one, or .*LINESIDE_SPOOL_DIR"):
        Spool(tmp_path / "spool", MIB)


def test_a_place_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"the spool .*file/spool can't be used: Not a directory"):
        Spool(tmp_path / "file" / "spool", MIB)


def test_a_random_run_keeps_every_record_whatever_is_killed_when(reopen: Callable[..., Spool]) -> None:
    import random

    draw = random.Random(5)
    spool, written, done, read = reopen(segment_bytes=300), 0, 0, 0
    for _ in range(400):
        step = draw.randrange(5)
        if step == 0:
            count = draw.randrange(1, 9)
            assert spool.append(bodies(written, written + count)) == count
            written += count
        elif step == 1:
            for record in spool.read(draw.randrange(1, 400)):
                assert (record.number, record.body) == (read, body(read))
                read += 1
        elif step == 2:
            done = draw.randint(done, read)
            spool.acknowledge(done)
        elif step == 3 and draw.random() < 0.3:
            spool, read = reopen(segment_bytes=300), done
        assert (spool.frames, spool.unread, spool.end) == (written - done, written - read, written)
    assert written > 200
