"""Bytes that nobody can send, kept for people to look at: the newest, up to a bound.

Place in the flow: what the spool finds damaged and what Kafka will never take. Each was counted as refused or damaged
when it came; a camera whose every picture is refused must not fill the disk that the spool needs. Blocks.
"""

from __future__ import annotations

import logging
from pathlib import Path

log = logging.getLogger(__name__)
MAX_BYTES = 512 << 20


class Aside:
    """The files of one folder, which is made."""

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES) -> None:
        """OSError where the folder can't be made or read."""
        self.folder, self.max_bytes = folder, max_bytes
        folder.mkdir(parents=True, exist_ok=True)
        self._bytes = sum(path.stat().st_size for path in folder.iterdir())

    def keep(self, name: str, data: bytes) -> Path:
        """Where it lies now; the oldest give way to it. A failing disk is logged."""
        path = self.folder / name
        try:
            path.write_bytes(data)
            self._bytes += len(data)
            if self._bytes > self.max_bytes:
                self._make_room(path)
        except OSError as error:
            log.error("%s can't be kept: %s", path, error.strerror)
        return path

    def _make_room(self, newest: Path) -> None:
        """Leaves three quarters of the bound, so that not each of a flood looks through the folder."""
        found = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self.folder.iterdir())
        self._bytes, removed = sum(size for _, size, _ in found), 0
        for _, size, path in found:
            if self._bytes > self.max_bytes * 3 // 4 and path != newest:
                path.unlink(missing_ok=True)
                self._bytes -= size
                removed += 1
        log.error(
            "%s is full: its %d oldest files are removed, all of them counted when they came", self.folder, removed
        )
