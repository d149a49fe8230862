"""Which frames a worker had in hand when it died: a small file that outlives the process, whatever ended it.

Place in the flow: a frame is noted before its picture is decoded and crossed out when its scores are there. Each life
of a worker has a file of its own, removed at a clean end; one that is left and that no process holds is the trace of an
unclean end. How often a frame stands in such files is how many lives it may have cost. The file is mapped memory: it
survives SIGKILL at no cost a frame, and is lost in a power cut, which is no frame's fault. Knows no picture, no Kafka.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import mmap
import os
import struct
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

log = logging.getLogger(__name__)
SLOT = struct.Struct("<qiI")  # offset, partition, mark
SLOTS = 8192  # frames in hand beyond these are not noted
USED = 0x0F0F0F0F
ENDING = ".inflight"
KEPT_S = 86_400.0  # a crash loop is a matter of minutes
KEPT_FILES = 64


class Journal:
    """The file of one life. `folder` belongs to one topic of frames; all workers of a machine may share it."""

    def __init__(self, folder: Path) -> None:
        """OSError where the file can't be made."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{time.time_ns()}-{os.getpid()}{ENDING}"
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._file: BinaryIO = os.fdopen(fd, "r+b", buffering=0)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.posix_fallocate(fd, 0, SLOTS * SLOT.size)  # a full disk shows here, not as a SIGBUS later
            self._memory = mmap.mmap(fd, SLOTS * SLOT.size)
        except OSError:
            self._file.close()
            self.path.unlink()
            raise
        self._free = list(range(SLOTS))

    @contextlib.contextmanager
    def in_hand(self, partition: int, offset: int) -> Iterator[None]:
        """The frame counts as in hand while the block runs."""
        if not self._free:
            yield
            return
        at = self._free.pop() * SLOT.size
        SLOT.pack_into(self._memory, at, offset, partition, 0)
        SLOT.pack_into(self._memory, at, offset, partition, USED)  # the mark last: half a record is none
        try:
            yield
        finally:
            SLOT.pack_into(self._memory, at, 0, 0, 0)
            self._free.append(at // SLOT.size)

    def acquit(self) -> None:
        """Whatever ends this process now, no frame in hand is to blame."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """A clean end."""
        self.acquit()
        self._memory.close()
        self._file.close()


def lives_cost(folder: Path) -> Counter[tuple[int, int]]:
    """By (partition, offset), in how many unclean ends a frame was in hand. Old traces are removed on the way."""
    cost: Counter[tuple[int, int]] = Counter()
    found = sorted(folder.glob(f"*{ENDING}"), key=lambda path: path.name, reverse=True)
    dead = [path for path in found if not _is_held(path)]
    for number, path in enumerate(dead):
        with contextlib.suppress(FileNotFoundError):  # another worker looks as well
            if number >= KEPT_FILES or time.time() - path.stat().st_mtime > KEPT_S:
                path.unlink()
            else:
                cost.update(_frames_in(path))
    return cost


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def _frames_in(path: Path) -> set[tuple[int, int]]:
    data = path.read_bytes()
    whole = len(data) - len(data) % SLOT.size
    if len(data) != SLOTS * SLOT.size:
        log.warning("the trace %s of a worker's end has %d bytes, expected %d", path, len(data), SLOTS * SLOT.size)
    return {(partition, offset) for offset, partition, mark in SLOT.iter_unpack(data[:whole]) if mark == USED}
