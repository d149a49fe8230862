"""OpenVINO on the CPU: float32, or bfloat16 where the CPU computes it natively.

One compiled model of free batch size serves all buckets: measured on two cores it is as fast as one compiled for each
bucket, and holds the weights once. OpenVINO's throughput hint chooses streams and threads. Its telemetry, which sends
on import, is switched off before the import. Knows no events.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # its import fails: OpenVINO takes its silent stub
import openvino  # noqa: E402

from models.artifact import Artifact  # noqa: E402
from models.engines.base import F32, U8, PooledEngine  # noqa: E402
from models.engines.network import frozen_classifier  # noqa: E402
from models.errors import ModelRefusedError  # noqa: E402
from schemas.records import Precision  # noqa: E402

DEVICE = "openvino:CPU"
PRECISIONS = {Precision.FP32: "f32", Precision.BF16: "bf16"}


def native_precision() -> Precision:
    """What OpenVINO itself would choose on this CPU: BF16 where computed natively, else FP32."""
    hint = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return Precision.BF16 if hint == openvino.Type.bf16 else Precision.FP32


def open_openvino(
    artifact: Artifact, precision: Precision, buckets: Sequence[int], threads: int | None = None
) -> PooledEngine:
    """Compile the model; `threads` limits the CPU threads, None leaves it to OpenVINO.

    Raises ModelRefusedError for a precision that this engine or this CPU doesn't have.
    """
    core = openvino.Core()
    if precision not in PRECISIONS or PRECISIONS[precision].upper() not in _capabilities(core):
        raise ModelRefusedError(f"{DEVICE} has no {precision} on this CPU; expected one of {_capabilities(core)}")
    settings: dict[str, Any] = {
        "PERFORMANCE_HINT": "THROUGHPUT",
        "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
    }
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    compiled = core.compile_model(_converted(artifact), "CPU", settings)
    requests = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
    runners = [_Runner(compiled.create_infer_request()) for _ in range(requests)]
    shape = (artifact.preprocessing.height, artifact.preprocessing.width)
    return PooledEngine(DEVICE, precision, buckets, runners, shape)


class _Runner:
    def __init__(self, request: Any) -> None:
        self._request = request

    def __call__(self, batch: U8) -> F32:
        results = self._request.infer({0: batch}, share_inputs=True, share_outputs=False)
        return np.asarray(results[0], np.float32)


def _capabilities(core: Any) -> list[str]:
    names = {"FP32": "F32", "BF16": "BF16"}
    return [names[name] for name in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES") if name in names]


def _converted(artifact: Artifact) -> Any:
    """The classifier as OpenVINO's graph, in memory."""
    spec = artifact.preprocessing
    example = torch.zeros((2, spec.height, spec.width, 3), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # OpenVINO traces with torch.jit, which torch calls deprecated
        warnings.simplefilter("ignore", DeprecationWarning)
        model = openvino.convert_model(frozen_classifier(artifact), example_input=example)
    model.reshape([-1, spec.height, spec.width, 3])
    return model
