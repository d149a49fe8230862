"""The trigger number of one camera: grows by 1 with every trigger, across restarts and SIGKILL.

A number is on record before its frame is sent, so no number is given twice; one that was taken but never sent shows as
a gap, and that is right: the frame is missing. One process a camera, by a lock on the record. The record survives the
process at once, and a power cut as of the last `sync` or clean close: the gateway syncs before a frame counts as
spooled. Knows nothing of frames or Kafka.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
import zlib
from pathlib import Path

from streams.capture.source import Camera
from streams.errors import CallerError, OperatorError

_MAGIC = "lineside-trigger-seq"
_MAX_RECORD_BYTES = 4096


class TriggerSequence:
    """An open, locked record. Use as a context manager, or close it."""

    def __init__(self, folder: Path, camera: Camera) -> None:
        """Opens or creates the record under `folder` (data_dir/gateway); CallerError or OperatorError if it can't."""
        self.camera = camera
        self.path = folder / f"{hashlib.sha256(str(camera).encode()).hexdigest()[:32]}.seq"  # a name may be `..`
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not self.path.exists():
                self._create()
            self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise CallerError(f"trigger numbers of {camera} can't be kept in {folder}: {error.strerror}") from error
        try:
            self._lock()
            self._last = self._synced = self._read()
        except BaseException:
            os.close(self._fd)
            raise

    @property
    def last(self) -> int:
        """The number given last; 0 before the first."""
        return self._last

    def take(self) -> int:
        """The next number, from 1 on; it is on record when this returns. OperatorError if it can't be recorded."""
        try:
            os.pwrite(self._fd, _record(self.camera, self._last + 1), 0)
        except OSError as error:
            raise OperatorError(f"a trigger number can't be written to {self.path}: {error.strerror}") from error
        self._last += 1
        return self._last

    def sync(self) -> None:
        """What was given survives a power cut now; OSError. Any thread may call it."""
        if self._synced != (last := self._last):
            os.fsync(self._fd)
            self._synced = last

    def close(self) -> None:
        os.fsync(self._fd)
        os.close(self._fd)  # releases the lock

    def __enter__(self) -> TriggerSequence:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _create(self) -> None:
        """Appears whole or not at all: an empty record is damage, never a new camera."""
        descriptor, name = tempfile.mkstemp(dir=self.path.parent, prefix=".seq-")
        try:
            os.write(descriptor, _record(self.camera, 0))
            os.fsync(descriptor)
            os.link(name, self.path)
        except FileExistsError:
            pass  # another process was first: the lock decides
        finally:
            os.close(descriptor)
            Path(name).unlink()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CallerError(
                f"camera {self.camera} is already driven by another gateway process (lock on {self.path}); "
                "stop that one, or give this one another camera name"
            ) from None

    def _read(self) -> int:
        text = os.pread(self._fd, _MAX_RECORD_BYTES, 0)
        fields = text.decode(errors="replace").split(" ")
        if len(fields) == 4 and fields[2].isdecimal() and text == _record(self.camera, int(fields[2])):
            return int(fields[2])
        raise OperatorError(
            f"the record of trigger numbers {self.path} of camera {self.camera} is damaged (it holds {text[:60]!r}); "
            "restore it from a backup, or delete it to count from 1 again"
        )


def _record(camera: Camera, last: int) -> bytes:
    """Always as long for one camera, so that writing over it leaves nothing behind."""
    body = f"{_MAGIC} {camera} {last:020d} "
    return f"{body}{zlib.crc32(body.encode()):08x}\n".encode()
