"""OpenVINO on the CPU: float32, bfloat16 where the CPU computes it natively, and int8 for models that were quantised.

One compiled model of free batch size serves all buckets: measured on two cores it is as fast as one compiled for each
bucket, and holds the weights once. OpenVINO's throughput hint chooses streams and threads. Its telemetry, which sends
on import, is switched off before the import. Knows no events.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its import fails: OpenVINO takes its silent stub
import openvino  # noqa: E402
from openvino import opset13 as ops  # noqa: E402
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: E402

from models.artifact import Artifact, Graph  # noqa: E402
from models.engines.base import F32, U8, PooledEngine  # noqa: E402
from models.engines.network import Logits, frozen_classifier, serving_network  # noqa: E402
from models.errors import ModelRefusedError  # noqa: E402
from models.heads import Head  # noqa: E402
from schemas.records import Precision  # noqa: E402

DEVICE = "openvino:CPU"
PRECISIONS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}  # of what is not quantised


def core() -> Any:
    """OpenVINO's entry, with its telemetry off."""
    return openvino.Core()


def native_precision() -> Precision:
    """What OpenVINO itself would choose on this CPU: BF16 where computed natively, else FP32."""
    hint = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return Precision.BF16 if hint == openvino.Type.bf16 else Precision.FP32


def open_openvino(
    artifact: Artifact,
    precision: Precision,
    buckets: Sequence[int],
    threads: int | None = None,
    graph: Graph | None = None,
) -> PooledEngine:
    """Compile the model; `threads` limits the CPU threads, None leaves it to OpenVINO. `graph`: what `converted` gave.

    Raises ModelRefusedError for a precision that this engine or this CPU doesn't have.
    """
    core = openvino.Core()
    if precision not in (had := _precisions(core)):
        raise ModelRefusedError(f"{DEVICE} has no {precision} on this CPU; expected one of {', '.join(had)}")
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
        "ENABLE_CPU_PINNING": False,  # else the first stream of every model, and of every worker, wants the same core
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    if precision is Precision.INT8:
        network = _quantised(core, artifact)
    else:
        network = core.read_model(graph.xml, graph.weights) if graph else converted(artifact)
    try:
        compiled = core.compile_model(network, "CPU", settings)
    except RuntimeError as error:
        raise ModelRefusedError(f"{artifact.model_id}: {DEVICE} can't compile its network: {error}") from error
    requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    runners = [_Runner(compiled.create_infer_request()) for _ in range(requests)]
    shape = (artifact.preprocessing.height, artifact.preprocessing.width)
    gives_novelty = artifact.novelty is not None and precision is not Precision.INT8
    return PooledEngine(DEVICE, precision, buckets, runners, shape, gives_novelty)


class _Runner:
    def __init__(self, request: Any) -> None:
        self._request = request

    def __call__(self, batch: U8) -> F32:
        results = self._request.infer({0: batch}, share_inputs=True, share_outputs=False)
        return np.asarray(results[0], np.float32)


def _precisions(core: Any) -> list[Precision]:
    has = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return [precision for precision in PRECISIONS if precision.value in has]


def converted(artifact: Artifact, logits_only: bool = False) -> Any:
    """The network as OpenVINO's graph, in memory: pictures to what engines give, or to logits."""
    spec = artifact.preprocessing
    network = Logits(frozen_classifier(artifact)) if logits_only else serving_network(artifact)
    example = torch.zeros((2, spec.height, spec.width, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # OpenVINO traces with torch.jit, which torch calls deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]  # a ViT asserts its size
        # torch's check of its trace loads 1.1 s of modules; golden vectors check more
        traced = TorchScriptPythonDecoder(network, example_input=example, trace_kwargs={"check_trace": False})
        model = openvino.convert_model(traced, example_input=example)
    model.reshape([-1, spec.height, spec.width, 3])
    return model


def kept(model: Any) -> Graph:
    """A network of OpenVINO as files hold it."""
    with tempfile.TemporaryDirectory(prefix="lineside-openvino-") as scratch:
        xml, weights = Path(scratch) / "network.xml", Path(scratch) / "network.bin"
        openvino.serialize(model, xml, weights)
        return Graph(xml.read_bytes(), weights.read_bytes())


def _quantised(core: Any, artifact: Artifact) -> Any:
    """The artifact's int8 graph with temperature and head behind it.

    ModelRefusedError where it is no graph, or not one from such pictures to such logits.
    """
    if artifact.int8 is None:
        raise ModelRefusedError(f"{artifact.model_id} was not quantised; `lineside quantise` does it")
    spec = artifact.preprocessing
    try:
        model = core.read_model(artifact.int8.xml, artifact.int8.weights)
        came = [(str(port.get_partial_shape()), port.get_element_type()) for port in (*model.inputs, *model.outputs)]
    except RuntimeError as error:
        raise ModelRefusedError(f"{artifact.model_id}: int8.xml is no network: {error}") from error
    wanted = [
        (f"[?,{spec.height},{spec.width},3]", openvino.Type.u8),
        (f"[?,{len(artifact.classes)}]", openvino.Type.f32),
    ]
    if came != wanted:
        raise ModelRefusedError(f"{artifact.model_id}: int8.xml must take and give {wanted}; it has {came}")
    logits = model.get_results()[0].input_value(0)
    scaled = ops.divide(logits, np.float32(artifact.temperature))
    return openvino.Model([_headed(scaled, artifact.head)], model.get_parameters(), artifact.model_id)


def _headed(scaled: Any, head: Head) -> Any:
    """`heads.probabilities` in OpenVINO's operators."""
    if head == "softmax":
        return ops.softmax(scaled, 1)
    first, end, step, axis = (np.array([number], np.int64) for number in (1, np.iinfo(np.int64).max, 1, 1))
    defects = ops.slice(scaled, first, end, step, axis)
    none = ops.reduce_prod(ops.sigmoid(ops.negative(defects)), axis, keep_dims=True)
    return ops.concat([none, ops.sigmoid(defects)], 1)
