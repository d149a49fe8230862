"""A run on the disk: what was asked, which frames, and, when it is done, its verdicts. Knows no Kafka.

Whoever has the folder can go on with the run. Every file appears whole or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from streams.errors import CallerError, OperatorError
from streams.whole_file import write_whole

FORMAT = 1
INFO, FRAMES, VERDICTS = "run.json", "frames.parquet", "verdicts.parquet"


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of one run."""

    path: Path

    @property
    def exists(self) -> bool:
        return (self.path / INFO).is_file()

    @property
    def is_done(self) -> bool:
        """Whether every frame has its verdict here."""
        return (self.path / VERDICTS).is_file()

    def info(self) -> dict[str, Any]:
        """What was asked; CallerError where there is no such run."""
        try:
            found: dict[str, Any] = json.loads((self.path / INFO).read_text())
        except FileNotFoundError:
            known = ", ".join(runs_in(self.path.parent)) or "none yet"
            raise CallerError(f"there is no run {self.path.name!r}; runs here are: {known}") from None
        except (OSError, ValueError) as error:
            raise OperatorError(f"{self.path / INFO} can't be read: {error}") from error
        if found.get("format") != FORMAT:
            raise CallerError(f"{self.path} has format {found.get('format')!r}; this program reads format {FORMAT}")
        return found

    def begin(self, info: Mapping[str, Any], frames: pa.Table) -> None:
        """Writes what was asked, after the frames: a run exists when its `run.json` does."""
        self._write(FRAMES, lambda path: pq.write_table(frames, path, compression="zstd"))
        self.write_info(info)

    def write_info(self, info: Mapping[str, Any]) -> None:
        text = json.dumps({"format": FORMAT, **info}, indent=2, sort_keys=True) + "\n"
        self._write(INFO, lambda path: path.write_text(text))

    def finish(self, verdicts: pa.Table) -> None:
        """Keeps the verdicts beyond their topic's retention."""
        self._write(VERDICTS, lambda path: pq.write_table(verdicts, path, compression="zstd"))

    def frames(self) -> pa.Table:
        return pq.read_table(self.path / FRAMES)

    def verdicts(self) -> pa.Table:
        return pq.read_table(self.path / VERDICTS)

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            write_whole(self.path / name, write)
        except OSError as error:
            raise OperatorError(
                f"{self.path / name} can't be written: {error.strerror}; make room, then go on"
            ) from error


def runs_in(folder: Path) -> list[str]:
    """The names of the runs kept in a folder."""
    return sorted(path.parent.name for path in folder.glob(f"*/{INFO}"))
