"""The frame store in any other fsspec file system. Their writes of one object are atomic: it appears when it is whole.

Used by `streams.store`, which has checked every path. An object's age is what the file system says it is; one that is
put again is written again where it is older than an hour. Between the last look at an object's age and its removal lies
one request: fsspec knows no removal on a condition. A writer that comes just then looks once more whether its object is
there. Knows no digests.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from streams.errors import LinesideError, OperatorError
from streams.store_errors import (
    ObjectMissingError,
    ObjectTooLargeError,
    ReferenceRefusedError,
    StoreUnavailableError,
)

YOUNG_S = 3600.0  # an object that is put again within this time is not written again
ATTEMPTS = 3  # of a write that a removal may have overtaken
_AGES = ("LastModified", "last_modified", "mtime", "updated", "modified")  # S3, Azure, SFTP, Google, WebDAV


class RemoteBackend:
    """One file system and the place in it, as a URI."""

    def __init__(self, filesystem: Any, base: str) -> None:
        self._fs = filesystem
        self.base = base

    def write(self, path: str, data: bytes) -> None:
        target = f"{self.base}/{path}"
        try:
            for _ in range(ATTEMPTS):
                found = self._found(target)
                if found and found["size"] == len(data) and self._is_young(found):
                    return
                self._fs.makedirs(target.rpartition("/")[0], exist_ok=True)
                self._fs.pipe_file(target, data)
                if found is None:
                    return  # nobody removes what was not there
        except Exception as error:  # each file system raises its own kinds
            raise OperatorError(f"the frame store {self.base} takes no pictures: {error}") from error

    def read(self, path: str, max_bytes: int) -> bytes:
        target = f"{self.base}/{path}"
        with self._reading(target):
            info = self._fs.info(target)
            if info["type"] != "file":
                raise ReferenceRefusedError(f"{target} is no plain file")
            if info["size"] > max_bytes:
                raise ObjectTooLargeError(f"{target} has {info['size']} bytes; at most {max_bytes} are taken")
            return bytes(self._fs.cat_file(target, start=0, end=info["size"]))

    def size(self, path: str) -> int | None:
        target = f"{self.base}/{path}"
        try:
            with self._reading(target):
                return int(self._fs.size(target))
        except ObjectMissingError:
            return None

    def names(self, path: str) -> list[str]:
        return [_name(entry) for entry in self._listed(path)]

    def folders(self) -> list[str]:
        return [_name(entry) for entry in self._listed("") if entry["type"] == "directory"]

    def files(self, folder: str) -> list[tuple[str, int, float]]:
        found = []
        for entry in self._listed(folder):
            if entry["type"] == "file":
                with contextlib.suppress(ObjectMissingError), self._reading(str(entry["name"])):  # gone meanwhile
                    found.append((_name(entry), int(entry["size"]), self._modified_s(entry)))
        return found

    def remove(self, path: str, before_s: float, is_needed: Callable[[], bool]) -> bool:
        target = f"{self.base}/{path}"
        if is_needed():
            return False
        try:
            found = self._found(target)
            if found is None or self._modified_s(found) >= before_s:
                return False
            self._fs.rm_file(target)
        except FileNotFoundError:
            return False
        except Exception as error:  # each file system raises its own kinds
            raise OperatorError(f"nothing can be removed from the frame store {self.base}: {error}") from error
        return True

    def tidy(self, folder: str) -> int:
        """Nothing is left of an end without notice here, and there are no empty folders."""
        return 0

    def _listed(self, path: str) -> list[Mapping[str, Any]]:
        target = f"{self.base}/{path}".rstrip("/")
        try:
            with self._reading(target):
                self._fs.invalidate_cache(target)
                listed: list[Mapping[str, Any]] = self._fs.ls(target, detail=True)
                return listed
        except ObjectMissingError:
            return []

    def _found(self, target: str) -> Mapping[str, Any] | None:
        """What the file system itself says of an object now; None where there is none."""
        self._fs.invalidate_cache(target.rpartition("/")[0])
        try:
            info: Mapping[str, Any] = self._fs.info(target)
        except FileNotFoundError:
            return None
        return info if info["type"] == "file" else None

    def _is_young(self, info: Mapping[str, Any]) -> bool:
        try:
            return self._modified_s(info) > time.time() - YOUNG_S
        except NotImplementedError:  # a file system without ages: nothing can be collected in it
            return True

    def _modified_s(self, info: Mapping[str, Any]) -> float:
        came = next((info[key] for key in _AGES if info.get(key) is not None), None)
        at = self._fs.modified(info["name"]) if came is None else came
        if isinstance(at, int | float):
            return float(at)
        if isinstance(at, str):
            at = datetime.fromisoformat(at)
        return float((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp())

    @contextlib.contextmanager
    def _reading(self, target: str) -> Iterator[None]:
        try:
            yield
        except LinesideError:
            raise
        except FileNotFoundError as error:
            raise ObjectMissingError(f"{target} is not in the frame store") from error
        except Exception as error:  # each file system raises its own kinds
            raise StoreUnavailableError(f"the frame store {self.base} can't be read: {error}") from error


def _name(entry: Mapping[str, Any]) -> str:
    return str(entry["name"]).rstrip("/").rpartition("/")[2]
