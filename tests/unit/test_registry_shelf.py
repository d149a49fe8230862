"""The store of released models: named by content, whole or not at all, verified at each reading."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from models.artifact import load_artifact, save_artifact
from models.errors import ModelError, ModelRefusedError
from streams.errors import OperatorError
from streams.registry.book import uri_of
from streams.registry.shelf import Shelf
from tests.models_fixture import tiny_artifact


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_artifact(tiny_artifact(), folder)
    return folder


def test_what_was_put_there_is_found_by_its_hash_and_putting_it_again_changes_nothing(
    model: Path, tmp_path: Path
) -> None:
    shelf, sha256 = Shelf(tmp_path / "store"), load_artifact(model).sha256
    assert shelf.put(model, sha256).sha256 == sha256
    place = tmp_path / "store" / sha256
    before = {path.name: path.stat().st_mtime_ns for path in place.iterdir()}
    assert shelf.put(model, sha256).sha256 == shelf.get(uri_of(sha256)).sha256 == sha256
    assert {path.name: path.stat().st_mtime_ns for path in place.iterdir()} == before
    assert [path.name for path in (tmp_path / "store").iterdir()] == [sha256], "nothing half-made is left"


def test_what_was_damaged_or_exchanged_is_refused(model: Path, tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    sha256 = shelf.put(model, load_artifact(model).sha256).sha256
    weights = tmp_path / sha256 / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ModelRefusedError, match=r"weights\.safetensors was changed"):
        shelf.get(uri_of(sha256))
    other = replace(tiny_artifact(), model_id="other")
    (tmp_path / sha256).rename(tmp_path / "aside")
    save_artifact(other, tmp_path / sha256)
    with pytest.raises(ModelRefusedError, match="it was exchanged"):
        shelf.get(uri_of(sha256))


@pytest.mark.parametrize("uri", ["models/../x", "/etc/passwd", "file:///etc", "models/" + "A" * 64, "", "ab" * 32])
def test_no_other_reference_is_followed(uri: str, tmp_path: Path) -> None:
    with pytest.raises(ModelRefusedError, match=r"lies at models/<sha256>"):
        Shelf(tmp_path).get(uri)


def test_a_model_that_is_not_there_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="share that folder"):
        Shelf(tmp_path).get(uri_of("ab" * 32))


def test_a_store_that_cannot_be_written_is_told(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OperatorError, match="LINESIDE_MODEL_STORE"):
        Shelf(tmp_path / "file").put(model, load_artifact(model).sha256)


def test_a_model_that_changed_since_it_was_looked_at_is_refused_and_nothing_is_left(
    model: Path, tmp_path: Path
) -> None:
    save_artifact(tiny_artifact(), tmp_path / "changing")
    looked_at = load_artifact(tmp_path / "changing").sha256
    save_artifact(replace(tiny_artifact(), unsure_band=0.3), tmp_path / "changing")
    with pytest.raises(ModelRefusedError, match="changed since"):
        Shelf(tmp_path / "store").put(tmp_path / "changing", looked_at)
    assert list((tmp_path / "store").iterdir()) == []
