"""`lineside quantise` and `lineside benchmark`: an int8 network is proven, served, and refused where it is worse."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from models.artifact import F32, Artifact, Golden, Graph, load_artifact, save_artifact
from models.calibrate import softmax, with_threshold
from models.engines import open_engine
from models.engines.openvino_engine import converted, kept
from models.errors import ModelRefusedError
from models.evaluate import any_defect, rejected
from models.scoring import answers_by
from schemas.records import Precision
from streams.cli import app
from tests.commands import RUN, lineside
from tests.models_fixture import TINY_CLASSES, tiny_artifact, tiny_pictures

EACH = 40


def warm(artifact: Artifact) -> Artifact:
    """The same random weights, less sure of themselves: else they differ too much in int8 to be let through."""
    temperature = 4 * artifact.temperature
    scores = softmax(np.log(np.maximum(artifact.golden.scores, 1e-12)) * artifact.temperature, temperature)
    return replace(artifact, temperature=temperature, golden=Golden(artifact.golden.pictures, scores))


def between(artifact: Artifact, scores: F32) -> Artifact:
    """The artifact with its threshold where no score is near: in the widest gap between two of [n, classes]."""
    together = np.sort(any_defect(scores, artifact.classes))
    widest = int(np.argmax(np.diff(together)))
    threshold = float(together[widest] + together[widest + 1]) / 2
    classes = with_threshold(artifact.classes, 1.0)
    return replace(artifact, classes=classes, any_defect_threshold=threshold, unsure_band=0.0)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, a data set whose labels are what the model itself says, and the model quantised on it."""
    folder = tmp_path_factory.mktemp("quantise")
    artifact = warm(tiny_artifact())
    pictures = tiny_pictures(len(TINY_CLASSES) * EACH, seed=5)
    engine = open_engine(artifact, "torch:cpu", Precision.FP32)
    scores = answers_by(engine, pictures)
    engine.close()
    save_artifact(between(artifact, scores), folder / "model")
    for number, (pixels, label) in enumerate(zip(pictures, scores.argmax(axis=1), strict=True)):
        name = artifact.classes[label].name
        (folder / "shots" / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "shots" / name / f"part-{number}.png")
    good = next(item.name for item in artifact.classes if item.role == "good")
    lineside("dataset", "build", folder / "set", "--source", "folder", "--folder", folder / "shots", "--good", good)
    lineside(*quantise(folder, folder / "int8"))
    return folder


def quantise(folder: Path, out: Path, **more: object) -> list[object]:
    options = {"most_flips": 0.5, "most_difference": 0.5} | more  # its weights are random
    given = [text for name, value in options.items() for text in (f"--{name.replace('_', '-')}", value)]
    return ["quantise", "--model", folder / "model", "--data", folder / "set", "--out", out, *given]


def test_the_model_with_int8_is_a_new_artifact_with_the_same_weights_and_its_evidence(place: Path) -> None:
    before, after = load_artifact(place / "model"), load_artifact(place / "int8")
    assert after.sha256 != before.sha256 == after.metrics["quantised_from"]
    assert all(bool((after.weights[name] == value).all()) for name, value in before.weights.items())
    assert after.metrics["int8"]["flips"]["total"] > 0
    assert 0 < after.tolerance[Precision.INT8] <= 0.2


def test_a_worker_that_chooses_the_precision_takes_int8_and_scores_do_not_depend_on_the_batch(place: Path) -> None:
    artifact = load_artifact(place / "int8")
    engine = open_engine(artifact, "openvino:CPU")
    try:
        assert engine.precision is Precision.INT8
        pictures = tiny_pictures(32, seed=9)
        together = engine.submit(pictures).result()
        for size in (1, 2, 7):
            apart = np.concatenate([engine.submit(pictures[at : at + size]).result() for at in range(0, 32, size)])
            assert np.abs(apart - together).max() <= artifact.tolerance[Precision.INT8]
            assert (apart.argmax(axis=1) == together.argmax(axis=1)).all()
    finally:
        engine.close()


