"""One segment file of the spool, and the note of the place up to which all is done: bytes on disk, in order, durable.

Place in the flow: `spool.py` keeps the list of segments and decides; this file writes, syncs and reads. What is not
synced is cut off again, so that a segment never ends in half a record while the process lives. Knows no frames.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from streams.capture.spool_format import PLACE_BYTES, Header, pack_place, unpack_place, walk

SUFFIX = ".spool"
_VECTORS = 64  # buffers of one write


class Disk(Protocol):
    """What can fail of a disk: tests bring one that is full."""

    def writev(self, descriptor: int, buffers: Sequence[bytes | memoryview], /) -> int: ...

    def fsync(self, descriptor: int, /) -> None: ...


class RealDisk:
    """The operating system's."""

    writev = staticmethod(os.writev)
    fsync = staticmethod(os.fsync)


class Segment:
    """Records numbered `first` up to `next`, without `next`. `size`: bytes that are durable, whole records alone."""

    def __init__(self, path: Path, first: int, disk: Disk) -> None:
        """Opens or makes the file; OSError."""
        self.path, self.first, self.next = path, first, first
        self.holes: set[int] = set()  # numbers whose records are damaged
        self.reported: set[int] = set()  # offsets of damage that was told
        self.takes_more = True
        self._disk = disk
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_APPEND, 0o600)
        self.size = os.fstat(self._fd).st_size

    @staticmethod
    def name(first: int) -> str:
        """File name of a segment, so that the order of names is that of records."""
        return f"{first:020d}{SUFFIX}"

    @staticmethod
    def first_of(path: Path) -> int | None:
        """The number in a segment's name; None for another file."""
        return int(path.stem) if path.suffix == SUFFIX and path.stem.isdecimal() else None

    def append(self, records: Sequence[bytes]) -> None:
        """Writes whole records and syncs once; OSError where they are not durable: then none of them is there."""
        try:
            self._write(records)
            self._disk.fsync(self._fd)
        except OSError:
            self.takes_more = False  # after a failed sync nobody knows what the disk has of this file's end
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self.size)
                self.takes_more = os.fstat(self._fd).st_size == self.size
            raise
        self.size += sum(map(len, records))
        self.next += len(records)

    def read(self, offset: int, length: int) -> bytes:
        return os.pread(self._fd, min(length, max(0, self.size - offset)), offset)

    def recover(self, is_last: bool) -> int:
        """Looks through a segment of an earlier process; where its last whole record ends. Numbers are right then.

        Bodies are checked in the last segment alone: the others were whole when the next was begun.
        """
        end = 0
        for found in walk(self.read, 0, self.size, bodies=is_last):
            if isinstance(found, Header) and found.number >= self.next:
                self.reach(found.number)
                self.next += 1
                end = found.end
        return end

    def offset_of(self, number: int) -> int:
        """Where the first record at or behind `number` begins; the segment's size where there is none."""
        for found in walk(self.read, 0, self.size, bodies=False):
            if isinstance(found, Header) and found.number >= number:
                return found.offset
        return self.size

    def cut(self, offset: int) -> None:
        """Ends the segment at `offset`; OSError."""
        os.ftruncate(self._fd, offset)
        self._disk.fsync(self._fd)
        self.size = offset

    def reach(self, number: int) -> None:
        """Records up to `number`, without it, were here: those that were not found are holes."""
        self.holes.update(range(self.next, number))
        self.next = max(self.next, number)

    def left(self, done: int) -> int:
        """How many readable records stand at or behind the number `done`."""
        start = max(self.first, done)
        return max(0, self.next - start) - sum(hole >= start for hole in tuple(self.holes))

    def close(self) -> None:
        os.close(self._fd)
        self._fd = -1  # a late reader of another thread gets an error, not another file

    def _write(self, records: Sequence[bytes]) -> None:
        left = [memoryview(record) for record in records]
        while left:
            written = self._disk.writev(self._fd, left[:_VECTORS])
            while written and left:
                step = min(written, len(left[0]))
                written -= step
                left[0] = left[0][step:]
                if not left[0]:
                    del left[0]


class PlaceFile:
    """A place that outlasts a power cut: two slots, written in turn, the newest whole one counts."""

    def __init__(self, path: Path, disk: Disk) -> None:
        """Opens or makes the file, in its full size, so that noting needs no room; OSError."""
        self._disk = disk
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        data = os.pread(self._fd, 2 * PLACE_BYTES, 0)
        notes = [unpack_place(data[:PLACE_BYTES]), unpack_place(data[PLACE_BYTES:])]
        known = [note for note in notes if note is not None]
        self.is_damaged = bool(data.strip(b"\0")) and not known
        self._noted, self.place = max(known, default=(0, 0))
        if len(data) < 2 * PLACE_BYTES:
            os.pwrite(self._fd, bytes(2 * PLACE_BYTES - len(data)), len(data))
            disk.fsync(self._fd)

    def note(self, place: int) -> None:
        """Makes a place durable; OSError."""
        self.place = place
        self._noted += 1
        os.pwrite(self._fd, pack_place(self._noted, place), self._noted % 2 * PLACE_BYTES)
        self._disk.fsync(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def sync_folder(folder: Path, disk: Disk) -> None:
    """Makes the names in a folder durable; OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        disk.fsync(descriptor)
    finally:
        os.close(descriptor)
