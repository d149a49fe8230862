"""Engines: what computes a model's scores. One interface, chosen by device and precision.

Every engine takes uint8 pictures and gives float32 probabilities; none is handed out before the model's golden pictures
gave the right scores in every batch size and place of the batch.
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
import torch

from models.artifact import Artifact
from models.engines.golden import check_golden
from models.errors import ModelRefusedError
from schemas.records import Precision

__all__ = ["BUCKETS", "Engine", "open_engine"]

BUCKETS = (1, 2, 4, 8, 16, 32)
DEVICES = ("openvino:CPU", "torch:cpu", "torch:cuda")


class Engine(Protocol):
    """One model on one device. Not before `close` does it let go of the device."""

    device: str  # one of DEVICES
    precision: Precision
    buckets: tuple[int, ...]  # batch sizes that are compiled; a batch is padded up to the next
    concurrency: int  # batches that may be under way at once

    def submit(self, batch: np.ndarray[Any, np.dtype[np.uint8]]) -> Future[np.ndarray[Any, np.dtype[np.float32]]]:
        """Scores of a batch: contiguous uint8 [n, h, w, 3] to float32 [n, classes], n up to the largest bucket.

        Returns at once; call it from one thread. The future raises BatchRefusedError for a batch that can't be taken and
        DeviceFatalError where the device is lost. Scores that are not finite are handed on as they are.
        """

    def close(self) -> None:
        """Finish what is under way and let go of the device."""


def open_engine(
    artifact: Artifact,
    device: str = "auto",
    precision: Precision = Precision.UNKNOWN,
    buckets: tuple[int, ...] = BUCKETS,
    threads: int | None = None,
) -> Engine:
    """An engine that has given the artifact's golden scores; ModelRefusedError where it does not.

    `auto` is torch:cuda where CUDA is there, else openvino:CPU; an UNKNOWN precision is the device's best. `threads`
    bounds the CPU threads of the engine (None: all cores).
    """
    if device == "auto":
        device = "torch:cuda" if torch.cuda.is_available() else "openvino:CPU"
    if device not in DEVICES:
        raise ModelRefusedError(f"unknown device {device!r}; expected auto, {', '.join(DEVICES)}")
    engine = _open(artifact, device, precision, tuple(sorted(set(buckets))), threads)
    try:
        check_golden(engine, artifact)
    except BaseException:
        engine.close()
        raise
    return engine


def _open(
    artifact: Artifact, device: str, precision: Precision, buckets: tuple[int, ...], threads: int | None
) -> Engine:
    if device == "openvino:CPU":  # imported here: each is a second of start-up that the other need not pay
        from models.engines.openvino import OpenVinoEngine

        return OpenVinoEngine(artifact, precision, buckets, threads)
    from models.engines.torch import TorchEngine

    return TorchEngine(artifact, device.removeprefix("torch:"), precision, buckets, threads)
