"""The weights of a ResNet that came as ONNX, by torchvision's names.

Place in the flow: `lineside models import` of an `.onnx` file. Exporters fold BatchNorm into convolutions and rename
weights, so the graph itself says which convolution is which: in order of computation, and one that shares its input
with another and ends in an addition is a block's shortcut. The golden vectors prove the result. The bytes are
untrusted: no file beside them is read, no operator is run. Needs the extra `onnx`. Knows no artifact.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.artifact_files import MAX_BYTES, WEIGHTS, read_bounded
from models.errors import ModelError, ModelRefusedError
from models.resnet import expected_tensors

SUFFIX = ".onnx"
EPSILON = 1e-5  # of torchvision's BatchNorm
_SHORTCUT = ".downsample."
_FLOATS = (np.float16, np.float32, np.float64)


@dataclass(frozen=True, slots=True)
class _Conv:
    """A convolution and what normalises it: its weight and the BatchNorm that follows, whole or as a bias."""

    weight: np.ndarray[Any, Any]
    norm: Mapping[str, np.ndarray[Any, Any]]
    source: str
    is_shortcut: bool


def read_onnx(file: Path, arch: str, classes: int) -> dict[str, Tensor]:
    """All tensors of a ResNet, by name. ModelRefusedError for what is none, ModelError where the extra is missing."""
    model = _parsed(file)
    try:
        graph = _Graph(model.graph)
        return _named(graph, expected_tensors(arch, classes), f"{file.name} is no {arch} of {classes} classes")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ModelRefusedError(f"{file.name} is no {arch} that can be read: {error}") from error


def _parsed(file: Path) -> Any:
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise ModelError("ONNX needs packages that are not installed: pip install lineside[onnx]") from error
    data = read_bounded(file, MAX_BYTES[WEIGHTS])
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except (DecodeError, RuntimeError) as error:
        raise ModelRefusedError(f"{file.name} is no ONNX file: {error}") from error
    return model


class _Graph:
    """A graph's nodes and constants; ValueError for constants that are kept in another file."""

    def __init__(self, graph: Any) -> None:
        self.nodes = list(graph.node)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    self._constants[node.output[0]] = attribute.t
        self._users: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._users[name].append(node)

    def array(self, name: str) -> np.ndarray[Any, Any]:
        """A constant's numbers, float32."""
        import onnx

        if name not in self._constants:
            raise ValueError(f"{name} is computed, not kept; export it with constants folded")
        tensor = self._constants[name]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(f"its weights are kept in another file ({name}); export it again as one file")
        found = onnx.numpy_helper.to_array(tensor)
        if found.dtype not in _FLOATS:
            raise ValueError(f"{name} is of {found.dtype}, expected floating point: a quantised network can't be read")
        return np.array(found, np.float32)

    def convolutions(self) -> Iterator[_Conv]:
        """In order of computation."""
        convs = [node for node in self.nodes if node.op_type == "Conv"]
        shared = Counter(node.input[0] for node in convs)
        for node in convs:
            norm, end = self._norm(node)
            ends = {user.op_type for user in self._users[end]}
            yield _Conv(self.array(node.input[1]), norm, node.input[0], shared[node.input[0]] > 1 and ends == {"Add"})

    def _norm(self, conv: Any) -> tuple[Mapping[str, np.ndarray[Any, Any]], str]:
        """What becomes of a convolution's output before the next layer, as BatchNorm's four vectors, and its name."""
        width = self.array(conv.input[1]).shape[0]
        bias = self.array(conv.input[2]) if len(conv.input) > 2 and conv.input[2] else np.zeros(width, np.float32)
        users = self._users[conv.output[0]]
        if len(users) != 1 or users[0].op_type != "BatchNormalization":
            ones = np.ones(width, np.float32)
            return _vectors(ones, bias, np.zeros(width, np.float32), ones - EPSILON), conv.output[0]
        norm = users[0]
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        weight, shift, mean, variance = (self.array(name) for name in norm.input[1:5])
        return _vectors(weight, shift, mean - bias, variance + (epsilon - EPSILON)), norm.output[0]

    def head(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """The last linear layer: weight [classes, width] and bias [classes]."""
        last = next(node for node in reversed(self.nodes) if node.op_type in ("Gemm", "MatMul"))
        weight = self.array(last.input[1])
        if last.op_type == "Gemm":
            turned = any(a.name == "transB" and a.i for a in last.attribute)
            return (weight if turned else weight.T), self.array(last.input[2])
        adds = [node for node in self._users[last.output[0]] if node.op_type == "Add"]
        bias = next((name for name in adds[0].input if name in self._constants), None) if adds else None
        return weight.T, self.array(bias) if bias else np.zeros(weight.shape[1], np.float32)


def _vectors(weight: Any, bias: Any, mean: Any, variance: Any) -> dict[str, np.ndarray[Any, Any]]:
    return {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}


def _named(graph: _Graph, expected: Mapping[str, Tensor], refusal: str) -> dict[str, Tensor]:
    found = {name: torch.zeros(value.shape, dtype=value.dtype) for name, value in expected.items()}
    convs = list(graph.convolutions())
    wanted = [name for name, value in expected.items() if value.ndim == 4]
    for is_shortcut in (False, True):
        names = [name for name in wanted if (_SHORTCUT in name) is is_shortcut]
        came = [conv for conv in convs if conv.is_shortcut is is_shortcut]
        if len(names) != len(came):
            kind = "shortcuts" if is_shortcut else "convolutions beside shortcuts"
            raise ValueError(f"{refusal}: it has {len(came)} {kind}, expected {len(names)}")
        for name, conv in zip(names, came, strict=True):
            _put(found, name, conv.weight, refusal)
            for part, value in conv.norm.items():
                _put(found, f"{_norm_of(name)}.{part}", value, refusal)
    weight, bias = graph.head()
    _put(found, "fc.weight", weight, refusal)
    _put(found, "fc.bias", bias, refusal)
    return found


def _put(found: dict[str, Tensor], name: str, value: np.ndarray[Any, Any], refusal: str) -> None:
    if tuple(found[name].shape) != value.shape:
        raise ValueError(f"{refusal}: {name} is {list(value.shape)}, expected {list(found[name].shape)}")
    found[name] = torch.from_numpy(np.ascontiguousarray(value))


def _norm_of(conv: str) -> str:
    """`layer1.0.conv2.weight` to `layer1.0.bn2`, `layer2.0.downsample.0.weight` to `layer2.0.downsample.1`."""
    base = conv.removesuffix(".weight")
    return base.removesuffix("0") + "1" if _SHORTCUT in conv else base.replace("conv", "bn")
