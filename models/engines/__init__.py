"""Engines: a model ready on a device. `open_engine` chooses one and proves it with the model's golden vectors.

Place in the flow: inspection opens an engine for each model and submits batches. Frameworks are imported when chosen.
"""

from __future__ import annotations

import numpy as np
import torch

from models.artifact import Artifact, Graph
from models.devices import AUTO, PRECISIONS_OF, chosen, whole
from models.engines.base import Engine, PooledEngine
from models.errors import ModelError, ModelRefusedError
from models.resnet import bf16_is_native
from schemas.records import Precision

__all__ = ["DEVICES", "Engine", "check_golden", "open_engine", "preferences", "settled"]

DEVICES = (AUTO, *PRECISIONS_OF)
BUCKETS = (1, 2, 4, 8, 16, 32)


def open_engine(
    artifact: Artifact,
    device: str = AUTO,
    precision: Precision = Precision.UNKNOWN,
    buckets: tuple[int, ...] = BUCKETS,
    threads: int | None = None,
    graph: Graph | None = None,
    briefly: bool = False,
) -> Engine:
    """An engine that has given the golden scores in every bucket, in every place of the batch.

    Device and precision are `settled`. `threads` limits CPU threads. After a rehearsal on this machine (`rehearsal.py`)
    `graph` is the network as it has converted it, and one batch a bucket is enough: `briefly`.

    Raises what `settled` does, and ModelRefusedError for scores out of tolerance or a precision that isn't here.
    """
    device, precision = settled(artifact, device, precision)
    engine = _opened(artifact, device, precision, buckets, threads, graph)
    try:
        check_golden(engine, artifact, briefly)
    except BaseException:
        engine.close()
        raise
    return engine


def settled(artifact: Artifact, device: str, precision: Precision) -> tuple[str, Precision]:
    """Where, and in what, a model runs that is asked for so.

    `auto` is CUDA where there is one, else OpenVINO, which alone has int8. Precision UNKNOWN takes the fastest that the
    device computes natively and the artifact states a tolerance for.

    Raises ModelError for an unknown device, ModelRefusedError for a precision without a tolerance.
    """
    if device not in DEVICES:
        raise ModelError(f"unknown device {device!r}; expected one of {', '.join(DEVICES)}")
    if device == AUTO:
        device = chosen(precision, torch.cuda.is_available())
    if precision == Precision.UNKNOWN:
        unharmed = whole(artifact.tolerance, artifact.novelty is not None)
        precision = next(p for p in preferences(device) if p in unharmed)
    if precision not in artifact.tolerance:
        stated = ", ".join(artifact.tolerance)
        raise ModelRefusedError(f"{artifact.model_id} states no tolerance for {precision}, only for {stated}")
    return device, precision


def check_golden(engine: Engine, artifact: Artifact, briefly: bool = False) -> None:
    """Run the golden vectors in every bucket, so that each is seen and each place is filled, in full batches.

    `briefly`: each place is filled, and that is all.

    Raises ModelRefusedError naming the bucket, the place and the difference.
    """
    pictures, scores = artifact.golden.pictures, artifact.golden.scores
    if engine.gives_novelty and artifact.golden.novelty is not None:
        scores = np.column_stack((scores, artifact.golden.novelty))
    allowed = artifact.tolerance[engine.precision]
    for bucket in engine.buckets:
        for start in range(0, 1 if briefly else len(pictures), bucket):
            which = np.arange(start, start + bucket) % len(pictures)
            came = engine.submit(pictures[which]).result()
            worst = np.abs(came - scores[which]).max(axis=1)
            if not (worst <= allowed).all():  # so written, a NaN is refused too
                place = int(np.argmax(~(worst <= allowed)))
                raise ModelRefusedError(
                    f"{artifact.model_id} on {engine.device} {engine.precision}: golden vector {which[place]} at place "
                    f"{place} of a batch of {bucket} differs by {worst[place]:.6f}; allowed is {allowed}"
                )


def preferences(device: str) -> tuple[Precision, ...]:
    """Precisions from the fastest to FP32, as far as the device computes them natively."""
    if device == "torch:cuda":
        return Precision.FP16, Precision.BF16, Precision.FP32
    if device == "torch:cpu":
        return (Precision.BF16, Precision.FP32) if bf16_is_native() else (Precision.FP32,)
    from models.engines.openvino_engine import native_precision

    return Precision.INT8, native_precision(), Precision.FP32


def _opened(
    artifact: Artifact,
    device: str,
    precision: Precision,
    buckets: tuple[int, ...],
    threads: int | None,
    graph: Graph | None,
) -> PooledEngine:
    framework, _, kind = device.partition(":")
    if framework == "torch":
        from models.engines.torch_engine import open_torch

        return open_torch(artifact, kind, precision, buckets, threads)
    from models.engines.openvino_engine import open_openvino

    return open_openvino(artifact, precision, buckets, threads, graph)
