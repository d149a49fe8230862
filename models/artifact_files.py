"""Reading and writing a model's files as untrusted bytes: size limits, strict JSON, exact keys, sane headers.

Used by what reads and writes artifacts. What is verified is what is used: every file is read once. Knows no meaning of
any key.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import tempfile
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from models.errors import ModelError, ModelRefusedError

MANIFEST, WEIGHTS, GOLDEN = "model.json", "weights.safetensors", "golden.safetensors"
INT8_GRAPH, INT8_WEIGHTS = "int8.xml", "int8.bin"  # where a model was quantised: OpenVINO's format, without code
SAFETENSORS = ".safetensors"
NOVELTY = "novelty.safetensors"  # where a model knows what good parts look like
MAX_BYTES = {
    MANIFEST: 1 << 20,
    WEIGHTS: 1 << 30,
    GOLDEN: 64 << 20,
    INT8_GRAPH: 16 << 20,
    INT8_WEIGHTS: 1 << 30,
    NOVELTY: 128 << 20,
}
MAX_HEADER_BYTES = 1 << 20  # of a safetensors file; a ResNet-152's takes 90 kB


def read(directory: Path, name: str) -> bytes:
    """A whole file of a model's directory; ModelRefusedError where it is missing, too large or no plain file."""
    return read_bounded(directory / name, MAX_BYTES[name])


def read_bounded(path: Path, most: int) -> bytes:
    """A whole file of at most so many bytes; ModelRefusedError where it is missing, larger or no plain file."""
    try:
        if not path.is_file():
            raise ModelRefusedError(f"{path.name} is missing in {path.parent}, or can't be read as a plain file")
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > most:
                raise ModelRefusedError(f"{path.name} has {size} bytes; expected at most {most}")
            return file.read(size)  # what it grows by meanwhile is not looked at
    except OSError as error:
        raise ModelRefusedError(f"{path} can't be read: {error.strerror}") from error


def write(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def read_unchanged(directory: Path, hashes: Mapping[str, str], manifest: str = MANIFEST) -> dict[str, bytes]:
    """The files that a manifest names with their sha256, whole; ModelRefusedError where one is another."""
    files = {name: read(directory, name) for name in hashes}
    for name, data in files.items():
        if (found := hashlib.sha256(data).hexdigest()) != hashes[name]:
            raise ModelRefusedError(f"{name} was changed: {manifest} says sha256 {hashes[name]}, it has {found}")
        if name.endswith(SAFETENSORS):
            check_header(name, data)
    return files


def write_whole(directory: Path, files: Mapping[str, bytes], manifest: str = MANIFEST) -> None:
    """Write a model's directory whole or not at all; an earlier one with such a manifest there is replaced.

    Raises ModelError where the directory holds anything else.
    """
    check_room(directory, manifest)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=f".{directory.name}.") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        new.mkdir()
        for name, data in files.items():
            write(new / name, data)
        if directory.exists():
            directory.rename(old)
        new.rename(directory)


def check_room(directory: Path, manifest: str = MANIFEST) -> None:
    """ModelError where a directory holds anything but a model with such a manifest, which may be replaced."""
    holds_others = directory.is_dir() and not (directory / manifest).exists() and any(directory.iterdir())
    if holds_others or (directory.exists() and not directory.is_dir()):
        raise ModelError(f"{directory} holds something other than a model; give a new or empty directory")


def parse_json(name: str, data: bytes) -> object:
    """Strict JSON: no key twice, no NaN or infinity; ModelRefusedError otherwise."""
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ModelRefusedError(f"{name} isn't valid JSON: {error}") from error


def check_keys(what: str, value: object, expected: Set[str]) -> Mapping[str, Any]:
    """The value, if it is a mapping with exactly these keys; ModelRefusedError otherwise."""
    if not isinstance(value, Mapping):
        raise ModelRefusedError(f"{what} must be an object; came {type(value).__name__}")
    missing, extra = sorted(expected - set(value)), sorted(set(value) - expected)
    if missing or extra:
        raise ModelRefusedError(f"{what}: missing keys {missing}, unknown keys {extra}")
    return value


def check_header(name: str, data: bytes) -> None:
    """A safetensors file's header has a sane length; ModelRefusedError otherwise."""
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER_BYTES, len(data) - 8):
        raise ModelRefusedError(f"{name} claims a header of {length} bytes in a file of {len(data)}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(result := dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _no_constant(text: str) -> None:
    raise ValueError(f"{text} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text:.20} is beyond all numbers")
    return number
