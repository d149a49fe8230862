"""The frame store in a local folder. Reads and removals walk by descriptors and follow no symbolic link below the root.

Used by `streams.store`, which has checked every path: relative and plain. What is removed is renamed out of sight first
and looked at once more: a writer that has found the object by then made it young, one that comes later writes it anew.
Knows no digests but in the names of interrupted removals. Thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from streams.errors import LinesideError, OperatorError
from streams.store_errors import (
    ObjectMissingError,
    ObjectTooLargeError,
    ReferenceRefusedError,
    StoreUnavailableError,
)

ATTEMPTS = 8  # of a write from under which a collection took an empty folder of pins
LEFTOVER_S = 86_400  # a write takes no day
_PINS = re.compile(r"[0-9a-f]{64}\.pins")
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{16}\.tmp")
_REMOVING = re.compile(r"\.([0-9a-f]{64}\.[a-z0-9]{1,8})\.[0-9a-f]{16}\.removing")
_ENDED = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EROFS: "it is read-only"}
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class FolderBackend:
    """A folder, made where there is none."""

    def __init__(self, root: Path) -> None:
        """OSError where it can't be made."""
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve(strict=True)
        self.base = self._root.as_uri().rstrip("/")

    def write(self, path: str, data: bytes) -> None:
        target = self._root / path
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    if not _made_young(target, len(data)):
                        self._write_anew(target, data)
                    return
                except FileNotFoundError:
                    if attempt == ATTEMPTS:
                        raise
        except OSError as error:
            raise OperatorError(f"the frame store {self._root} takes no pictures: {_why(error)}") from error

    def _write_anew(self, target: Path, data: bytes) -> None:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            for folder in reversed(target.relative_to(self._root).parents[:-1]):  # never the root: it may be unmounted
                (self._root / folder).mkdir(exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def read(self, path: str, max_bytes: int) -> bytes:
        with self._reading(path), self._opened(path) as descriptor:
            return self._read_open(descriptor, path, max_bytes)

    def names(self, path: str) -> list[str]:
        try:
            with self._reading(path), self._opened(path, os.O_DIRECTORY) as descriptor:
                return os.listdir(descriptor)  # noqa: PTH208 - of an open folder, not of a path
        except ObjectMissingError:
            return []

    def size(self, path: str) -> int | None:
        try:
            with self._reading(path), self._opened(path) as descriptor:
                return os.fstat(descriptor).st_size
        except ObjectMissingError:
            return None

    def folders(self) -> list[str]:
        with self._reading("."), os.scandir(self._root) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def files(self, folder: str) -> list[tuple[str, int, float]]:
        try:
            with self._reading(folder), self._opened(folder, os.O_DIRECTORY) as here:
                return [(name, status.st_size, status.st_mtime) for name, status in _plain_files(here)]
        except ObjectMissingError:
            return []

    def remove(self, path: str, before_s: float, is_needed: Callable[[], bool]) -> bool:
        folder, _, name = path.rpartition("/")
        hidden = f".{name}.{secrets.token_hex(8)}.removing"
        with self._removing(), self._opened(folder, os.O_DIRECTORY) as here:
            try:
                if os.stat(name, dir_fd=here, follow_symlinks=False).st_mtime >= before_s:
                    return False  # a reader shall not miss it even for a moment
                os.rename(name, hidden, src_dir_fd=here, dst_dir_fd=here)
            except FileNotFoundError:
                return False
            gone = False
            try:
                gone = not is_needed() and _unlinked_if_old(here, hidden, before_s)
            finally:
                if not gone:
                    _put_back(here, hidden, name)
            return gone

    def tidy(self, folder: str) -> int:
        """Puts back what an end without notice left out of sight; clears away unfinished writes and empty pin folders.

        Gives how many of those there were.
        """
        cleared = 0
        with self._removing(), self._opened(folder, os.O_DIRECTORY) as here:
            for name in os.listdir(here):  # noqa: PTH208 - of an open folder, not of a path
                if removing := _REMOVING.fullmatch(name):
                    _put_back(here, name, removing[1])
                elif _PINS.fullmatch(name):
                    cleared += _tidied_pins(here, name)
            return cleared + _cleared_leftovers(here)

    def _read_open(self, descriptor: int, path: str, max_bytes: int) -> bytes:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ReferenceRefusedError(f"{path} in the frame store {self._root} is no plain file")
        if status.st_size > max_bytes:
            raise ObjectTooLargeError(f"{path} has {status.st_size} bytes; at most {max_bytes} are taken")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)  # what is in the store never grows

    @contextlib.contextmanager
    def _opened(self, path: str, flags: int = 0) -> Iterator[int]:
        descriptor = self._open(path, flags)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _open(self, path: str, flags: int) -> int:
        *folders, name = path.split("/")
        here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, _FOLDER, dir_fd=here)
                os.close(here)
                here = below
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=here)
        finally:
            os.close(here)

    @contextlib.contextmanager
    def _reading(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._translated(error, path) from error

    @contextlib.contextmanager
    def _removing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OperatorError(f"nothing can be removed from the frame store {self._root}: {_why(error)}") from error

    def _translated(self, error: OSError, path: str) -> LinesideError:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            return ReferenceRefusedError(f"{path} in the frame store {self._root} is no plain file: {error.strerror}")
        if error.errno == errno.ENOENT and self._root.is_dir():
            return ObjectMissingError(f"{path} is not in the frame store {self._root}")
        return StoreUnavailableError(f"the frame store {self._root} can't be read: {error.strerror}")


def _why(error: OSError) -> str:
    return _ENDED.get(error.errno or 0, error.strerror or str(error))


def _made_young(target: Path, size: int) -> bool:
    """True where the whole object is there, and its age counts from now. By its path: had a removal taken the object
    away, that would fail; if it takes it away later, it sees the new time."""
    try:
        status = target.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size != size:
            return False
        os.utime(target, follow_symlinks=False)
        return True
    except (FileNotFoundError, PermissionError):  # another user's: written anew it is ours
        return False


def _plain_files(folder: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                if entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat(follow_symlinks=False)


def _unlinked_if_old(folder: int, name: str, before_s: float) -> bool:
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISREG(status.st_mode) or status.st_mtime >= before_s:
            return False
        os.unlink(name, dir_fd=folder)
        return True
    except FileNotFoundError:  # another collection put it back
        return False


def _put_back(folder: int, hidden: str, name: str) -> None:
    """Never over an object that was written meanwhile: that one is whole and younger."""
    with contextlib.suppress(FileNotFoundError):  # another collection did
        try:
            os.link(hidden, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
        except FileExistsError:
            pass
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            os.rename(hidden, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.utime(name, dir_fd=folder, follow_symlinks=False)  # it may have replaced one that was young
            return
        os.unlink(hidden, dir_fd=folder)


def _cleared_leftovers(folder: int) -> int:
    cleared = 0
    for name, status in _plain_files(folder):
        if _TEMPORARY.fullmatch(name) and status.st_mtime < time.time() - LEFTOVER_S:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name, dir_fd=folder)
                cleared += 1
    return cleared


def _tidied_pins(folder: int, name: str) -> int:
    """Clears unfinished pins, and the folder where that leaves it empty."""
    try:
        pins = os.open(name, _FOLDER, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENOENT):
            return 0
        raise
    try:
        cleared = _cleared_leftovers(pins)
    finally:
        os.close(pins)
    try:
        os.rmdir(name, dir_fd=folder)
        return cleared + 1
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
            return cleared
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
