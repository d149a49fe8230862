"""The frame store: pictures by content, for claim checks and defects, in a folder or anything else fsspec reaches.

An object lies at root/ab/<sha256>.<extension>, its pins beside it at root/ab/<sha256>.pins/<who needs it>. References
come with events, so they are untrusted: only a plain path below the configured root is followed. Knows nothing of
frames or Kafka. Thread-safe.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from streams.errors import CallerError, LinesideError, OperatorError

_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_PIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_PLAIN_PATH = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}/){0,7}[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}")
_ENDED = {errno.ENOSPC: "the disk is full", errno.EDQUOT: "the quota is used up", errno.EROFS: "it is read-only"}


class ReferenceRefusedError(LinesideError):
    """A reference that leads out of the store, or to something that is no plain file."""


class ObjectMissingError(LinesideError):
    """The store is there and the object is not."""


class ObjectTooLargeError(LinesideError):
    """The object has more bytes than the reader takes."""


class StoreUnavailableError(LinesideError):
    """The store can't be reached or read just now: worth trying again."""


class _Backend(Protocol):
    """Paths are relative and plain: checked before they come here."""

    base: str  # URI of the root, without a slash at the end

    def write(self, path: str, data: bytes) -> None: ...

    def read(self, path: str, max_bytes: int) -> bytes: ...

    def names(self, path: str) -> list[str]:
        """What lies directly in a folder; nothing where there is none."""

    def size(self, path: str) -> int | None:
        """Bytes of an object; None where there is none."""


class FrameStore:
    """A store at a folder, `file://…` or another fsspec URL. A folder is made where there is none."""

    def __init__(self, url: str) -> None:
        """CallerError for a URL that nobody serves or a folder that can't be made."""
        self._backend = _backend(url)

    def put(self, data: bytes, sha256: str, extension: str) -> str:
        """Keeps `data` under its digest and returns the absolute URI. Putting again changes nothing.

        The object appears whole or not at all. OperatorError where it can't be written, ValueError for a bad name.
        """
        self._backend.write(_path_of(sha256, extension), data)
        return self.uri(sha256, extension)

    def uri(self, sha256: str, extension: str) -> str:
        """Where a picture is kept, if it is. ValueError for a bad name."""
        return f"{self._backend.base}/{_path_of(sha256, extension)}"

    def get(self, uri: str, max_bytes: int) -> bytes:
        """The object's bytes.

        Raises ReferenceRefusedError, ObjectMissingError, ObjectTooLargeError, or StoreUnavailableError (try again).
        """
        return self._backend.read(self._plain(uri), max_bytes)

    def size(self, uri: str) -> int | None:
        """The object's bytes; None where it is not there. Raises ReferenceRefusedError or StoreUnavailableError."""
        return self._backend.size(self._plain(uri))

    def pin(self, sha256: str, by: str) -> None:
        """Notes that `by`, such as `sample-<id>`, needs the picture: it is never collected. Pinning again is idle.

        Pin before you put: then no collection comes in between. OperatorError where it can't be written, ValueError for
        a bad digest or name.
        """
        if not _PIN.fullmatch(by):
            raise ValueError(f"a pin's name is 1 to 100 of A-Z a-z 0-9 . _ -, the first no dot; came {by!r:.120}")
        self._backend.write(f"{_pins_of(sha256)}/{by}", b"")

    def _plain(self, uri: str) -> str:
        path = uri.removeprefix(f"{self._backend.base}/")
        if path == uri or not _PLAIN_PATH.fullmatch(path):
            raise ReferenceRefusedError(f"{uri!r:.200} is no plain path in the frame store {self._backend.base}")
        return path

    def pins(self, sha256: str) -> set[str]:
        """Who needs the picture. StoreUnavailableError where that can't be told now, ValueError for a bad digest."""
        return {name for name in self._backend.names(_pins_of(sha256)) if _PIN.fullmatch(name)}


def _path_of(sha256: str, extension: str) -> str:
    if not _SHA256.fullmatch(sha256) or not _EXTENSION.fullmatch(extension):
        raise ValueError(f"expected a lower-case sha256 and an extension; came {sha256!r:.80} and {extension!r:.20}")
    return f"{sha256[:2]}/{sha256}.{extension}"


def _pins_of(sha256: str) -> str:
    if not _SHA256.fullmatch(sha256):
        raise ValueError(f"expected a lower-case sha256; came {sha256!r:.80}")
    return f"{sha256[:2]}/{sha256}.pins"


def _backend(url: str) -> _Backend:
    if not url or "::" in url:
        raise CallerError(f"the frame store must be a folder or an fsspec URL such as s3://bucket/frames; came {url!r}")
    if url.startswith("file:///"):
        return _Folder(Path(unquote(url.removeprefix("file://"))))  # fsspec would take %20 for a name
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise CallerError(f"the frame store {url} can't be used: {error}") from error
    if isinstance(filesystem, LocalFileSystem):
        return _Folder(Path(root))
    return _Remote(filesystem, str(filesystem.unstrip_protocol(root)).rstrip("/"))


