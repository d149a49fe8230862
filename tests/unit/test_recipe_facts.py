"""What a recipe must fit, from a released model's manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.artifact import load_artifact, save_artifact
from schemas.records import ModelReleased
from streams.errors import CallerError
from streams.recipes.facts import facts_of
from streams.registry.book import Release, uri_of
from streams.registry.shelf import Shelf
from tests.builders import LONG_AGO
from tests.models_fixture import TINY_CLASSES, tiny_artifact


@pytest.fixture
def release(tmp_path: Path) -> Release:
    """A model in the store `store`."""
    save_artifact(tiny_artifact(), tmp_path / "tiny")
    kept = Shelf(tmp_path / "store").put(tmp_path / "tiny", load_artifact(tmp_path / "tiny").sha256)
    record = ModelReleased(
        model_id="m1",
        uri=uri_of(kept.sha256),
        sha256=kept.sha256,
        arch=kept.arch,
        classes=TINY_CLASSES,
        released_by="ana",
        released_at=LONG_AGO,
    )
    return Release(record, LONG_AGO, record, LONG_AGO)


def test_facts_are_the_models_defects_and_limits_as_the_whole_model_has_them(release: Release, tmp_path: Path) -> None:
    facts, whole = facts_of(release, tmp_path / "store"), tiny_artifact()
    assert facts.defects == {item.name for item in whole.classes if item.role == "defect"}
    limits = {item.name: item.threshold for item in whole.classes} | {"*": whole.any_defect_threshold}
    assert facts.thresholds == {name: limit for name, limit in limits.items() if limit is not None}
    assert facts.precisions == tuple(whole.tolerance)
    assert (facts.model_id, facts.classes, facts.unsure_band) == ("m1", TINY_CLASSES, whole.unsure_band)


def test_a_manifest_that_is_not_the_released_one_says_nothing(release: Release, tmp_path: Path) -> None:
    manifest = tmp_path / "store" / release.first.sha256 / "model.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(CallerError, match="m1 can't be checked here: released was sha256"):
        facts_of(release, tmp_path / "store")


def test_a_model_that_is_not_here_is_told_by_name(release: Release, tmp_path: Path) -> None:
    with pytest.raises(CallerError, match=r"m1 can't be checked here: model\.json is missing"):
        facts_of(release, tmp_path / "elsewhere")
