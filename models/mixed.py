"""What a training computes in: the forward pass in half precision, and the scale that float16's gradients need.

Place in the flow: the training loops take their steps by it. Weights, loss and optimiser stay float32 (Micikevicius et
al. 2018, ICLR, "Mixed Precision Training"). float16 knows no number below 6e-8: the loss is multiplied before gradients
are taken, a step whose gradients overflow is left out, and the factor halved. Knows no network and no schedule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from models.errors import TrainingFailedError
from models.resnet import bf16_is_native
from schemas.records import Precision

FIRST_SCALE = 2.0**16
MOST_SKIPPED = 20  # steps in a row: from the first scale down to a sixteenth, where float16 has lost the gradients
_TYPES = {Precision.FP32: torch.float32, Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}


def precision_on(device: torch.device, asked: Precision = Precision.UNKNOWN) -> Precision:
    """What is computed in: what was asked for, else bfloat16 where the device multiplies it itself, else float32."""
    if asked is not Precision.UNKNOWN:
        return asked
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else bf16_is_native()
    return Precision.BF16 if native else Precision.FP32


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context in which a network computes in FP32, BF16 or FP16."""
    return torch.autocast(device.type, _TYPES[precision], enabled=precision is not Precision.FP32)


class Mixed:
    """The steps of one training in one precision. Its state is part of the training's."""

    def __init__(self, device: torch.device, asked: Precision) -> None:
        """`device`: where the network is; `asked` UNKNOWN leaves the choice to it."""
        self.precision = precision_on(device, asked)
        self._device, self._skipped = device, 0
        scaled = self.precision is Precision.FP16
        self._scaler = torch.amp.GradScaler(device.type, init_scale=FIRST_SCALE, enabled=scaled)

    def autocast(self) -> torch.autocast:
        """A context for the forward pass."""
        return autocast(self._device, self.precision)

    def step(self, loss: Tensor, optimiser: torch.optim.Optimizer, number: int) -> None:
        """One step down. TrainingFailedError, naming the step, for a loss that isn't finite, and where the optimiser's
        step was left out MOST_SKIPPED times in a row.
        """
        if not torch.isfinite(loss):
            other = "" if self.precision is Precision.FP32 else ", or take --precision fp32"
            raise TrainingFailedError(f"the loss is {loss.item()} at step {number}; lower the learning rate{other}")
        optimiser.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        before = self._scaler.get_scale()
        self._scaler.step(optimiser)
        self._scaler.update()
        self._skipped = self._skipped + 1 if self._scaler.get_scale() < before else 0
        if self._skipped == MOST_SKIPPED:
            raise TrainingFailedError(
                f"gradients are beyond float16 in {MOST_SKIPPED} steps in a row, up to step {number}, and nothing is "
                "learnt; take --precision bf16 or fp32, or lower the learning rate"
            )

    def state(self) -> dict[str, Any]:
        """All that has changed since the beginning, for JSON."""
        return {"scaler": self._scaler.state_dict(), "skipped": self._skipped}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Become what `state` said."""
        self._scaler.load_state_dict(dict(state["scaler"]))
        self._skipped = state["skipped"]
