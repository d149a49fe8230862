"""How a model scores good parts, kept in its artifact: written, read without weights, refused where it can't be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.artifact import load_artifact, save_artifact
from models.artifact_files import MANIFEST
from models.errors import ModelRefusedError
from models.reference import SHARES, Reference, quantiles_of, reference_of, told_by
from tests.models_fixture import TINY_CLASSES, tiny_artifact

GOOD = np.random.default_rng(0).exponential(0.03, 400)


def test_a_reference_comes_back_and_a_model_without_one_stays_valid(tmp_path: Path) -> None:
    reference = reference_of(GOOD)
    assert reference is not None
    for kept in (reference, replace(reference, novelty=quantiles_of(GOOD)), None):
        save_artifact(replace(tiny_artifact("m1"), reference=kept), tmp_path / "m1")
        assert load_artifact(tmp_path / "m1").reference == kept
        assert told_by(tmp_path / "m1").reference == kept
    assert "reference" not in json.loads((tmp_path / "m1" / MANIFEST).read_text())


def test_its_quantiles_are_those_of_the_good_parts() -> None:
    found = reference_of(GOOD)
    assert found is not None
    assert (found.good, len(found.score), found.novelty) == (400, SHARES, ())
    assert (found.score[0], found.score[32], found.score[-1]) == pytest.approx(
        (GOOD.min(), np.median(GOOD), GOOD.max()), rel=1e-5
    )
    assert reference_of(GOOD[:0]) is None


def test_a_manifest_tells_what_drift_must_know_without_the_weights(tmp_path: Path) -> None:
    artifact = replace(tiny_artifact("m1"), any_defect_threshold=0.4, unsure_band=0.1)
    save_artifact(artifact, tmp_path / "m1")
    sha256 = load_artifact(tmp_path / "m1").sha256
    (tmp_path / "m1" / "weights.safetensors").unlink()
    told = told_by(tmp_path / "m1", sha256)
    assert (told.model_id, told.defects, told.reference) == ("m1", frozenset(TINY_CLASSES[1:]), None)
    assert told.limit == pytest.approx(0.3)
    with pytest.raises(ModelRefusedError, match="expected " + "0" * 64):
        told_by(tmp_path / "m1", "0" * 64)


@pytest.mark.parametrize(
    "kept",
    [
        {"good": 0, "score": [], "novelty": []},
        {"good": 5, "score": [0.5, 0.1], "novelty": []},
        {"good": 5, "score": [0.5], "novelty": []},
        {"good": 5, "score": ["0", "1"], "novelty": []},
        {"good": 5, "score": [0.0, True], "novelty": []},
        {"good": 5, "score": [], "novelty": {}},
        {"good": 5, "score": [0.0] * 2000, "novelty": []},
        {"good": 5, "score": []},
        [],
    ],
)
def test_a_reference_that_cannot_be_one_is_refused(kept: Any, tmp_path: Path) -> None:
    save_artifact(tiny_artifact("m1"), tmp_path / "m1")
    path = tmp_path / "m1" / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reference": kept}))
    for read in (load_artifact, told_by):
        with pytest.raises(ModelRefusedError):
            read(tmp_path / "m1")


@pytest.mark.parametrize("text", ["[]", "{}", '{"classes": [{"role": "defect"}]}', '{"classes": 5}'])
def test_what_is_no_models_manifest_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(ModelRefusedError):
        told_by(tmp_path)


def test_infinite_numbers_are_no_quantiles() -> None:
    with pytest.raises(ModelRefusedError, match="ascending"):
        Reference(5, (0.0, float("inf")))