def test_a_form_that_decides_otherwise_is_refused_and_nothing_is_written(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An int8 network that calls bad what float32 calls good, and good what it calls bad."""
    import streams.commands.quantise as command

    scores = command._rows

    def turned(artifact: Artifact, precision: Precision, *rest: Any) -> F32:
        found = scores(artifact, precision, *rest)
        if precision is Precision.INT8:
            good = np.array([item.role == "good" for item in artifact.classes])
            ng = rejected(found, artifact.classes, artifact.any_defect_threshold)
            found[:] = np.where(ng[:, None], good, ~good) / np.where(ng, good.sum(), (~good).sum())[:, None]
        return found

    monkeypatch.setattr(command, "_rows", turned)
    said = RUN.invoke(app, list(map(str, quantise(place, tmp_path / "worse"))))
    assert isinstance(said.exception, ModelRefusedError)
    assert "float32 model" in str(said.exception)
    assert not (tmp_path / "worse").exists()


def test_a_graph_of_another_head_is_refused_when_it_is_opened(place: Path) -> None:
    artifact = load_artifact(place / "int8")
    assert artifact.int8 is not None
    wrong = [Graph(xml, artifact.int8.weights) for xml in (b"<net></net>", b"no graph", b"")]
    wrong += [Graph(artifact.int8.xml, b""), kept(converted(tiny_artifact("two", ("good", "bad")), logits_only=True))]
    for graph in wrong:
        with pytest.raises(ModelRefusedError, match=r"int8\.xml"):
            open_engine(replace(artifact, int8=graph), "openvino:CPU", Precision.INT8)


def test_weights_of_another_network_are_seen_by_the_golden_vectors(place: Path) -> None:
    artifact = load_artifact(place / "int8")
    assert artifact.int8 is not None
    noise = np.random.default_rng(0).integers(0, 256, len(artifact.int8.weights), dtype=np.uint8).tobytes()
    with pytest.raises(ModelRefusedError, match=r"golden vector|int8\.xml is no network"):
        open_engine(replace(artifact, int8=Graph(artifact.int8.xml, noise)), "openvino:CPU", Precision.INT8)


def test_a_changed_int8_file_is_refused_by_its_hash(place: Path, tmp_path: Path) -> None:
    save_artifact(load_artifact(place / "int8"), tmp_path / "model")
    file = tmp_path / "model" / "int8.bin"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelRefusedError, match=r"int8\.bin was changed"):
        load_artifact(tmp_path / "model")


def test_a_tolerance_for_int8_without_its_network_is_refused(place: Path) -> None:
    with pytest.raises(ModelRefusedError, match="one of them is missing"):
        replace(load_artifact(place / "int8"), int8=None)


def test_another_temperature_keeps_the_int8_network(place: Path) -> None:
    """Temperature and softmax are put behind the graph when it is opened."""
    lineside(
        "calibrate", "--model", place / "int8", "--data", place / "set", "--out", place / "cooler", *("--rule", "cost")
    )
    artifact = load_artifact(place / "cooler")
    if Precision.INT8 in artifact.tolerance:
        open_engine(artifact, "openvino:CPU", Precision.INT8).close()
    assert (Precision.INT8 in artifact.tolerance) == (artifact.int8 is not None)


def test_the_benchmark_shows_every_form_and_recommends_a_sound_one(place: Path) -> None:
    said = lineside(
        *("benchmark", "--model", place / "int8", "--data", place / "set", "--most-flips", 0.5),
        *("--seconds", 0.1, "--rounds", 1, "--batch", 4),
    )
    rows = said["rows"]
    assert {row["precision"] for row in rows} >= {"FP32", "INT8"}
    assert all(row["images_per_s"] > 0 and row["batch_ms"] > 0 for row in rows)
    assert min(row["ratio"] for row in rows) == 1.0
    best = rows[said["recommended"]]
    assert best["worse"] is None
    assert best["quality"]["form"]["balanced_accuracy"] is not None


def test_speed_alone_recommends_nothing(tmp_path: Path) -> None:
    said = lineside("benchmark", "--arch", "resnet18", "--size", "32x32", "--seconds", 0.1, "--rounds", 1, "--batch", 2)
    assert said["recommended"] is None
    assert all(row["quality"] is None for row in said["rows"])
