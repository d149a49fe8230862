"""A file from the network, once: gone on with where it broke off, checked, and there whole or not at all.

Place in the flow: `lineside train --start imagenet`, and nothing else: no part calls out unless it was asked to. The
address and the beginning of the file's sha256 are told. Knows nothing of what is in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from streams.errors import CallerError, OperatorError

ATTEMPTS = 3
SILENCE_S = 30.0  # of the other side, until it counts as broken off
CHUNK_BYTES = 1 << 18

OnProgress = Callable[[int, int | None], None]
"""Bytes that are there, and all of them where that is known. What it raises ends the download, which goes on later."""


class DownloadError(CallerError):
    """What was asked for can't be fetched from here, or isn't what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A file to fetch. `sha256`: how its digest begins, in hexadecimal."""

    url: str
    sha256: str
    most_bytes: int

    @property
    def file_name(self) -> str:
        return self.url.rpartition("/")[2]


def fetched(wanted: Wanted, folder: Path, on_progress: OnProgress = lambda done, total: None) -> Path:
    """The file in `folder`; the network is asked only where it isn't there, or is damaged.

    Raises DownloadError where it can't be had or has another sha256, of which nothing is kept, and OperatorError where
    the folder can't be written.
    """
    target, part = folder / wanted.file_name, folder / f".{wanted.file_name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder / f".{wanted.file_name}.lock"):
            if not _is_it(target, wanted):
                _complete(wanted, part, on_progress)
                if not _is_it(part, wanted):
                    part.unlink()
                    raise DownloadError(f"what {wanted.url} gives has another sha256 than {wanted.sha256}…: not kept")
                _to_disk(part)
                part.replace(target)
    except OSError as error:
        raise OperatorError(
            f"{folder} can't be written: {error.strerror or error}; make room or rights there"
        ) from error
    return target


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError("another process is fetching it; start this one again once that has it") from None
        yield


def _is_it(file: Path, wanted: Wanted) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest().startswith(wanted.sha256)


def _to_disk(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _complete(wanted: Wanted, part: Path, on_progress: OnProgress) -> None:
    """All that the other side has, behind what is there of it already."""
    why = "the connection broke off"
    for _ in range(ATTEMPTS):
        try:
            if _go_on(wanted, part, on_progress):
                return
        except HTTPError as error:
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise DownloadError(f"{wanted.url} answers {error.code} {error.reason}") from error
            part.unlink(missing_ok=True)  # it is longer than what the other side has
        except URLError as error:
            raise DownloadError(f"{wanted.url} can't be reached: {error.reason}") from error
        except (HTTPException, ConnectionError, TimeoutError, SSLError) as error:
            why = f"the connection broke off: {error or type(error).__name__}"
    raise DownloadError(f"{wanted.url} can't be fetched whole, {why}; the next call goes on")


def _go_on(wanted: Wanted, part: Path, on_progress: OnProgress) -> bool:
    """One request for what is missing; whether all came."""
    have = part.stat().st_size if part.exists() else 0
    request = Request(wanted.url, headers={"Range": f"bytes={have}-"} if have else {})  # noqa: S310  # by our own table
    with urlopen(request, timeout=SILENCE_S) as response:  # noqa: S310
        goes_on = response.status == HTTPStatus.PARTIAL_CONTENT
        done = have if goes_on else 0
        length = response.headers.get("Content-Length")
        total = None if length is None else done + int(length)
        with part.open("ab" if goes_on else "wb") as file:
            while chunk := response.read(CHUNK_BYTES):
                done += len(chunk)
                if done > wanted.most_bytes:
                    raise DownloadError(f"{wanted.url} gives more than {wanted.most_bytes} bytes")
                file.write(chunk)
                on_progress(done, total)
    return total is None or done == total
