"""A model's files as hostile input: whatever stands in them, it is a whole model or refused."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from models.artifact import load_artifact, save_artifact
from models.artifact_files import GOLDEN, MANIFEST, MAX_BYTES, MAX_HEADER_BYTES, WEIGHTS, parse_json
from models.errors import ModelRefusedError
from tests.fuzz.mutations import changed
from tests.models_fixture import tiny_artifact

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 10**400, 1.5, 1e308, "", "x" * 100_000, "../../x", "\0", "\ud800", "NaN"),
    *([], {}, [[]], [1, 2, 3], [10**400] * 3, ["x"] * 3, {"a": 1}, [{}] * 2_000),
)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "model"
    save_artifact(tiny_artifact(), path)
    return path


@pytest.fixture
def restored(directory: Path) -> Iterator[Path]:
    """The directory, with its own files again afterwards."""
    files = {path: path.read_bytes() for path in directory.iterdir()}
    yield directory
    for path, data in files.items():
        path.write_bytes(data)


def places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where every value of a document stands."""
    if here:
        yield here
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*here, key))


def loaded_or_refused(directory: Path) -> bool:
    try:
        load_artifact(directory)
    except ModelRefusedError:
        return False
    return True


def test_any_value_anywhere_in_the_manifest_is_taken_or_refused(restored: Path) -> None:
    manifest = json.loads((restored / MANIFEST).read_text())
    rng, refused = random.Random(1), 0
    cases = [(place, odd) for place in places(manifest) if place[0] != "files" for odd in ODD]
    for place, odd in rng.sample(cases, 50):
        document = copy.deepcopy(manifest)
        inner = document
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = odd
        (restored / MANIFEST).write_text(json.dumps(document))
        refused += not loaded_or_refused(restored)
    assert refused > 25


def test_a_number_beyond_floating_point_is_refused(restored: Path) -> None:
    manifest = json.loads((restored / MANIFEST).read_text())
    manifest["preprocessing"]["mean"] = [10**400, 0, 0]  # an integer, so that JSON takes it
    (restored / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelRefusedError, match="OverflowError"):
        load_artifact(restored)


@pytest.mark.parametrize("name", [WEIGHTS, GOLDEN])
def test_any_change_of_a_tensor_file_is_taken_or_refused_though_its_hash_is_right(restored: Path, name: str) -> None:
    manifest, data = json.loads((restored / MANIFEST).read_text()), (restored / name).read_bytes()
    header_bytes = 8 + int.from_bytes(data[:8], "little")
    rng, refused = random.Random(2), 0
    for _ in range(16):
        forged = changed(data[:header_bytes], rng, [data[:header_bytes]]) + data[header_bytes:]
        (restored / name).write_bytes(forged)
        manifest["files"][name] = hashlib.sha256(forged).hexdigest()
        (restored / MANIFEST).write_text(json.dumps(manifest))
        refused += not loaded_or_refused(restored)
    assert refused > 8


@pytest.mark.parametrize("claimed", [MAX_HEADER_BYTES + 1, 2**32, 2**63, 2**64 - 1])
def test_a_header_that_claims_more_than_there_is_is_refused_by_its_length(restored: Path, claimed: int) -> None:
    forged = struct.pack("<Q", claimed) + b"{}" + bytes(100)
    (restored / WEIGHTS).write_bytes(forged)
    manifest = json.loads((restored / MANIFEST).read_text())
    manifest["files"][WEIGHTS] = hashlib.sha256(forged).hexdigest()
    (restored / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ModelRefusedError, match=f"claims a header of {claimed} bytes"):
        load_artifact(restored)


@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS, GOLDEN])
def test_a_file_beyond_its_limit_is_not_read(restored: Path, name: str) -> None:
    with (restored / name).open("r+b") as file:
        file.truncate(MAX_BYTES[name] + 1)  # a hole: takes no disk
    with pytest.raises(ModelRefusedError, match=f"expected at most {MAX_BYTES[name]}"):
        load_artifact(restored)


@pytest.mark.parametrize("text", ['{"a": 1e999}', '{"a": -1e999}', "[" * 100_000, '{"a":' * 100_000, "9" * 5_000])
def test_json_that_python_alone_would_take_or_fall_over_is_refused(text: str) -> None:
    with pytest.raises(ModelRefusedError, match="isn't valid JSON"):
        parse_json("x", text.encode())
