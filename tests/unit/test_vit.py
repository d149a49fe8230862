"""Vision Transformers do all that ResNets do, or say plainly that they don't.

Shapes are those of the whole networks, on the meta device. What is computed has two of the twelve layers, for time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy
import safetensors.torch
import torch
from torch import nn

from models import vit
from models.artifact import Artifact, Golden, ModelClass, load_artifact, save_artifact
from models.dataset import Pictures
from models.embedding import Embedder
from models.engines import open_engine
from models.engines.network import frozen_classifier
from models.engines.openvino_engine import native_precision
from models.ensembles import ensemble_of
from models.errors import DatasetError, ModelError, ModelRefusedError
from models.explain import heatmap
from models.families import head_of, stages, trunk_of
from models.fit import Fit, FitSpec, Hooks
from models.importing import imported
from models.novelty import BankSpec, with_novelty
from models.onnx_export import exported
from models.onnx_import import read_onnx
from models.practice import Spotter
from models.preprocess import Preprocessing
from models.quick_torchvision import torchvision
from models.resnet import Classifier, build_network, expected_tensors, head_tensors
from models.schedule import groups_of
from models.train import TrainSpec, check_spec, one_thread, scores_of
from models.untrained import untrained
from models.weights import begin_with
from schemas.records import Precision
from streams.cli import app
from streams.commands.sources import SourceKind
from streams.commands.train import SPECS, changed
from tests.commands import RUN

SIDE = 224
AT = datetime(2026, 3, 1, tzinfo=UTC)
CLASSES = (ModelClass("good", "good"), ModelClass("scratch", "defect", 0.5), ModelClass("dent", "defect", 0.5))
SPEC = Preprocessing(SIDE, SIDE)


@pytest.fixture(scope="module", autouse=True)
def two_layers() -> Iterator[None]:
    with one_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(vit, "_LAYERS", 2)
        expected_tensors.cache_clear()
        yield
    expected_tensors.cache_clear()


def metal(count: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Blocks of 16 pixels of random colours, uint8 [count, 224, 224, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    return np.ascontiguousarray(blocks.repeat(16, axis=1).repeat(16, axis=2))


def network_of(arch: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = build_network(arch, len(CLASSES)).eval()
    nn.init.normal_(head_of(network).weight)
    return network


@lru_cache
def artifact_of(arch: str = "vit_ti_16", seed: int = 0) -> Artifact:
    classifier, pictures = Classifier(network_of(arch, seed), SPEC.mean, SPEC.std, 2.0).eval(), metal(3)
    with torch.no_grad():
        head_of(classifier.network).bias -= classifier.logits(torch.from_numpy(pictures)).mean(dim=0)
    return Artifact(
        model_id=arch,
        arch=arch,
        classes=CLASSES,
        preprocessing=SPEC,
        unsure_band=0.1,
        temperature=2.0,
        tolerance={Precision.FP32: 1e-4, Precision.BF16: 0.05, Precision.FP16: 0.02},
        weights={name: value.detach().clone() for name, value in classifier.network.state_dict().items()},
        golden=Golden(pictures, scores_of(classifier, pictures)),
        created_at=AT,
    )


@pytest.mark.parametrize(("arch", "parameters"), [("vit_ti_16", 5_717_416), ("vit_s_16", 22_050_664)])
def test_the_small_ones_are_as_large_as_those_of_deit(
    arch: str, parameters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vit, "_LAYERS", 12)
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in build_network(arch, 1000).parameters()) == parameters


def test_vit_b_16_has_the_very_tensors_of_torchvisions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vit, "_LAYERS", 12)
    expected_tensors.cache_clear()
    ours = expected_tensors("vit_b_16", 10)
    expected_tensors.cache_clear()
    with torch.device("meta"):
        theirs = torchvision.models.vit_b_16(num_classes=10).state_dict()
    assert {name: (value.shape, value.dtype) for name, value in ours.items()} == {
        name: (value.shape, value.dtype) for name, value in theirs.items()
    }
    assert all(value.is_meta for value in ours.values())


def test_another_input_size_is_refused_before_any_work() -> None:
    told = r"vit_ti_16 takes inputs of 224x224 pixels alone.*came 160x120: give 224x224, such as by --size"
    with pytest.raises(ModelRefusedError, match=told):
        check_spec(TrainSpec(model_id="x", arch="vit_ti_16", preprocessing=Preprocessing(160, 120)))
    with pytest.raises(ModelRefusedError, match=told):
        untrained("vit_ti_16", 160, 120)
    with pytest.raises(ModelRefusedError, match=told):
        replace(artifact_of(), preprocessing=Preprocessing(160, 120))
    with pytest.raises(ModelRefusedError, match=r"resnet18\+vit_ti_16 takes inputs of 224x224"):
        replace(artifact_of(), arch="resnet18+vit_ti_16", preprocessing=Preprocessing(160, 120))
    asked = ["train", "--source", "folder", "--folder", "/nowhere", "--arch", "vit_ti_16", "--size", "192x192"]
    assert "came 192x192" in str(RUN.invoke(app, asked).exception)
    check_spec(TrainSpec(model_id="x", arch="vit_ti_16", preprocessing=replace(SPEC, tile=64)))  # each fills the input


def test_without_a_size_training_takes_the_one_there_is_and_names_the_model_by_its_architecture() -> None:
    spec = changed(SPECS[SourceKind.SYNTHETIC], {"arch": "vit_s_16"})
    assert (spec.model_id, spec.preprocessing.width, spec.preprocessing.height) == ("synthetic-vit_s_16", SIDE, SIDE)
    resnet = changed(SPECS[SourceKind.SYNTHETIC], {"arch": "resnet34"})
    assert (resnet.preprocessing.width, resnet.fit.practice > 0, spec.fit.practice) == (160, True, 0)
    assert changed(SPECS[SourceKind.SYNTHETIC], {"arch": "vit_s_16", "practice": 640}).fit.practice == 640
    assert changed(SPECS[SourceKind.SYNTHETIC], {"arch": "vit_s_16", "model_id": "x", "width": 64}).model_id == "x"


def test_batch_norm_that_is_not_there_can_not_be_frozen() -> None:
    spec = TrainSpec(model_id="x", arch="vit_ti_16", preprocessing=SPEC, fit=FitSpec(freeze_norm=True))
    with pytest.raises(DatasetError, match=r"a vit_ti_16 has no BatchNorm .* leave out --freeze-norm"):
        check_spec(spec)
    check_spec(replace(spec, arch="resnet18"))


def test_the_head_learns_at_its_own_rate_and_embeddings_are_not_decayed() -> None:
    network = network_of("vit_ti_16", 0)
    head = head_of(network)
    groups = groups_of(0.1, (trunk_of(network), 1.0), (head.parameters(), 10.0))
    of = {id(p): (group["peak"], group["weight_decay"]) for group in groups for p in group["params"]}
    assert len(of) == sum(len(group["params"]) for group in groups) == len(list(network.parameters()))
    assert (of[id(head.weight)], of[id(head.bias)]) == ((10.0, 0.1), (10.0, 0.0))
    named = dict(network.named_parameters())
    for name in ("class_token", "encoder.pos_embedding", "encoder.ln.weight", "conv_proj.bias"):
        assert of[id(named[name])] == (1.0, 0.0), name
    for name in ("conv_proj.weight", "encoder.layers.encoder_layer_0.self_attention.in_proj_weight"):
        assert of[id(named[name])] == (1.0, 0.1), name


def test_it_practises_on_marks_by_its_patches_and_then_learns_the_real_thing() -> None:
    network = build_network("vit_ti_16", 2)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    data = Pictures(metal(8), np.arange(8) % 2)
    spec = FitSpec(practice=8, epochs=1, batch=4, practice_rate=1e-3, trunk_rate=1e-3, head_rate=1e-2)
    fit, seen = Fit(Classifier(network, SPEC.mean, SPEC.std, 1.0), data, 0, spec, 0), list[tuple[int, bool, bool]]()

    def on_step(step: Any) -> None:
        now = network.state_dict()
        moved = [bool((now[name] != before[name]).any()) for name in ("conv_proj.weight", "heads.head.weight")]
        seen.append((step.epoch, *moved))

    fit.run(Hooks(on_step))
    assert seen == [(0, True, False), (0, True, False), (1, True, True), (1, True, True)]
    assert all((value != before[name]).any() for name, value in network.state_dict().items())
    assert [head.in_channels for head in Spotter(network, 0).heads] == [192]


TIMM = {
    "class_token": "cls_token",
    "encoder.pos_embedding": "pos_embed",
    "conv_proj.": "patch_embed.proj.",
    "encoder.layers.encoder_layer_": "blocks.",
    "ln_": "norm",
    "self_attention.in_proj_": "attn.qkv.",
    "self_attention.out_proj": "attn.proj",
    "mlp.0.": "mlp.fc1.",
    "mlp.3.": "mlp.fc2.",
    "encoder.ln.": "norm.",
    "heads.head.": "head.",
}
OLD = {"mlp.0.": "mlp.linear_1.", "mlp.3.": "mlp.linear_2."}


def called(weights: Any, names: dict[str, str]) -> dict[str, Any]:
    """The same tensors by other names."""
    found = {}
    for name, value in weights.items():
        for now, other in names.items():
            name = name.replace(now, other)
        found[name] = value
    return found


@pytest.mark.parametrize("names", [{}, OLD, TIMM], ids=["torchvision", "its older files", "timm and DeiT"])
def test_training_starts_with_weights_from_elsewhere_whose_head_is_of_other_classes(names: dict[str, str]) -> None:
    given = network_of("vit_ti_16", 1).state_dict()
    network = build_network("vit_ti_16", 2)
    begin_with(network, called(given, names))
    own = network.state_dict()
    assert not own["heads.head.weight"].any()
    assert all(torch.equal(own[name], value) for name, value in given.items() if "head." not in name)


def test_weights_to_start_with_that_do_not_fit_are_refused_with_what_does_not() -> None:
    given = dict(network_of("vit_ti_16", 1).state_dict())
    with pytest.raises(ModelRefusedError, match=r"pos_embedding is \[1, 577, 192\], expected \[1, 197, 192\]"):
        begin_with(build_network("vit_ti_16", 3), given | {"encoder.pos_embedding": torch.zeros(1, 577, 192)})
    with pytest.raises(ModelRefusedError, match="of another architecture: class_token is missing"):
        begin_with(build_network("vit_ti_16", 3), build_network("resnet18", 3).state_dict())


def test_weights_of_another_head_are_refused_with_the_number_of_classes() -> None:
    assert head_tensors("resnet18+vit_ti_16") == {
        f"members.{head}.{part}" for head in ("0.fc", "1.heads.head") for part in ("weight", "bias")
    }
    for name, shape in (("heads.head.weight", (4, 192)), ("heads.head.bias", (4,))):
        with pytest.raises(ModelRefusedError, match=f"weight {name}.*; 3 classes are named"):
            replace(artifact_of(), weights={**artifact_of().weights, name: torch.zeros(shape)})
    with pytest.raises(ModelRefusedError, match=r"class_token: expected .* came torch.float32 \[1, 1, 7\]$"):
        replace(artifact_of(), weights={**artifact_of().weights, "class_token": torch.zeros(1, 1, 7)})


def test_older_files_of_torchvision_are_imported_and_proven(tmp_path: Path) -> None:
    artifact = artifact_of()
    told = {"model_id": "x", "arch": "vit_ti_16", "temperature": 2.0, "preprocessing": {"width": SIDE, "height": SIDE}}
    told["classes"] = [{"name": item.name, "role": item.role, "threshold": item.threshold} for item in CLASSES]
    (tmp_path / "about.json").write_text(json.dumps(told))
    golden = {"pictures": artifact.golden.pictures, "scores": artifact.golden.scores}
    (tmp_path / "golden.safetensors").write_bytes(safetensors.numpy.save(golden))
    weights = {f"module.{name}": value for name, value in called(artifact.weights, OLD).items()}
    (tmp_path / "w.safetensors").write_bytes(safetensors.torch.save(weights))
    came = imported(tmp_path / "w.safetensors", tmp_path / "about.json", tmp_path / "golden.safetensors", AT)
    open_engine(came, "torch:cpu", Precision.FP32, (1,)).close()
    assert came.weights.keys() == artifact.weights.keys()


ENGINES = [("torch:cpu", precision) for precision in (Precision.FP32, Precision.BF16)]
ENGINES += [("openvino:CPU", precision) for precision in sorted({Precision.FP32, native_precision()})]


@pytest.mark.parametrize(("device", "precision"), ENGINES)
def test_a_picture_scores_the_same_alone_and_in_every_batch_on_every_engine(device: str, precision: Precision) -> None:
    artifact, others = artifact_of(), metal(32, seed=2)
    engine = open_engine(artifact, device, precision, (1, 2, 8, 32))  # proves the golden vectors
    try:
        alone = engine.submit(others[:1]).result()[0]
        for count in (2, 7, 32):
            batch = np.roll(others[:count], count // 2, axis=0)
            came = engine.submit(batch).result()[count // 2]
            assert np.abs(came - alone).max() <= artifact.tolerance[precision], count
    finally:
        engine.close()
    assert np.ptp(artifact.golden.scores, axis=0).max() > 0.1, "or any network would do"


def test_an_ensemble_with_a_resnet_is_the_mean_of_both_and_its_heat_that_of_both() -> None:
    first, second = artifact_of("resnet18"), artifact_of()
    both = ensemble_of([first, second], "both", AT)
    expected = np.mean([scores_of(frozen_classifier(each), metal(2, 5)) for each in (first, second)], axis=0)
    engine = open_engine(both, "torch:cpu", Precision.FP32, (2,))
    assert engine.submit(metal(2, 5)).result() == pytest.approx(expected, abs=1e-4)
    engine.close()
    assert both.arch == "resnet18+vit_ti_16"
    heat, (one, other) = heatmap(both, metal(1)[0], "dent"), (heatmap(a, metal(1)[0], "dent") for a in (first, second))
    assert heat.shape == (SIDE, SIDE)
    assert 0.9 < heat.max() <= 1
    hottest = np.unravel_index(heat.argmax(), heat.shape)
    assert max(one[hottest], other[hottest]) > 0.5
    assert Embedder(both).embed(metal(2)).shape == (2, 512)


def test_the_sampler_sees_what_the_head_is_given() -> None:
    artifact, pictures = artifact_of(), metal(2, 5)
    embedded = Embedder(artifact).embed(pictures)
    logits = embedded @ artifact.weights["heads.head.weight"].numpy().T + artifact.weights["heads.head.bias"].numpy()
    assert embedded.shape == (2, 192)
    classifier = frozen_classifier(artifact)
    assert np.allclose(logits, classifier.logits(torch.from_numpy(pictures)).numpy(), atol=1e-4)


def blemished(left: int, top: int) -> np.ndarray[Any, Any]:
    """Grey metal with a chequered blemish of 48 pixels."""
    pixels = np.full((SIDE, SIDE, 3), 128, np.uint8)
    rows, columns = np.indices((48, 48)) // 6
    pixels[top : top + 48, left : left + 48] = np.where((rows + columns) % 2, 255, 0)[..., None] * np.uint8([1, 1, 0])
    return pixels


@lru_cache
def taught() -> Artifact:
    """A head whose `scratch` looks for what a blemish in the middle does to the class token, and `dent` for nothing."""
    artifact = artifact_of()
    shown = np.stack([blemished(88, 88), np.full((SIDE, SIDE, 3), 128, np.uint8)])
    with_it, plain = Embedder(artifact).embed(shown)
    head = artifact.weights["heads.head.weight"].clone()
    head[1], head[2] = torch.from_numpy(with_it - plain), 0.0
    return replace(artifact, weights={**artifact.weights, "heads.head.weight": head})


@pytest.mark.parametrize(("left", "top"), [(16, 16), (160, 24), (32, 152), (144, 160)])
def test_the_heat_lies_on_the_blemish_wherever_it_is(left: int, top: int) -> None:
    heat = heatmap(taught(), blemished(left, top), "scratch")
    assert (heat.shape, heat.dtype) == ((SIDE, SIDE), np.float32)
    assert 0.8 < heat.max() <= 1
    assert heat.min() >= 0
    inside = heat[top : top + 48, left : left + 48]
    assert inside.sum() / heat.sum() > 3 * (48 / SIDE) ** 2
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    assert (top - 16 <= row <= top + 64, left - 16 <= column <= left + 64) == (True, True)


def test_a_class_that_nothing_speaks_for_gets_no_heat_and_torch_learns_nothing() -> None:
    assert not heatmap(taught(), blemished(16, 16), "dent").any()
    assert not any(weight.requires_grad for weight in taught().weights.values())


def test_relevance_goes_through_the_very_blocks_that_are_served() -> None:
    block = network_of("vit_ti_16", 3).encoder.layers[0]  # type: ignore[union-attr,index]
    tokens = torch.randn(2, 197, 192)
    with torch.no_grad():
        came, attention = vit._through(block, tokens)
        assert torch.allclose(came, block(tokens), atol=1e-5)
    assert torch.allclose(attention.sum(dim=-1), torch.ones(()), atol=1e-5)


def test_it_goes_out_as_onnx_and_comes_in_again(tmp_path: Path) -> None:
    artifact = artifact_of()
    made = exported(artifact)
    assert made.difference < 1e-4
    file = tmp_path / "vit.onnx"
    file.write_bytes(made.data)
    weights = read_onnx(file, "vit_ti_16", 3)
    assert all(torch.allclose(weights[name], value, atol=1e-7) for name, value in artifact.weights.items())
    for arch, classes, why in (
        ("resnet18", 3, "it has 0 shortcuts|it has 1 convolutions"),
        ("vit_s_16", 3, r"in_proj_weight is \[576, 192\], expected \[1152, 384\]"),
        ("vit_ti_16", 4, r"heads\.head\.weight is \[3, 192\], expected \[4, 192\]"),
    ):
        with pytest.raises(ModelRefusedError, match=why):
            read_onnx(file, arch, classes)


def test_a_graph_of_something_else_is_no_vit(tmp_path: Path) -> None:
    file = tmp_path / "other.onnx"
    graph = onnx.helper.make_graph([], "none", [], [])
    file.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    with pytest.raises(ModelRefusedError, match="is no vit_ti_16 of 3 classes: it has 0 convolutions, expected 1"):
        read_onnx(file, "vit_ti_16", 3)


def test_a_bank_of_good_parts_is_refused_before_any_work(tmp_path: Path) -> None:
    told = "a vit_ti_16 has no bank of good parts: that takes a ResNet's stages; give a ResNet"
    held = Pictures(metal(9), np.zeros(9, np.int64))
    with pytest.raises(ModelRefusedError, match=told):
        with_novelty(artifact_of(), metal(2), held, BankSpec(false_alarm=0.2, places=5, seed=0), AT, lambda done: None)
    save_artifact(artifact_of(), tmp_path / "model")
    for asked in (["--arch", "vit_ti_16"], ["--model", str(tmp_path / "model")]):
        done = RUN.invoke(app, ["novelty", "--data", "/nowhere", "--out", str(tmp_path / "out"), *asked])
        assert isinstance(done.exception, ModelError)
        assert told in str(done.exception)


def test_it_is_an_artifact_like_any_other_and_one_of_random_weights_tells_pictures_apart(tmp_path: Path) -> None:
    save_artifact(artifact_of(), tmp_path / "model")
    assert load_artifact(tmp_path / "model").arch == "vit_ti_16"
    assert np.ptp(untrained("vit_ti_16", SIDE, SIDE).golden.scores, axis=0).max() > 1e-3


def test_stages_are_a_resnets_alone() -> None:
    with pytest.raises(AttributeError):
        stages(network_of("vit_ti_16", 0), torch.zeros(1, 3, SIDE, SIDE))
