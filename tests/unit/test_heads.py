"""A head that may say several defects at once: the same on every engine, in every batch, and through every export."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.artifact import Artifact, Golden, load_artifact, save_artifact
from models.calibrate import probabilities
from models.dataset import Pictures
from models.engines import open_engine
from models.engines.network import frozen_classifier
from models.engines.openvino_engine import converted, kept, open_openvino
from models.ensembles import ensemble_of
from models.errors import ModelRefusedError
from models.explain import heatmap
from models.golden import golden_choice, scores_of
from models.heads import HEADS, Head
from models.importing import imported
from models.novelty import BankSpec, with_novelty
from models.scoring import answers_by
from schemas.records import Precision
from tests.models_fixture import TINY_CLASSES, tiny_artifact, tiny_pictures

AT = datetime(2026, 3, 1, tzinfo=UTC)
DEVICES = ["torch:cpu", "openvino:CPU"]
PICTURES = tiny_pictures(32, seed=8)
JSON_KEYS = [
    *("format", "model_id", "arch", "created_at", "classes", "preprocessing", "temperature", "unsure_band"),
    *("any_defect_threshold", "tolerance", "golden_labels", "metrics", "files"),
]


def at_temperature(artifact: Artifact, temperature: float) -> Artifact:
    classifier = frozen_classifier(artifact)
    classifier.temperature = temperature
    pictures = artifact.golden.pictures
    return replace(artifact, temperature=temperature, golden=Golden(pictures, scores_of(classifier, pictures)))


@pytest.fixture(scope="module")
def artifact() -> Artifact:
    return at_temperature(tiny_artifact(head="sigmoid"), 1.5)


def by_hand(artifact: Artifact, pictures: np.ndarray) -> np.ndarray:
    """Each defect's sigmoid, and before them the chance of none, by plain arithmetic on the network's logits."""
    with torch.inference_mode():
        logits = frozen_classifier(artifact).logits(torch.from_numpy(pictures)).numpy().astype(np.float64)
    defects = 1 / (1 + np.exp(-logits[:, 1:] / artifact.temperature))
    return np.column_stack([(1 - defects).prod(axis=1), defects])


@pytest.mark.parametrize("device", DEVICES)
def test_every_engine_gives_each_defect_its_own_probability_in_every_batch(artifact: Artifact, device: str) -> None:
    expected = by_hand(artifact, PICTURES)
    assert ((expected[:, 1:] > 0.5).sum(axis=1) == 2).any(), "or a softmax could say as much"
    engine = open_engine(artifact, device, Precision.FP32, (1, 2, 8, 32))
    try:
        for count in (1, 2, 7, 32):
            assert engine.submit(PICTURES[:count]).result() == pytest.approx(expected[:count], abs=1e-4)
    finally:
        engine.close()


@pytest.mark.parametrize("head", HEADS)
def test_a_quantised_graph_gets_the_head_behind_its_logits(head: Head) -> None:
    tiny = at_temperature(tiny_artifact(head=head), 0.7)
    graph = kept(converted(tiny, logits_only=True))
    form = replace(tiny, int8=graph, tolerance={**tiny.tolerance, Precision.INT8: 0.01})
    engine = open_openvino(form, Precision.INT8, (8,))
    try:
        assert engine.submit(tiny.golden.pictures).result() == pytest.approx(tiny.golden.scores, abs=1e-3)
    finally:
        engine.close()


def test_the_head_in_numpy_is_that_of_the_network(artifact: Artifact) -> None:
    classifier = frozen_classifier(artifact)
    logits = scores_of(classifier, PICTURES, log=True)
    assert probabilities(logits, 1.5, "sigmoid") == pytest.approx(scores_of(classifier, PICTURES), abs=1e-6)
    assert np.isfinite(probabilities(np.float32([[0, 900, -900]]), 0.01, "sigmoid")).all()


def test_a_model_that_knows_good_parts_keeps_its_head(artifact: Artifact) -> None:
    held = Pictures(PICTURES, np.zeros(32, np.int64))
    made = with_novelty(artifact, PICTURES, held, BankSpec(false_alarm=0.1, places=20, seed=0), AT, lambda done: None)
    engine = open_engine(made, "torch:cpu", Precision.FP32, (8,))
    try:
        assert answers_by(engine, PICTURES)[:, :-1] == pytest.approx(by_hand(artifact, PICTURES), abs=1e-4)
    finally:
        engine.close()


@pytest.mark.parametrize("device", DEVICES)
def test_an_ensembles_defects_are_the_mean_of_its_members(artifact: Artifact, device: str) -> None:
    other = tiny_artifact("other", seed=1, head="sigmoid")
    both = ensemble_of([artifact, other], "both", AT)
    mean = (by_hand(artifact, PICTURES) + by_hand(other, PICTURES))[:, 1:] / 2
    engine = open_engine(both, device, Precision.FP32, (16,))
    try:
        scores = answers_by(engine, PICTURES)
    finally:
        engine.close()
    assert scores[:, 1:] == pytest.approx(mean, abs=1e-4)
    assert scores[:, 0] == pytest.approx((1 - mean).prod(axis=1), abs=1e-4)
    with pytest.raises(ModelRefusedError, match="tiny has a softmax head, other a sigmoid one: one says one class"):
        ensemble_of([other, tiny_artifact()], "wrong", AT)


def test_the_json_of_a_softmax_is_as_it_always_was_and_a_sigmoid_says_so(artifact: Artifact, tmp_path: Path) -> None:
    save_artifact(tiny_artifact(), tmp_path / "old")
    save_artifact(artifact, tmp_path / "new")
    assert list(json.loads((tmp_path / "old/model.json").read_text())) == JSON_KEYS
    assert list(json.loads((tmp_path / "new/model.json").read_text())) == [*JSON_KEYS, "head"]
    assert (load_artifact(tmp_path / "old").head, load_artifact(tmp_path / "new").head) == ("softmax", "sigmoid")


DAMAGE: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda m: m.update(head="softplus"), "unknown head 'softplus'; expected one of softmax, sigmoid"),
    (lambda m: m.update(head=None), "unknown head None; expected one of"),
    (lambda m: m.pop("head"), "golden scores must be probabilities that add up to 1"),
    (
        lambda m: m["classes"].insert(0, m["classes"].pop(1)),
        "a sigmoid head takes one good class, the first; all others are defects",
    ),
]


@pytest.mark.parametrize(("change", "said"), DAMAGE)
def test_a_head_that_can_not_be_is_refused(
    artifact: Artifact, tmp_path: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    save_artifact(artifact, tmp_path / "model")
    manifest = json.loads((tmp_path / "model/model.json").read_text())
    change(manifest)
    (tmp_path / "model/model.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelRefusedError, match=said):
        load_artifact(tmp_path / "model")


def test_golden_scores_of_a_sigmoid_say_how_likely_no_defect_is(artifact: Artifact) -> None:
    for wrong in (tiny_artifact().golden.scores, artifact.golden.scores + np.float32([0.01, 0, 0])):
        with pytest.raises(ModelRefusedError, match="with the good class's that of no defect"):
            replace(artifact, golden=Golden(artifact.golden.pictures, wrong))


def test_a_description_may_name_the_head(artifact: Artifact, tmp_path: Path) -> None:
    save_artifact(artifact, tmp_path / "model")
    manifest = json.loads((tmp_path / "model/model.json").read_text())
    told = {name: manifest[name] for name in ("model_id", "arch", "classes", "preprocessing", "temperature", "head")}
    (tmp_path / "told.json").write_text(json.dumps(told))
    files = [tmp_path / "model" / f"{name}.safetensors" for name in ("weights", "golden")]
    assert imported(files[0], tmp_path / "told.json", files[1], AT).head == "sigmoid"


def test_golden_pictures_show_every_set_of_defects() -> None:
    scores = np.float32([[0.8, 0.1, 0.1], [0.1, 0.9, 0.2], [0.1, 0.9, 0.8], [0, 0.99, 0.02], [0.2, 0.3, 0.7]])
    assert sorted(golden_choice(scores, "sigmoid")[:4]) == [0, 2, 3, 4], "the surest of each set first"
    assert 2 not in golden_choice(scores, "softmax")[:3]


def test_what_speaks_for_a_good_part_is_what_speaks_against_defects(artifact: Artifact) -> None:
    """The good class's logit is not used, so its weights say nothing: the heat must not be theirs."""
    weights = dict(artifact.weights)
    weights["fc.weight"] = weights["fc.weight"] * torch.tensor([[-5.0], [1.0], [1.0]])
    other = replace(artifact, weights=weights)
    good, scratch = (heatmap(artifact, PICTURES[0], label) for label in TINY_CLASSES[:2])
    assert np.array_equal(heatmap(other, PICTURES[0], "good"), good)
    assert not np.array_equal(good, scratch)
