"""Several models as one: the mean of their probabilities, on every engine, and an artifact like any other."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from models.artifact import Artifact, load_artifact, save_artifact
from models.dataset import Pictures
from models.embedding import Embedder
from models.engines import open_engine
from models.ensembles import ensemble_of
from models.errors import ModelRefusedError
from models.explain import heatmap
from models.novelty import BankSpec, with_novelty
from models.preprocess import Preprocessing
from models.scoring import answers_by
from schemas.records import Precision
from streams.cli import app
from tests.models_fixture import TINY_SIDE, tiny_artifact, tiny_pictures

AT = datetime(2026, 3, 1, tzinfo=UTC)
PICTURES = tiny_pictures(9, seed=8)


@pytest.fixture(scope="module")
def members() -> list[Artifact]:
    return [tiny_artifact("a", seed=0, threshold=0.4), tiny_artifact("b", seed=1)]


@pytest.fixture(scope="module")
def both(members: list[Artifact]) -> Artifact:
    return ensemble_of(members, "both", AT)


def scores(artifact: Artifact, device: str) -> np.ndarray:
    engine = open_engine(artifact, device, Precision.FP32, (1, 4))
    try:
        return answers_by(engine, PICTURES)
    finally:
        engine.close()


@pytest.mark.parametrize("device", ["torch:cpu", "openvino:CPU"])
def test_its_probabilities_are_the_mean_of_its_members_on_every_engine(
    members: list[Artifact], both: Artifact, device: str
) -> None:
    each = [scores(member, device) for member in members]
    assert np.abs(each[0] - each[1]).max() > 0.1, "or the mean would be any of them"
    assert scores(both, device) == pytest.approx(np.mean(each, axis=0), abs=1e-5)


def test_a_member_keeps_its_own_temperature(members: list[Artifact]) -> None:
    made = ensemble_of([replace(members[0], temperature=0.5), members[1]], "cold", AT)
    sharp = scores(members[0], "torch:cpu") ** 2
    sharp /= sharp.sum(axis=1, keepdims=True)
    expected = (sharp + scores(members[1], "torch:cpu")) / 2
    assert scores(made, "torch:cpu") == pytest.approx(expected, abs=1e-4)


def test_it_is_an_artifact_like_any_other(both: Artifact, tmp_path: Path) -> None:
    save_artifact(both, tmp_path / "both")
    kept = load_artifact(tmp_path / "both")
    assert kept.arch == "resnet18+resnet18"
    assert [item.threshold for item in kept.classes] == [None, 0.45, 0.45]
    assert len(kept.golden.scores) == 16
    assert [member["model_id"] for member in kept.metrics["members"]] == ["a", "b"]
    heat = heatmap(kept, PICTURES[0], "scratch")
    assert heat.shape == (TINY_SIDE, TINY_SIDE)
    assert heat.max() == pytest.approx(1, abs=0.2)
    assert Embedder(kept).embed(PICTURES).shape == (9, 512)


def test_what_can_not_be_one_model_is_refused(members: list[Artifact], both: Artifact) -> None:
    a, b = members
    other_classes = tiny_artifact("c", ("good", "dent", "scratch"))
    otherwise = replace(b, preprocessing=Preprocessing(TINY_SIDE, TINY_SIDE, fit="letterbox"))
    for wrong, why in (
        ([a], "takes 2 to 8 models; came 1"),
        ([a] * 9, "takes 2 to 8 models; came 9"),
        ([a, other_classes], "c knows other classes, or in another order, than a"),
        ([a, otherwise], "b sees pictures otherwise than a"),
        ([a, both], "both is an ensemble itself"),
    ):
        with pytest.raises(ModelRefusedError, match=why):
            ensemble_of(wrong, "wrong", AT)
    held, spec = Pictures(PICTURES, np.zeros(9, np.int64)), BankSpec(false_alarm=0.2, places=20, seed=0)
    with pytest.raises(ModelRefusedError, match="an ensemble has no bank of good parts"):
        with_novelty(both, PICTURES, held, spec, AT, lambda done: None)


def test_weights_that_are_no_ensemble_are_refused(both: Artifact) -> None:
    with pytest.raises(ModelRefusedError, match="at most 8 networks in an ensemble; came 9"):
        replace(both, arch="+".join(["resnet18"] * 9))
    with pytest.raises(ModelRefusedError, match="unknown architecture ''"):
        replace(both, arch="resnet18+")
    weights = {name: value for name, value in both.weights.items() if name != "members.1.fc.bias"}
    with pytest.raises(ModelRefusedError, match=r"members\.1\.fc\.bias"):
        replace(both, weights=weights)


def test_the_command_proves_every_member_and_keeps_the_whole(members: list[Artifact], tmp_path: Path) -> None:
    for member in members:
        save_artifact(member, tmp_path / member.model_id)
    asked = ["models", "ensemble", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(tmp_path / "two"), "--json"]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, (done.output, done.exception)
    said = json.loads(done.stdout)
    assert said["sha256"] == load_artifact(tmp_path / "two").sha256
    assert said["arch"] == "resnet18+resnet18"
