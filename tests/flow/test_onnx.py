"""A model as ONNX: out with its golden vectors proven, in again by the graph alone, whatever the weights are called."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import torch
from onnx.external_data_helper import convert_model_to_external_data
from torch import nn
from typer.testing import CliRunner

from models.artifact import Golden, load_artifact, save_artifact
from models.errors import ModelRefusedError
from models.onnx_export import ABOUT, exported, run
from models.onnx_import import read_onnx
from models.resnet import build_network, network_of
from streams.cli import app
from tests.models_fixture import tiny_artifact, tiny_pictures

RUN = CliRunner()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, the same as ONNX, and what an import needs beside it."""
    folder, artifact = tmp_path_factory.mktemp("onnx"), tiny_artifact()
    save_artifact(artifact, folder / "model")
    done = RUN.invoke(app, ["models", "export", str(folder / "model"), str(folder / "tiny.onnx"), "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    (folder / "said.json").write_text(done.stdout)
    told = {
        "model_id": "elsewhere",
        "arch": artifact.arch,
        "classes": [asdict(item) for item in artifact.classes],
        "preprocessing": {"width": artifact.preprocessing.width, "height": artifact.preprocessing.height},
    }
    (folder / "model.json").write_text(json.dumps(told))
    golden = {"pictures": artifact.golden.pictures, "scores": artifact.golden.scores}
    (folder / "golden.safetensors").write_bytes(safetensors.numpy.save(golden))
    return folder


def import_(place: Path, file: Path, out: Path) -> Any:
    beside = ["--description", place / "model.json", "--golden", place / "golden.safetensors", "--out", out]
    return RUN.invoke(app, ["models", "import", *map(str, (file, *beside)), "--json"])


def test_the_file_says_all_that_it_takes_and_names_nothing_of_this_machine(place: Path) -> None:
    data, said = (place / "tiny.onnx").read_bytes(), json.loads((place / "said.json").read_text())
    assert said["largest_difference"] < 1e-3
    assert said["flips"] == 0
    assert said["bytes"] == len(data)
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    about = json.loads({item.key: item.value for item in model.metadata_props}[ABOUT])
    assert about["model_sha256"] == load_artifact(place / "model").sha256
    assert [item["name"] for item in about["classes"]] == [item.name for item in tiny_artifact().classes]
    assert str(Path(torch.__file__).parent).encode() not in data
    assert b"stack_trace" not in data
    pictures = tiny_pictures(5, seed=9)
    assert run(data, pictures).shape == (5, len(tiny_artifact().classes))
    assert np.allclose(run(data, pictures)[3], run(data, pictures[3:4])[0], atol=1e-5)


def test_it_comes_in_again_as_the_same_model(place: Path, tmp_path: Path) -> None:
    done = import_(place, place / "tiny.onnx", tmp_path / "again")
    assert done.exit_code == 0, (done.output, done.exception)
    assert load_artifact(tmp_path / "again").arch == tiny_artifact().arch


@pytest.mark.parametrize("arch", ["resnet50"])
@pytest.mark.parametrize("folded", [True, False])
def test_weights_without_names_find_their_places(tmp_path: Path, arch: str, folded: bool) -> None:
    """Bottlenecks have three kinds of 1 x 1 convolutions: only the graph tells a shortcut from the others."""
    torch.manual_seed(1)
    network = build_network(arch, 4)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean = torch.randn_like(module.bias) / 5
            module.running_var = torch.rand_like(module.bias) + 0.5
            nn.init.normal_(module.weight, 1, 0.1)
            nn.init.normal_(module.bias, 0, 0.1)
    network.eval()
    file = tmp_path / "network.onnx"
    made = torch.onnx.export(
        network, (torch.zeros(1, 3, 32, 32),), dynamo=True, external_data=False, verbose=False, optimize=folded
    )
    assert made is not None
    model = made.model_proto
    names = {item.name: f"w{place}" for place, item in enumerate(model.graph.initializer)}
    for item in model.graph.initializer:
        item.name = names[item.name]
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        if node.op_type == "Conv" and node.input[2:] and node.input[2] not in names.values():
            del node.input[2:]  # a bias of nothing, computed: torch's exporter alone writes that, and only unoptimised
    file.write_bytes(model.SerializeToString())
    kinds = {node.op_type for node in model.graph.node}
    assert ("BatchNormalization" in kinds) is not folded
    again = network_of(arch, 4, read_onnx(file, arch, 4)).eval()
    pictures = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(again(pictures), network(pictures), atol=1e-3)
    with pytest.raises(ModelRefusedError, match="is no resnet18 of 4 classes: it has 49 convolutions"):
        read_onnx(file, "resnet18", 4)
    with pytest.raises(ModelRefusedError, match=r"fc\.weight is \[4, 2048\], expected \[3, 2048\]"):
        read_onnx(file, arch, 3)


def test_a_swapped_head_is_seen_by_the_golden_vectors(place: Path, tmp_path: Path) -> None:
    model = onnx.load_model_from_string((place / "tiny.onnx").read_bytes())
    for item in model.graph.initializer:
        if item.name.endswith(("fc.weight", "fc.bias")):
            item.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(item)[::-1].copy(), item.name))
    (tmp_path / "swapped.onnx").write_bytes(model.SerializeToString())
    done = import_(place, tmp_path / "swapped.onnx", tmp_path / "out")
    assert isinstance(done.exception, ModelRefusedError)
    assert "golden vector" in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_what_is_no_onnx_file_or_leads_to_another_file_is_refused(place: Path, tmp_path: Path) -> None:
    file = tmp_path / "bad.onnx"
    for data in (pickle.dumps({"conv1.weight": 1}), b"", b"\xff" * 100, (place / "tiny.onnx").read_bytes()[:5000]):
        file.write_bytes(data)
        assert isinstance(import_(place, file, tmp_path / "out").exception, ModelRefusedError)
    model = onnx.load_model_from_string((place / "tiny.onnx").read_bytes())
    convert_model_to_external_data(model, location="../secret.bin", size_threshold=0)
    for item in model.graph.initializer:
        item.data_location = onnx.TensorProto.EXTERNAL
        item.ClearField("raw_data")
    file.write_bytes(model.SerializeToString())
    assert "its weights are kept in another file" in str(import_(place, file, tmp_path / "out").exception)


