"""The frame store: pictures by content, for claim checks and defects, in a folder or anything else fsspec reaches.

An object lies at root/ab/<sha256>.<extension>, its pins beside it at root/ab/<sha256>.pins/<who needs it>. References
come with events, so they are untrusted: only a plain path below the configured root is followed. Objects that nothing
needs are removed by `streams.store_gc`, which asks here; an object's age counts from when it was put last. Knows
nothing of frames or Kafka. Thread-safe.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote

import fsspec
from fsspec.implementations.local import LocalFileSystem

from streams.errors import CallerError
from streams.store_errors import (
    ObjectMissingError,
    ObjectTooLargeError,
    ReferenceRefusedError,
    StoreUnavailableError,
)
from streams.store_folder import FolderBackend
from streams.store_remote import RemoteBackend

__all__ = [
    "FrameStore",
    "ObjectMissingError",
    "ObjectTooLargeError",
    "ReferenceRefusedError",
    "StoreUnavailableError",
    "Stored",
]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_EXTENSION = re.compile(r"[a-z0-9]{1,8}")
_OBJECT = re.compile(r"([0-9a-f]{64})\.([a-z0-9]{1,8})")
_SHELF = re.compile(r"[0-9a-f]{2}")
_PIN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")
_PLAIN_PATH = re.compile(r"(?:[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}/){0,7}[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}")
_FACTS = ".facts"  # no reference leads there


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as it was listed; `modified_s`: when it was put last, s since 1970."""

    sha256: str
    extension: str
    size: int
    modified_s: float


class _Backend(Protocol):
    """Paths are relative and plain: checked before they come here."""

    base: str  # URI of the root, without a slash at the end

    def write(self, path: str, data: bytes) -> None:
        """Makes an object, whole or not at all; one that is there becomes young."""

    def read(self, path: str, max_bytes: int) -> bytes: ...

    def names(self, path: str) -> list[str]:
        """What lies directly in a folder; nothing where there is none."""

    def size(self, path: str) -> int | None:
        """Bytes of an object; None where there is none."""

    def folders(self) -> list[str]:
        """Folders directly below the root."""

    def files(self, folder: str) -> list[tuple[str, int, float]]:
        """Plain files of a folder: name, bytes, when written last (s since 1970)."""

    def remove(self, path: str, before_s: float, is_needed: Callable[[], bool]) -> bool:
        """Removes an object that was written last before a time and is not needed; both are looked at last of all."""

    def tidy(self, folder: str) -> int:
        """Clears what ends without notice left; how much that was."""


class FrameStore:
    """A store at a folder, `file://…` or another fsspec URL. A folder is made where there is none."""

    def __init__(self, url: str) -> None:
        """CallerError for a URL that nobody serves or a folder that can't be made."""
        self._backend = _backend(url)

    def put(self, data: bytes, sha256: str, extension: str) -> str:
        """Keeps `data` under its digest and returns the absolute URI. Putting again changes nothing but its age.

        So put a picture before you publish what names it, even where it is there. The object appears whole or not at
        all. OperatorError where it can't be written, ValueError for a bad name.
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

    def shelves(self) -> list[str]:
        """The parts in which the store is listed, at most 256, in order. StoreUnavailableError."""
        return sorted(filter(_SHELF.fullmatch, self._backend.folders()))

    def stored(self, shelf: str) -> Iterator[Stored]:
        """The objects of a shelf; what else lies there is passed over. StoreUnavailableError."""
        for name, size, modified_s in self._backend.files(shelf):
            if (found := _OBJECT.fullmatch(name)) and name.startswith(shelf):
                yield Stored(found[1], found[2], size, modified_s)

    def remove(self, stored: Stored, before_s: float) -> bool:
        """Removes an object that was put last before a time, unless it was put again or pinned meanwhile; True if gone.

        StoreUnavailableError or OperatorError where that can't be done: then it is still there.
        """
        path = _path_of(stored.sha256, stored.extension)
        return self._backend.remove(path, before_s, lambda: bool(self.pins(stored.sha256)))

    def tidy(self, shelf: str) -> int:
        """Clears unfinished writes of a day ago and empty folders of pins; how many. OperatorError."""
        return self._backend.tidy(shelf)

    def note(self, fact: str) -> None:
        """Remembers a fact about the store, such as who collects it; same names and errors as `pin`."""
        if not _PIN.fullmatch(fact):
            raise ValueError(f"a fact is 1 to 100 of A-Z a-z 0-9 . _ -, the first no dot; came {fact!r:.120}")
        self._backend.write(f"{_FACTS}/{fact}", b"")

    def facts(self) -> dict[str, str]:
        """What was noted, each with the URI whose removal makes it forgotten. StoreUnavailableError."""
        names = sorted(filter(_PIN.fullmatch, self._backend.names(_FACTS)))
        return {name: f"{self._backend.base}/{_FACTS}/{name}" for name in names}

    @property
    def base(self) -> str:
        """URI of the store."""
        return self._backend.base


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
        return _folder(Path(unquote(url.removeprefix("file://"))))  # fsspec would take %20 for a name
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except (ValueError, ImportError) as error:
        raise CallerError(f"the frame store {url} can't be used: {error}") from error
    if isinstance(filesystem, LocalFileSystem):
        return _folder(Path(root))
    return RemoteBackend(filesystem, str(filesystem.unstrip_protocol(root)).rstrip("/"))


def _folder(root: Path) -> FolderBackend:
    try:
        return FolderBackend(root)
    except OSError as error:
        raise CallerError(f"the frame store {root} can't be made: {error.strerror}") from error