class _Folder:
    """A local folder. Reads walk down by descriptors and follow no symbolic link below the root."""

    def __init__(self, root: Path) -> None:
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._root = root.resolve(strict=True)
        except OSError as error:
            raise CallerError(f"the frame store {root} can't be made: {error.strerror}") from error
        self.base = self._root.as_uri().rstrip("/")

    def write(self, path: str, data: bytes) -> None:
        target = self._root / path
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}.tmp")
        try:
            if target.is_file() and target.stat().st_size == len(data):
                return
            for folder in reversed(target.relative_to(self._root).parents[:-1]):  # never the root: it may be unmounted
                (self._root / folder).mkdir(exist_ok=True)
            with temporary.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(target)
            _sync_folder(target.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            why = _ENDED.get(error.errno or 0, error.strerror or str(error))
            raise OperatorError(f"the frame store {self._root} takes no pictures: {why}") from error

    def read(self, path: str, max_bytes: int) -> bytes:
        try:
            descriptor = self._open(path)
            try:
                return self._read_open(descriptor, path, max_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise self._translated(error, path) from error

    def names(self, path: str) -> list[str]:
        try:
            descriptor = self._open(path, os.O_DIRECTORY)
            try:
                return os.listdir(descriptor)  # noqa: PTH208 - of an open folder, not of a path
            finally:
                os.close(descriptor)
        except OSError as error:
            translated = self._translated(error, path)
            if isinstance(translated, ObjectMissingError):
                return []
            raise translated from error

    def size(self, path: str) -> int | None:
        try:
            descriptor = self._open(path)
            try:
                return os.fstat(descriptor).st_size
            finally:
                os.close(descriptor)
        except OSError as error:
            translated = self._translated(error, path)
            if isinstance(translated, ObjectMissingError):
                return None
            raise translated from error

    def _read_open(self, descriptor: int, path: str, max_bytes: int) -> bytes:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ReferenceRefusedError(f"{path} in the frame store {self._root} is no plain file")
        if status.st_size > max_bytes:
            raise ObjectTooLargeError(f"{path} has {status.st_size} bytes; at most {max_bytes} are taken")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(status.st_size)  # what is in the store never grows

    def _open(self, path: str, flags: int = 0) -> int:
        *folders, name = path.split("/")
        here = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for folder in folders:
                below = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
                os.close(here)
                here = below
            return os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, dir_fd=here)
        finally:
            os.close(here)

    def _translated(self, error: OSError, path: str) -> LinesideError:
        if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            return ReferenceRefusedError(f"{path} in the frame store {self._root} is no plain file: {error.strerror}")
        if error.errno == errno.ENOENT and self._root.is_dir():
            return ObjectMissingError(f"{path} is not in the frame store {self._root}")
        return StoreUnavailableError(f"the frame store {self._root} can't be read: {error.strerror}")


class _Remote:
    """Any other fsspec file system. Their writes of one object are atomic: it appears when it is whole."""

    def __init__(self, filesystem: Any, base: str) -> None:
        self._fs = filesystem
        self.base = base

    def write(self, path: str, data: bytes) -> None:
        target = f"{self.base}/{path}"
        try:
            if self._fs.exists(target) and self._fs.size(target) == len(data):
                return
            self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._fs.pipe_file(target, data)
        except Exception as error:  # each file system raises its own kinds
            raise OperatorError(f"the frame store {self.base} takes no pictures: {error}") from error

    def read(self, path: str, max_bytes: int) -> bytes:
        target = f"{self.base}/{path}"
        try:
            info = self._fs.info(target)
            if info["type"] != "file":
                raise ReferenceRefusedError(f"{target} is no plain file")
            if info["size"] > max_bytes:
                raise ObjectTooLargeError(f"{target} has {info['size']} bytes; at most {max_bytes} are taken")
            return bytes(self._fs.cat_file(target, start=0, end=info["size"]))
        except LinesideError:
            raise
        except FileNotFoundError as error:
            raise ObjectMissingError(f"{target} is not in the frame store") from error
        except Exception as error:  # each file system raises its own kinds
            raise StoreUnavailableError(f"the frame store {self.base} can't be read: {error}") from error

    def size(self, path: str) -> int | None:
        try:
            return int(self._fs.size(f"{self.base}/{path}"))
        except FileNotFoundError:
            return None
        except Exception as error:  # each file system raises its own kinds
            raise StoreUnavailableError(f"the frame store {self.base} can't be read: {error}") from error

    def names(self, path: str) -> list[str]:
        target = f"{self.base}/{path}"
        try:
            self._fs.invalidate_cache(target)
            return [str(name).rpartition("/")[2] for name in self._fs.ls(target, detail=False)]
        except FileNotFoundError:
            return []
        except Exception as error:  # each file system raises its own kinds
            raise StoreUnavailableError(f"the frame store {self.base} can't be read: {error}") from error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
