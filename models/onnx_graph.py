"""An ONNX file as a graph of constants and layers in order of computation, whatever they are called.

Place in the flow: `onnx_import.py` reads weights from it. The bytes are untrusted: no file beside them is read, no
operator is run. Needs the extra `onnx`. Knows no architecture.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.artifact_files import MAX_BYTES, WEIGHTS, read_bounded
from models.errors import ModelError, ModelRefusedError

EPSILON = 1e-5  # of torchvision's BatchNorm
_FLOATS = (np.float16, np.float32, np.float64)

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Conv:
    """A convolution and what normalises it: its weight and the BatchNorm that follows, whole or as a bias."""

    weight: Array
    norm: Mapping[str, Array]
    source: str
    is_shortcut: bool


def parsed(file: Path) -> Any:
    """The file; ModelRefusedError for what is none, ModelError where the extra is missing."""
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


class Graph:
    """A graph's nodes and constants; ValueError for constants that are kept in another file."""

    def __init__(self, graph: Any) -> None:
        self.nodes = list(graph.node)
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            for attribute in node.attribute if node.op_type == "Constant" else ():
                if attribute.name == "value":
                    self._constants[node.output[0]] = attribute.t
        self._turned = {  # matrices that an exporter left to be transposed
            node.output[0]: node.input[0]
            for node in self.nodes
            if node.op_type == "Transpose" and len(getattr(self._constants.get(node.input[0]), "dims", ())) == 2
        }
        self._users: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self._users[name].append(node)

    def array(self, name: str) -> Array:
        """A constant's numbers, float32."""
        import onnx

        if name in self._turned:
            return self.array(self._turned[name]).T
        if name not in self._constants:
            raise ValueError(f"{name} is computed, not kept; export it with constants folded")
        tensor = self._constants[name]
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise ValueError(f"its weights are kept in another file ({name}); export it again as one file")
        found = onnx.numpy_helper.to_array(tensor)
        if found.dtype not in _FLOATS:
            raise ValueError(f"{name} is of {found.dtype}, expected floating point: a quantised network can't be read")
        return np.array(found, np.float32)

    def convolutions(self) -> Iterator[Conv]:
        """In order of computation."""
        convs = [node for node in self.nodes if node.op_type == "Conv"]
        shared = Counter(node.input[0] for node in convs)
        for node in convs:
            norm, end = self._norm(node)
            ends = {user.op_type for user in self._users[end]}
            yield Conv(self.array(node.input[1]), norm, node.input[0], shared[node.input[0]] > 1 and ends == {"Add"})

    def _norm(self, conv: Any) -> tuple[Mapping[str, Array], str]:
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

    def linears(self) -> Iterator[tuple[Array, Array]]:
        """Linear layers in order of computation: weight [outputs, inputs] and bias [outputs]."""
        for node in self.nodes:
            if node.op_type in ("Gemm", "MatMul") and (
                node.input[1] in self._constants or node.input[1] in self._turned
            ):
                yield self._linear(node)

    def norms(self) -> Iterator[tuple[Array, Array]]:
        """LayerNorms in order of computation: weight and bias."""
        for node in self.nodes:
            if node.op_type == "LayerNormalization":
                weight = self.array(node.input[1])
                named = len(node.input) > 2 and node.input[2]
                yield weight, self.array(node.input[2]) if named else np.zeros_like(weight)

    def of_shape(self, shape: tuple[int, ...]) -> Array:
        """The one constant of this shape; ValueError where there is none, or more."""
        found = [name for name, tensor in self._constants.items() if tuple(tensor.dims) == shape]
        if len(found) != 1:
            raise ValueError(f"it keeps {len(found)} constants of the shape {list(shape)}, expected 1")
        return self.array(found[0])

    def _linear(self, node: Any) -> tuple[Array, Array]:
        weight = self.array(node.input[1])
        if node.op_type == "Gemm":
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            weight = weight if turned else weight.T
            named = len(node.input) > 2 and node.input[2]
            return weight, self.array(node.input[2]) if named else np.zeros(len(weight), np.float32)
        adds = [user for user in self._users[node.output[0]] if user.op_type == "Add"]
        bias = next((name for name in adds[0].input if name in self._constants), None) if adds else None
        return weight.T, self.array(bias) if bias else np.zeros(weight.shape[1], np.float32)


def _vectors(weight: Any, bias: Any, mean: Any, variance: Any) -> dict[str, Array]:
    return {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}
