"""The weights of a network that came as ONNX, by torchvision's names.

Place in the flow: `lineside models import` of an `.onnx` file. Exporters fold BatchNorm into convolutions and rename
weights, so the graph itself says which is which: a ResNet's convolutions in order of computation, of which one that
shares its input with another and ends in an addition is a block's shortcut; a Vision Transformer's linear layers and
LayerNorms in order of computation. The golden vectors prove the result. Knows no artifact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.errors import ModelRefusedError
from models.families import RESNETS, VITS, Family, family_named
from models.onnx_graph import Graph, parsed
from models.resnet import expected_tensors

SUFFIX = ".onnx"
_SHORTCUT = ".downsample."
_LINEARS = ("self_attention.in_proj_", "self_attention.out_proj.", "mlp.0.", "mlp.3.")  # of a ViT's block


def read_onnx(file: Path, arch: str, classes: int) -> dict[str, Tensor]:
    """All tensors of a network, by name. ModelRefusedError for what is none, ModelError where the extra is missing."""
    model, family = parsed(file), family_named(arch)
    found = _Found(expected_tensors(arch, classes), f"{file.name} is no {arch} of {classes} classes")
    try:
        _READERS[family](Graph(model.graph), found, family)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelRefusedError(f"{file.name} is no {arch} that can be read: {error}") from error
    return found.tensors


class _Found:
    """The tensors that are expected, one after the other; ValueError, beginning with `refusal`, for other shapes."""

    def __init__(self, expected: Mapping[str, Tensor], refusal: str) -> None:
        self.tensors = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in expected.items()}
        self.refusal = refusal

    def put(self, name: str, value: np.ndarray[Any, Any]) -> None:
        wanted = self.tensors[name]
        if tuple(wanted.shape) != value.shape:
            raise ValueError(f"{self.refusal}: {name} is {list(value.shape)}, expected {list(wanted.shape)}")
        self.tensors[name] = torch.from_numpy(np.ascontiguousarray(value))

    def check_count(self, kind: str, came: int, wanted: int) -> None:
        if came != wanted:
            raise ValueError(f"{self.refusal}: it has {came} {kind}, expected {wanted}")


def _resnet(graph: Graph, found: _Found, family: Family) -> None:
    convs = list(graph.convolutions())
    wanted = [name for name, value in found.tensors.items() if value.ndim == 4]
    for is_shortcut in (False, True):
        names = [name for name in wanted if (_SHORTCUT in name) is is_shortcut]
        came = [conv for conv in convs if conv.is_shortcut is is_shortcut]
        found.check_count("shortcuts" if is_shortcut else "convolutions beside shortcuts", len(came), len(names))
        for name, conv in zip(names, came, strict=True):
            found.put(name, conv.weight)
            for part, value in conv.norm.items():
                found.put(f"{_norm_of(name)}.{part}", value)
    *_, (weight, bias) = graph.linears()
    found.put(f"{family.head}.weight", weight)
    found.put(f"{family.head}.bias", bias)


def _norm_of(conv: str) -> str:
    """`layer1.0.conv2.weight` to `layer1.0.bn2`, `layer2.0.downsample.0.weight` to `layer2.0.downsample.1`."""
    base = conv.removesuffix(".weight")
    return base.removesuffix("0") + "1" if _SHORTCUT in conv else base.replace("conv", "bn")


def _vit(graph: Graph, found: _Found, family: Family) -> None:
    blocks = list(dict.fromkeys(name.rpartition("ln_1.")[0] for name in found.tensors if "ln_1." in name))
    linears, norms, convs = list(graph.linears()), list(graph.norms()), list(graph.convolutions())
    linear_names = [block + name for block in blocks for name in _LINEARS] + [f"{family.head}."]
    norm_names = [block + name for block in blocks for name in ("ln_1.", "ln_2.")] + ["encoder.ln."]
    found.check_count("convolutions", len(convs), 1)
    found.check_count("LayerNorms", len(norms), len(norm_names))
    found.check_count("linear layers (queries, keys and values are one)", len(linears), len(linear_names))
    for name, (weight, bias) in zip(linear_names + norm_names, linears + norms, strict=True):
        found.put(f"{name}weight", weight)
        found.put(f"{name}bias", bias)
    found.put("conv_proj.weight", convs[0].weight)
    found.put("conv_proj.bias", convs[0].norm["bias"])
    for name in ("class_token", "encoder.pos_embedding"):
        found.put(name, graph.of_shape(tuple(found.tensors[name].shape)))


_READERS: Mapping[Family, Callable[[Graph, _Found, Family], None]] = {RESNETS: _resnet, VITS: _vit}