def test_a_head_that_may_say_several_defects_goes_out_and_comes_in_again(place: Path, tmp_path: Path) -> None:
    artifact = tiny_artifact(head="sigmoid")
    made = exported(artifact)
    about = json.loads({item.key: item.value for item in onnx.load_model_from_string(made.data).metadata_props}[ABOUT])
    assert (about["head"], made.flips) == ("sigmoid", 0)
    scores = run(made.data, artifact.golden.pictures)
    assert scores == pytest.approx(artifact.golden.scores, abs=1e-4)
    assert (scores[:, 1:] > 0.5).all(axis=1).any(), "or a softmax could say as much"
    (tmp_path / "several.onnx").write_bytes(made.data)
    told = json.loads((place / "model.json").read_text())
    golden = {"pictures": artifact.golden.pictures, "scores": artifact.golden.scores}
    (tmp_path / "golden.safetensors").write_bytes(safetensors.numpy.save(golden))
    for head in ("sigmoid", "softmax"):
        (tmp_path / "model.json").write_text(json.dumps(told | {"head": head}))
        done = import_(tmp_path, tmp_path / "several.onnx", tmp_path / head)
        assert (done.exit_code == 0) is (head == "sigmoid"), (done.output, done.exception)
    assert "golden scores must be probabilities that add up to 1" in str(done.exception)
    assert load_artifact(tmp_path / "sigmoid").head == "sigmoid"


def test_scores_that_come_out_otherwise_are_not_given_away() -> None:
    artifact = tiny_artifact()
    wrong = replace(artifact, golden=Golden(artifact.golden.pictures, artifact.golden.scores[::-1].copy()))
    with pytest.raises(ModelRefusedError, match="as ONNX gives other scores: its golden vectors differ by"):
        exported(wrong)
