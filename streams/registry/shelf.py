"""Where released models lie: one folder each, named by its content, written whole or not at all, never changed.

Place in the flow: `lineside models release` puts a model here, workers and replays take it from here. The folder may be
shared between machines. What is read is verified anew each time. Knows no topic.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from models.artifact import Artifact, load_artifact
from models.artifact_files import MAX_BYTES
from models.errors import ModelError, ModelRefusedError
from streams.errors import OperatorError
from streams.registry.book import PLACE, SHA256


class Shelf:
    """The configured store of models."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, directory: Path, sha256: str) -> Artifact:
        """Copy the model of this sha256 from its directory, if it isn't here yet; the model as it is here.

        ModelError or ModelRefusedError where the directory holds none, or another one by now; OperatorError where it
        can't be written here.
        """
        place = self._folder / sha256
        try:
            if not place.exists():
                self._copy(directory, place, sha256)
        except OSError as error:
            raise OperatorError(
                f"the model can't be kept in {self._folder} ({error.strerror}); make room or give rights there, or "
                "name another folder by LINESIDE_MODEL_STORE"
            ) from error
        return self.get(PLACE + sha256)

    def get(self, uri: str) -> Artifact:
        """The model at `models/<sha256>`, verified.

        ModelRefusedError for any other reference, and for files that are not those of the sha256; ModelError where it
        is not here.
        """
        sha256 = uri.removeprefix(PLACE)
        if uri != PLACE + sha256 or not SHA256.fullmatch(sha256):
            raise ModelRefusedError(f"a released model lies at {PLACE}<sha256>; came {uri!r:.100}")
        if not (self._folder / sha256).is_dir():
            raise _missing(sha256, self._folder)
        artifact = load_artifact(self._folder / sha256)
        if artifact.sha256 != sha256:
            raise ModelRefusedError(f"{self._folder / sha256} holds the model {artifact.sha256}: it was exchanged")
        return artifact

    def place(self, uri: str) -> Path:
        """The folder of the model at `models/<sha256>`, be it there or not."""
        return self._folder / uri.removeprefix(PLACE)

    def nbytes(self, uri: str) -> int:
        """Size of the files at `models/<sha256>`; ModelError where they are not here."""
        place = self.place(uri)
        if not (found := size_of(place)):
            raise _missing(place.name, self._folder)
        return found

    def _copy(self, directory: Path, place: Path, sha256: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=".") as scratch:
            new = Path(scratch) / "model"
            new.mkdir()
            for name in MAX_BYTES:
                if (directory / name).is_file():
                    shutil.copyfile(directory / name, new / name)
                    _sync(new / name)
            if load_artifact(new).sha256 != sha256:
                raise ModelRefusedError(f"{directory} changed since the model {sha256} was looked at; try again")
            _sync(new)
            try:
                new.rename(place)
            except OSError:
                if not place.is_dir():  # another has put the same there meanwhile
                    raise
        _sync(self._folder)


def size_of(directory: Path) -> int:
    """Size of a model's files; 0 where there are none."""
    return sum(path.stat().st_size for name in MAX_BYTES if (path := directory / name).is_file())


def _missing(sha256: str, folder: Path) -> ModelError:
    return ModelError(
        f"the model {sha256} is not in {folder}; share that folder with the machine that released it, "
        "or release it here"
    )


def _sync(path: Path) -> None:
    """Wait until the disk has it."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
