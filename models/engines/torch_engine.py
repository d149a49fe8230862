"""torch on CUDA or on the CPU, by one code path: float32, bfloat16 or float16, channels_last, BatchNorm folded.

On CUDA there are two lanes, each with its own stream, pinned buffers and thread: while one lane's batch computes, the
other's uploads, and only the lane's own thread ever waits for the device. On the CPU a lane has plain buffers and no
stream, and there is one, since one batch keeps all cores busy. Knows no events.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.artifact import Artifact
from models.engines.base import F32, U8, PooledEngine, checked_buckets
from models.engines.network import serving_network
from models.errors import DeviceFatalError, ModelRefusedError
from models.quick_torchvision import torchvision
from models.resnet import members_of
from schemas.records import Precision

PRECISIONS = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}
LANES_ON_CUDA = 2  # one computes while the other uploads
resnet = torchvision.models.resnet
_CUDA_LOST = ("CUDA error", "CUBLAS", "CUDNN", "cuDNN", "device-side assert", "NCCL")


def open_torch(
    artifact: Artifact, kind: str, precision: Precision, buckets: Sequence[int], threads: int | None = None
) -> PooledEngine:
    """`kind` is "cpu" or "cuda"; `threads` sets torch's CPU threads for the whole process, None leaves them.

    Raises ModelRefusedError for a precision that torch doesn't have or a CUDA that isn't there.
    """
    if precision not in PRECISIONS:
        raise ModelRefusedError(f"torch:{kind} has no {precision}; expected one of {', '.join(PRECISIONS)}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ModelRefusedError("torch:cuda: torch sees no CUDA device here; use openvino:CPU or torch:cpu")
    if threads:
        torch.set_num_threads(threads)
    device, shape = torch.device(kind), (artifact.preprocessing.height, artifact.preprocessing.width)
    model = prepared_model(artifact, device, PRECISIONS[precision])
    if kind == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # FP32 means it
        torch.cuda.synchronize()  # the lanes' streams don't wait for the one that the weights came by
    largest = checked_buckets(buckets)[-1]
    lanes = [Lane(model, device, (largest, *shape, 3)) for _ in range(LANES_ON_CUDA if kind == "cuda" else 1)]
    return PooledEngine(f"torch:{kind}", precision, buckets, lanes, shape, artifact.novelty is not None)


def prepared_model(artifact: Artifact, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """The classifier on its device: BatchNorm folded in float32, then cast, channels_last."""
    classifier = serving_network(artifact)
    for network in members_of(classifier.network):
        _fold_batch_norms(network)
    classifier.network.to(dtype)  # and no more: normalisation and head stay in float32
    return classifier.to(device).to(memory_format=torch.channels_last)


def device_error(error: RuntimeError) -> Exception:
    """What a failed batch's future gets: DeviceFatalError where CUDA's context is lost, else the error itself."""
    lost = isinstance(error, torch.AcceleratorError) or any(sign in str(error) for sign in _CUDA_LOST)
    return DeviceFatalError(f"the device is lost: {error}") if lost else error


class Lane:
    """Buffers and stream of one batch in flight; called by one thread at a time."""

    def __init__(self, model: nn.Module, device: torch.device, shape: tuple[int, int, int, int]) -> None:
        """`shape` is that of the largest batch, [b, h, w, 3]."""
        cuda = device.type == "cuda"
        self._model = model
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._host = torch.empty(shape, dtype=torch.uint8, pin_memory=cuda)
        self._device = torch.empty(shape, dtype=torch.uint8, device=device) if cuda else self._host

    def __call__(self, batch: U8) -> F32:
        """uint8 [b, h, w, 3] to float32 [b, classes]; returns when the device is done."""
        try:
            return self._run(batch)
        except RuntimeError as error:
            raise device_error(error) from error

    @torch.inference_mode()
    def _run(self, batch: U8) -> F32:
        size = len(batch)
        self._host[:size].numpy()[:] = batch
        with torch.cuda.stream(self._stream) if self._stream else contextlib.nullcontext():
            pictures = self._device[:size]
            if self._stream:
                pictures.copy_(self._host[:size], non_blocking=True)
            scores = self._model(pictures).to("cpu", non_blocking=True)
            if self._stream:
                done = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # waits without spinning, and without the GIL
                done.record(self._stream)
                done.synchronize()
        result: F32 = scores.numpy()
        return result


def _fold_batch_norms(network: nn.Module) -> None:
    """Fold every BatchNorm of a torchvision ResNet into the convolution before it, in place; others have none."""
    if isinstance(network, resnet.ResNet):
        _fold(network, "conv1", "bn1")
    for block in network.modules():
        if isinstance(block, resnet.BasicBlock | resnet.Bottleneck):
            for number in (1, 2, 3):
                if hasattr(block, f"conv{number}"):
                    _fold(block, f"conv{number}", f"bn{number}")
            if block.downsample is not None:
                _fold(block.downsample, "0", "1")
    if any(isinstance(module, nn.BatchNorm2d) for module in network.modules()):
        raise TypeError(f"expected a network whose BatchNorms can be folded, came {type(network).__name__}")


def _fold(parent: nn.Module, convolution: str, norm: str) -> None:
    setattr(parent, convolution, fuse_conv_bn_eval(getattr(parent, convolution), getattr(parent, norm)))
    setattr(parent, norm, nn.Identity())
