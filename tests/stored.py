"""A frame store whose objects can be made old, for tests of collections."""

from __future__ import annotations

import hashlib
import os
import stat
from datetime import timedelta
from pathlib import Path

from fsspec.implementations.memory import MemoryFileSystem

from streams.store import FrameStore, ObjectMissingError

DAY_S = 86_400


class AgingStore:
    """A store in a folder or in memory. `pass_days` makes everything in it older."""

    def __init__(self, folder: Path | None, name: str = "") -> None:
        self.root = folder or Path(f"/aging-{name}")
        self.is_remote = folder is None
        self.store = FrameStore(f"memory:/{self.root}" if self.is_remote else str(self.root))

    def put(self, data: bytes, extension: str = "jpg") -> str:
        return self.store.put(data, hashlib.sha256(data).hexdigest(), extension)

    def holds(self, data: bytes, extension: str = "jpg") -> bool:
        """Whole, too."""
        try:
            found = self.store.get(self.store.uri(hashlib.sha256(data).hexdigest(), extension), 1 << 20)
        except ObjectMissingError:
            return False
        assert found == data
        return True

    def pass_days(self, days: float) -> None:
        if self.is_remote:
            for path, file in MemoryFileSystem.store.items():
                if path.startswith(f"{self.root}/"):
                    file.modified -= timedelta(days=days)
            return
        for path in (*self.root.rglob("*"), *self.root.rglob(".*")):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                os.utime(path, (status.st_atime, status.st_mtime - days * DAY_S))

    def clear(self) -> None:
        """Forgets a store in memory."""
        for path in [p for p in MemoryFileSystem.store if p.startswith(f"{self.root}/")]:
            del MemoryFileSystem.store[path]
