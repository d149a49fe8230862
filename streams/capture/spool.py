"""The gateway's spool: records kept on disk in order, bounded in bytes, until they are noted as done.

Place in the flow: `backlog.py` puts frames here while the broker is away and reads them when it is back. A record
counts once it is synced. After SIGKILL or a power cut all of those are there; a torn end is cut off, a damaged record
is skipped, and either is kept in `aside/`, logged and counted. One process a spool. Blocks: its caller brings a thread
of its own, one call at a time; the numbers may be read from any thread. Knows no frames.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from streams.capture.aside import Aside
from streams.capture.spool_format import Damage, Header, pack, record_at, walk
from streams.capture.spool_segments import Disk, PlaceFile, RealDisk, Segment, sync_folder
from streams.errors import CallerError, OperatorError

log = logging.getLogger(__name__)
SEGMENT_BYTES = 64 << 20
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True, slots=True)
class Record:
    """One record as it is read again."""

    number: int
    at_ms: int
    body: bytes


class Spool:
    """An open, locked spool. `full` says in words why nothing more is taken; empty while there is room."""

    def __init__(
        self, folder: Path, max_bytes: int, segment_bytes: int = SEGMENT_BYTES, disk: Disk | None = None
    ) -> None:
        """Opens or makes it, and looks through what an earlier process left. CallerError or OperatorError."""
        self.folder, self.max_bytes = folder, max_bytes
        self.full = ""
        self.torn_bytes = self.damaged = 0
        self._segment_bytes, self._disk = min(segment_bytes, max_bytes // 8 + 1), disk or RealDisk()
        self._segments: list[Segment] = []
        self._read_from: Segment | None = None
        self._offset = 0  # in that segment
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._aside = Aside(folder / "aside")
            self._lock_fd = _locked(folder / "lock")
            try:
                self._place = PlaceFile(folder / "done", self._disk)
                self._recover()
            except BaseException:
                os.close(self._lock_fd)
                raise
        except OSError as error:
            raise OperatorError(
                f"the spool {folder} can't be used: {error.strerror}; mend that and try again"
            ) from error
        self.unread_from = self.done

    @property
    def done(self) -> int:
        """All records numbered below it are done."""
        return self._place.place

    @property
    def end(self) -> int:
        """The number that the next record gets."""
        return self._segments[-1].next if self._segments else self.done

    @property
    def frames(self) -> int:
        """Records that are not done."""
        return sum(segment.left(self.done) for segment in tuple(self._segments))

    @property
    def size_bytes(self) -> int:
        """What the segments take on disk."""
        return sum(segment.size for segment in tuple(self._segments))

    @property
    def unread(self) -> int:
        """Records that were not read since the last `rewind`."""
        return sum(segment.left(self.unread_from) for segment in tuple(self._segments))

    def append(self, bodies: Sequence[tuple[int, bytes]]) -> int:
        """Keeps (at_ms, body) in their order; how many of them, from the first on, are durable now.

        Fewer than came: the spool is full, or the disk is, as `full` says.
        """
        kept, self.full = 0, ""
        while kept < len(bodies) and not self.full:
            chunk = self._fitting(bodies[kept:])
            try:
                kept += self._append(chunk) if chunk else 0
            except OSError as error:
                if len(chunk) > 1 and self._append_alone(chunk[0]):
                    kept += 1
                    continue
                self.full = _why(error, self.folder)
        return kept

    def read(self, max_bytes: int) -> list[Record]:
        """The next records that were not read yet, up to `max_bytes` or one; none where all were read."""
        records: list[Record] = []
        size = 0
        while size < max_bytes and (record := self._next()) is not None:
            records.append(record)
            size += len(record.body)
        return records

    def rewind(self) -> None:
        """Reading begins again at the first record that is not done."""
        self.unread_from, self._read_from = self.done, None

    def acknowledge(self, number: int) -> None:
        """Notes that all records below `number` are done, and removes segments of which all are.

        A failing disk costs copies after a restart, no frame: it is logged.
        """
        try:
            self._place.note(max(number, self.done))
            while self._segments and self._segments[0].next <= self.done:
                self._remove(self._segments[0])
        except OSError as error:
            log.error("the spool %s can't note what is done: %s; frames may be sent twice", self.folder, error.strerror)

    def oldest_at_ms(self) -> int | None:
        """When the oldest record that is not done came; None where there is none or it can't be read now."""
        with suppress(OSError):
            for segment in tuple(self._segments):
                for found in walk(segment.read, 0, segment.size, bodies=False):
                    if isinstance(found, Header) and found.number >= self.done:
                        return found.at_ms
        return None

    def put_aside(self, name: str, data: bytes) -> Path:
        """Keeps bytes that nobody can send for people to look at; where. A failing disk is logged."""
        return self._aside.keep(name, data)

    def close(self) -> None:
        """Everything was durable before; gives the lock back."""
        for segment in self._segments:
            segment.close()
        self._place.close()
        os.close(self._lock_fd)

    def _fitting(self, bodies: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """Records for the newest segment, or a new one where that is full; none where the bound is reached."""
        last = self._segments[-1] if self._segments else None
        size = last.size if last and last.takes_more and last.size < self._segment_bytes else 0
        total, number = self.size_bytes, self.end
        records: list[bytes] = []
        for at_ms, body in bodies:
            record = pack(number + len(records), at_ms, body)
            if records and size + len(record) > self._segment_bytes:
                break
            if total + len(record) > self.max_bytes:
                self.full = (
                    f"the spool {self.folder} is full ({total} of {self.max_bytes} bytes)" if not records else ""
                )
                break
            records.append(record)
            size, total = size + len(record), total + len(record)
        return records

    def _append(self, records: Sequence[bytes]) -> int:
        last = self._segments[-1] if self._segments else None
        if last is None or not last.takes_more or last.size >= self._segment_bytes:
            last = Segment(self.folder / Segment.name(self.end), self.end, self._disk)
            self._segments.append(last)
            sync_folder(self.folder, self._disk)
        last.append(records)
        return len(records)

    def _append_alone(self, record: bytes) -> bool:
        """Where many don't fit on the disk, one may."""
        try:
            return bool(self._append([record]))
        except OSError:
            return False

    def _next(self) -> Record | None:
        while (segment := self._segment_to_read()) is not None:
            if self._offset >= segment.size:
                segment.holes.update(range(self.unread_from, segment.next))
                self.unread_from = segment.next
                continue
            found = record_at(segment.read, self._offset, segment.size)
            if isinstance(found, Damage):
                self._tell(segment, found)
                self._offset = found.end
                continue
            header, body = found
            self._offset = header.end
            if header.number >= self.unread_from:
                segment.holes.update(range(self.unread_from, header.number))
                self.unread_from = header.number + 1
                return Record(header.number, header.at_ms, body)
        return None

    def _segment_to_read(self) -> Segment | None:
        """The segment of the first unread record, with `_offset` at or before it."""
        segment = next((s for s in self._segments if self.unread_from < s.next), None)
        if segment is not None and segment is not self._read_from:
            self._read_from = segment
            self.unread_from = max(self.unread_from, segment.first)
            self._offset = segment.offset_of(self.unread_from) if self.unread_from > segment.first else 0
        return segment

    def _tell(self, segment: Segment, damage: Damage) -> None:
        if damage.offset not in segment.reported:
            segment.reported.add(damage.offset)
            self.damaged += 1
            data = segment.read(damage.offset, damage.end - damage.offset)
            path = self.put_aside(f"damaged-{segment.path.stem}-{damage.offset}", data)
            log.error(
                "%s is damaged at byte %d: skipped, %d bytes are in %s", segment.path, damage.offset, len(data), path
            )

    def _recover(self) -> None:
        """Segments of an earlier process: their numbers, a torn end, what is done already."""
        if self._place.is_damaged:
            log.error("the note of what is done in the spool %s is damaged: frames may be sent twice", self.folder)
        firsts = {Segment.first_of(path): path for path in self.folder.iterdir()}
        names = sorted((first, path) for first, path in firsts.items() if first is not None)
        for index, (first, path) in enumerate(names):
            segment = Segment(path, first, self._disk)
            self._segments.append(segment)
            is_last = index == len(names) - 1
            whole_to = segment.recover(is_last)
            if not is_last:
                segment.reach(names[index + 1][0])
            elif whole_to < segment.size:
                self._cut_off(segment, whole_to)
        if self._segments:
            self.acknowledge(max(self.done, self._segments[0].first))

    def _cut_off(self, segment: Segment, offset: int) -> None:
        """What was being written when the process or the machine ended: nobody was told that it is kept."""
        torn = segment.read(offset, segment.size - offset)
        self.torn_bytes += len(torn)
        path = self.put_aside(f"torn-{segment.path.stem}-{offset}", torn)
        log.warning("%s had a torn end: %d bytes are cut off and lie in %s", segment.path, len(torn), path)
        segment.cut(offset)

    def _remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        segment.close()
        self._segments.remove(segment)


def _locked(path: Path) -> int:
    """A descriptor that holds the lock; CallerError where another process does."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CallerError(
            f"the spool {path.parent} is used by another gateway process; stop that one, or give this one another "
            "--data-dir, or a spool of its own by LINESIDE_SPOOL_DIR"
        ) from None
    return descriptor


def _why(error: OSError, folder: Path) -> str:
    if error.errno in _FULL:
        return f"no room is left on the disk of the spool {folder}"
    return f"the spool {folder} can't be written ({error.strerror})"
