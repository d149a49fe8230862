"""A model as ONNX, for whoever runs it elsewhere: pictures in, probabilities out, and a description of all else in it.

Place in the flow: `lineside models export`. Everything that our engines compute is in the graph: scaling, network,
temperature, head (softmax or sigmoid), and the novelty of models that have a bank of good parts. It is proven by the
model's golden vectors, run by OpenVINO, before it is given away. Needs the extra `onnx`. Knows no stream.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.artifact import F32, U8, Artifact
from models.engines.network import serving_network
from models.errors import ModelError, ModelRefusedError
from models.examination import outcomes, rule_of
from schemas.records import Precision

INPUT, OUTPUT = "pictures", "scores"
OPSET = 18
ABOUT = "lineside"  # the key of the description among the file's own properties


@dataclass(frozen=True, slots=True)
class Export:
    """An ONNX file's bytes, and how far its scores lie from the golden ones at most; as many decide otherwise."""

    data: bytes
    difference: float
    flips: int
    golden: int


def exported(artifact: Artifact) -> Export:
    """The model as ONNX: `pictures` uint8 [n, h, w, 3] to `scores` float32 [n, classes], and novelty where it has one.

    Raises ModelError where the extra is not installed, ModelRefusedError where the golden vectors come out otherwise.
    """
    data = _described(_graph(artifact), artifact)
    golden = artifact.golden
    came, alone = run(data, golden.pictures), run(data, golden.pictures[:1])
    wanted = golden.scores if golden.novelty is None else np.column_stack((golden.scores, golden.novelty))
    difference = float(max(np.abs(came - wanted).max(), np.abs(alone - wanted[:1]).max()))
    classes = len(artifact.classes)
    if not difference <= artifact.tolerance[Precision.FP32]:
        raise ModelRefusedError(
            f"{artifact.model_id} as ONNX gives other scores: its golden vectors differ by {difference:.6f}; "
            f"allowed is {artifact.tolerance[Precision.FP32]}"
        )
    rule = rule_of(artifact)
    flips = int((outcomes(came[:, :classes], rule) != outcomes(golden.scores, rule)).sum())
    return Export(data, difference, flips, len(golden.scores))


def run(data: bytes, pictures: U8) -> F32:
    """What an ONNX file of ours gives for pictures, in float32 on the CPU."""
    from models.engines import openvino_engine  # its import switches telemetry off first

    core = openvino_engine.core()
    compiled = core.compile_model(core.read_model(io.BytesIO(data)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(pictures)[0], np.float32)


def _graph(artifact: Artifact) -> bytes:
    try:
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ModelError("ONNX needs packages that are not installed: pip install lineside[onnx]") from error
    spec = artifact.preprocessing
    example = torch.zeros((2, spec.height, spec.width, 3), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder, _silence():
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            serving_network(artifact),
            (example,),
            file,
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("n")},),
            input_names=[INPUT],
            output_names=[OUTPUT],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
        return file.read_bytes()


def _described(data: bytes, artifact: Artifact) -> bytes:
    """The same graph with what it doesn't say itself, and without torch's notes, which name files of this machine."""
    import onnx

    model = onnx.load_model_from_string(data)
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    about = {
        "model_id": artifact.model_id,
        "model_sha256": artifact.sha256,
        "arch": artifact.arch,
        "head": artifact.head,
        "classes": [asdict(item) for item in artifact.classes],
        "any_defect_threshold": artifact.any_defect_threshold,
        "unsure_band": artifact.unsure_band,
        "preprocessing": artifact.preprocessing.to_json(),
        "novelty_threshold": artifact.novelty.threshold if artifact.novelty else None,
    }
    onnx.helper.set_model_props(model, {ABOUT: json.dumps(about)})
    described: Any = model.SerializeToString(deterministic=True)
    return bytes(described)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """torch's exporter tells of its own steps and of what it will give up one day."""
    loud = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loud]
    try:
        for logger in loud:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loud, before, strict=True):
            logger.setLevel(level)
