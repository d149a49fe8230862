"""A folder of pictures as a source: once through what is there, or watched for what a camera goes on writing.

A file counts when it is complete: unchanged for `settle_s`, or renamed into place that long after its last write.
Hidden and temporary files, links and files that are no pictures are left alone. Knows nothing of frames or Kafka.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import stat
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path, PurePosixPath

from schemas.records import ClockSource
from streams.capture.frames import check
from streams.capture.naming import Labels, NamePattern, NoLabels
from streams.capture.pictures import SUFFIXES, read_header
from streams.capture.source import Camera, Clock, Shot
from streams.errors import CallerError, OperatorError

MAX_FILE_BYTES = 512 << 20  # 100 megapixels of 16-bit grey and more: beyond it is no picture of a camera
_TEMPORARY = (".tmp", ".part", ".partial", ".crdownload", ".filepart", ".swp", "~")

Stamp = tuple[int, int]  # bytes, mtime in ns


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOptions:
    """How a folder is read. `camera` and `sku` hold where the name pattern does not say otherwise."""

    camera: Camera
    sku: str = "default"
    views: int = 1
    pattern: NamePattern | None = None
    labels: Labels = field(default_factory=NoLabels)
    deadline_ms: int | None = None
    skip_mismatches: bool = False  # a file whose name does not match: True counts it, False ends the run
    watch: bool = False
    journal: Path | None = None  # watched: files handed over and confirmed, so that a restart goes on behind them
    settle_s: float = 0.5
    poll_s: float = 0.25


class FolderSource:
    """See the module. `skipped` counts files that were left out since iteration began, by reason."""

    def __init__(self, folder: Path, options: FolderOptions, clock: Clock | None = None) -> None:
        """CallerError where the folder is not there or can't be read."""
        self.folder, self.options, self.clock = folder, options, clock or Clock()
        self.skipped: dict[str, int] = {}
        self._handed_over: dict[str, Stamp]  # seen complete by this process, or confirmed to an earlier one
        if not folder.is_dir():
            raise CallerError(f"{folder} is no folder; expected one with pictures ({', '.join(SUFFIXES)})")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise CallerError(f"the folder {folder} can't be read: no permission")
        self._handed_over = _known(options.journal, folder)

    @property
    def total(self) -> int | None:
        return None if self.options.watch else sum(1 for _ in self._scan())

    @property
    def can_wait(self) -> bool:
        return True

    async def __aiter__(self) -> AsyncIterator[Shot]:
        self.skipped = {}
        self._handed_over = _known(self.options.journal, self.folder)
        growing: dict[str, tuple[Stamp, float]] = {}  # what a file looked like, and since when
        todo: set[str] | None = None  # once: what was there at the start
        while True:
            found = dict(await asyncio.to_thread(lambda: list(self._scan())))
            if todo is None and not self.options.watch:
                todo = set(found)
            growing = {name: seen for name, seen in growing.items() if name in found}
            for name, stamp in found.items():
                if self._handed_over.get(name) == stamp or (todo is not None and name not in todo):
                    continue
                if (seen_s := self._complete_since_s(growing, name, stamp)) is None:
                    if todo is not None:
                        break  # in the order of names: later files wait too
                    continue
                if todo is not None:
                    todo.discard(name)
                growing.pop(name)
                self._handed_over[name] = stamp
                if (shot := await asyncio.to_thread(self._shot_or_skip, name, seen_s)) is not None:
                    yield shot
            if todo is not None and not growing:
                return
            await asyncio.sleep(self.options.poll_s)

    def confirmed(self, shot: Shot) -> None:
        """Notes a file in the journal, where there is one."""
        name = shot.attributes["file"]
        if self.options.journal and (stamp := self._handed_over.get(name)):
            try:
                with self.options.journal.open("a") as journal:
                    journal.write(json.dumps([name, *stamp]) + "\n")
            except OSError as error:
                raise _journal_error(self.options.journal, error) from error

    def _complete_since_s(self, growing: dict[str, tuple[Stamp, float]], name: str, stamp: Stamp) -> float | None:
        """When a file was first seen as it is now; None while it may still grow."""
        now_s = self.clock.monotonic_s()
        before, seen_s = growing.setdefault(name, (stamp, now_s))
        if before != stamp:
            growing[name] = (stamp, now_s)
            return None
        rested_s = time.time() - stamp[1] / 1e9  # by the file system's clock; a wrong one only makes it wait
        return seen_s if max(now_s - seen_s, rested_s) >= self.options.settle_s else None

    def _scan(self) -> Iterator[tuple[str, Stamp]]:
        """Every picture's relative name and stamp: by name, or watched by age, as the camera took them."""
        found: list[tuple[int, str, int]] = []
        for base, folders, files in os.walk(self.folder):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for name in files:
                if name.startswith(".") or name.endswith(_TEMPORARY) or Path(name).suffix.lower() not in SUFFIXES:
                    continue
                with suppress(OSError):  # gone again: a camera renamed it
                    status = os.lstat(os.path.join(base, name))  # noqa: PTH118 - a hot loop over many files
                    if stat.S_ISREG(status.st_mode):
                        relative = Path(base, name).relative_to(self.folder).as_posix()
                        found.append((status.st_mtime_ns, relative, status.st_size))
        for mtime_ns, name, size in sorted(found, key=None if self.options.watch else itemgetter(1)):
            yield name, (size, mtime_ns)

    def _shot_or_skip(self, name: str, seen_s: float) -> Shot | None:
        try:
            return self._shot(name, seen_s)
        except FileNotFoundError:
            reason = "gone"
        except OSError as error:
            raise CallerError(f"{self.folder / name} can't be read: {error.strerror}") from error
        except ValueError as error:
            if not self.options.skip_mismatches:
                why = f"{error}; rename the file, or have such files skipped"
                raise CallerError(f"{self.folder / name} can't be sent: {why}") from error
            reason = "mismatch"
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        return None

    def _shot(self, name: str, seen_s: float) -> Shot:
        """ValueError for a file that can't be a frame by its name or size."""
        size = self._handed_over[name][0]
        if size > MAX_FILE_BYTES:
            raise ValueError(f"it has {size} bytes; pictures have {MAX_FILE_BYTES} at most")
        pattern = self.options.pattern
        told = pattern.match(PurePosixPath(name)) if pattern else {}
        if told is None:
            raise ValueError(f"its name does not match {pattern.text if pattern else ''!r}")
        known = {**self.options.labels.told(PurePosixPath(name)), **told}
        shot = self._described(PurePosixPath(name), (self.folder / name).read_bytes(), known, seen_s)
        check(shot)
        return shot

    def _described(self, path: PurePosixPath, data: bytes, told: Mapping[str, str], seen_s: float) -> Shot:
        header, own = read_header(data, path.name), self.options.camera
        return Shot(
            camera=Camera(
                told.get("plant", own.plant),
                told.get("line", own.line),
                told.get("station", own.station),
                told.get("camera", own.name),
            ),
            sku=told.get("sku", self.options.sku),
            data=data,
            encoding=header.encoding,
            width=header.width,
            height=header.height,
            captured_at=datetime.fromtimestamp(self._handed_over[path.as_posix()][1] / 1e9, UTC),
            triggered_s=seen_s,
            clock_source=ClockSource.FILE,
            deadline_ms=self.options.deadline_ms,
            part_id=told.get("part_id"),
            lot_id=told.get("lot_id"),
            order_id=told.get("order_id"),
            pass_no=int(told.get("pass_no", 1)),
            view=int(told.get("view", 1)),
            views=int(told.get("views", self.options.views)),
            label=told.get("label") or self.options.labels.of(path),
            attributes={"file": path.as_posix()},
        )


def journal_of(folder: Path, data_dir: Path) -> Path:
    """Where a watched folder's confirmed files are noted, next to the trigger numbers."""
    return data_dir / "gateway" / f"{hashlib.sha256(bytes(folder.resolve())).hexdigest()[:32]}.journal"


def _known(journal: Path | None, folder: Path) -> dict[str, Stamp]:
    """Files confirmed earlier that are still there; the journal keeps those alone, and no torn line."""
    known: dict[str, Stamp] = {}
    if journal is None:
        return known
    try:
        journal.parent.mkdir(parents=True, exist_ok=True)
        for line in journal.read_text().splitlines() if journal.exists() else ():
            with suppress(ValueError):
                name, size, mtime_ns = json.loads(line)
                if (folder / name).exists():
                    known[name] = (size, mtime_ns)
        fresh = journal.with_suffix(".new")
        fresh.write_text("".join(json.dumps([name, *stamp]) + "\n" for name, stamp in known.items()))
        fresh.replace(journal)
    except OSError as error:
        raise _journal_error(journal, error) from error
    return known


def _journal_error(journal: Path, error: OSError) -> OperatorError:
    return OperatorError(f"the journal of sent files {journal} can't be kept: {error.strerror}")
